"""Why a job waits, keeping it back, repeating it: what somebody does who looks after the queue."""

import json
import stat
from pathlib import Path

from tests.e2e.test_restarts import Counting
from tests.support.installation import Installation, installed


def test_a_job_that_nobody_can_run_says_what_is_lacking(house: Installation) -> None:
    """In words and as JSON: how many workers lack the tag, and who lacks least."""
    job_id = house.submit("--tag", "gpu", "--", "true")

    words = house.cli("jobs", "explain", job_id).stdout.decode()
    told = house.json("jobs", "explain", job_id)

    assert "queued (no_worker_matches): none of 1 online workers has all" in words
    assert "1 worker lacks tag gpu" in words
    assert "lacks tag gpu" in words.splitlines()[-1]
    assert told["failing"] == [{"constraint": "tag gpu", "workers": 1}]
    assert told["nearest"]["lacks"] == ["tag gpu"]
    assert house.cli("jobs", "cancel", job_id).returncode == 0


def test_a_busy_worker_is_the_reason_until_it_is_free(home: Path) -> None:
    """All slots busy; held and let go meanwhile; then it starts."""
    with installed(home, "--slots=1") as house:
        counting = Counting(house, "busy")
        job_id = house.submit("--", "echo", "at last")

        assert "all_slots_busy" in house.cli("jobs", "explain", job_id).stdout.decode()
        assert house.cli("jobs", "hold", job_id, "--comment", "not yet").returncode == 0
        assert "held (held)" in house.cli("jobs", "explain", job_id).stdout.decode()
        refused = house.cli("jobs", "hold", counting.job_id)
        assert refused.returncode == 1
        assert b"it is running; only a job that has not begun" in refused.stderr
        counting.finish()
        assert house.job(job_id)["state"] == "held"

        assert house.cli("jobs", "release", job_id).returncode == 0
        house.wait_state(job_id, "succeeded")
        story = house.cli("jobs", "show", job_id).stdout.decode()
        assert "put on hold by" in story
        assert "not yet" in story


def test_failed_jobs_are_counted_and_repeated(house: Installation) -> None:
    """Two failures of one sort are one group; the newest is repeated, changed, and succeeds."""
    script = 'echo "no space on disk $$" >&2; exit ${CODE:-7}'
    ids = [house.submit("--name", "filler", "--", "sh", "-c", script) for _ in range(2)]
    for job_id in ids:
        house.wait_state(job_id, "failed")

    (group,) = [
        group
        for group in house.json("jobs", "list", "--dead")["items"]
        if group["last_words"] == "no space on disk #"
    ]
    assert (group["jobs"], group["exit_code"], group["newest_id"]) == (2, 7, ids[1])
    table = house.cli("jobs", "list", "--dead").stdout.decode()
    assert "no space on disk #" in table
    listed = house.json("jobs", "list", "--fingerprint", group["fingerprint"])["items"]
    assert [job["id"] for job in listed] == ids[::-1]
    assert house.cli("jobs", "list", "--fingerprint", "nonsense").returncode == 2

    again = house.cli("jobs", "retry", ids[1], "--set", "env.CODE=0", "--set", "timeout_s=30")
    assert again.returncode == 0, again.stderr.decode()
    new = house.wait_state(again.stdout.decode().strip(), "succeeded", "failed")
    assert (new["state"], new["retry_of"]) == ("succeeded", ids[1])
    assert house.job(ids[1])["state"] == "failed"


def test_a_job_is_edited_before_it_is_repeated(house: Installation) -> None:
    """The editor gets the spec; what is saved is submitted; what is no spec is refused."""
    job_id = house.submit("--", "sh", "-c", "exit 1")
    house.wait_state(job_id, "failed")
    editor = house.home / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/exit 1/exit 0/; s/BROKEN//' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)

    done = house.cli("jobs", "retry", "--edit", job_id, env={"EDITOR": str(editor)})
    assert done.returncode == 0, done.stderr.decode()
    assert (
        house.wait_state(done.stdout.decode().strip(), "succeeded", "failed")["state"]
        == "succeeded"
    )

    editor.write_text('#!/bin/sh\necho \'{"kind": 1}\' > "$1"\n')
    wrong = house.cli("jobs", "retry", "--edit", job_id, env={"EDITOR": str(editor)})
    assert wrong.returncode != 0
    assert b"kind: " in wrong.stderr
    wrong = house.cli("jobs", "retry", job_id, "--set", "timeout_s=soon")
    assert wrong.returncode != 0
    assert b"timeout_s: " in wrong.stderr


def test_what_runs_is_not_repeated(house: Installation) -> None:
    """Only what is over can be repeated, and that is said."""
    job_id = house.submit("--", "sleep", "30")
    house.wait_state(job_id, "running")

    done = house.cli("jobs", "retry", job_id)

    assert done.returncode == 1
    assert b"only what is over can be repeated" in done.stderr
    assert json.loads(house.cli("jobs", "cancel", "--json", job_id).stdout)["id"] == job_id
