"""A person's first quarter of an hour: submit, watch, look, cancel."""

import json
import subprocess
import time

from tests.support.installation import PROGRAM, Installation
from tests.support.waiting import wait_until

COUNT = "for i in 1 2 3; do echo line $i; done; echo oops >&2; exit 7"


def test_a_followed_job_prints_its_lines_and_returns_its_code(house: Installation) -> None:
    """Standard output, standard error and the exit code are those of the command."""
    done = house.cli("jobs", "submit", "--follow", "--", "sh", "-c", COUNT)

    assert done.stdout == b"line 1\nline 2\nline 3\n"
    assert b"oops\n" in done.stderr
    assert done.returncode == 7


def test_lines_are_seen_while_the_job_still_runs(house: Installation) -> None:
    """A line is on the screen before the command goes on, even without a newline."""
    gate = house.project / "gate"
    script = f"printf working; while [ ! -e {gate} ]; do sleep 0.02; done; echo ' done'"

    with house.follow("jobs", "submit", "--follow", "--", "sh", "-c", script) as follower:
        assert follower.stdout is not None
        assert follower.stdout.read(7) == b"working"
        gate.touch()
        assert follower.stdout.read() == b" done\n"
        assert follower.wait(30) == 0


def test_output_without_a_newline_is_live(house: Installation) -> None:
    """From the write of a job to the event in a reader's hand takes well under 300 ms."""
    job_id = house.submit("--", "sh", "-c", 'sleep 1; date +%s.%N | tr -d "\\n"; sleep 1')

    with house.get(f"/api/v1/jobs/{job_id}/output/stream") as stream:
        line = next(line for line in stream if line.startswith(b"data:") and b'"stdout"' in line)
        seen = time.time()

    assert seen - float(json.loads(line[5:])["text"]) < 0.3


def test_a_job_is_listed_shown_and_logged(house: Installation) -> None:
    """What was asked for and what came of it can be looked at afterwards."""
    job_id = house.submit("--name", "greeting", "--label", "team=web", "--", "echo", "hello")
    house.wait_state(job_id, "succeeded")

    listed = house.json("jobs", "list", "--name", "greeting")
    shown = house.job(job_id)
    logged = house.cli("jobs", "logs", job_id)

    assert [job["id"] for job in listed["items"]] == [job_id]
    assert (shown["state"], shown["exit_code"], shown["attempt"]) == ("succeeded", 0, 1)
    assert shown["spec"]["params"]["argv"] == ["echo", "hello"]
    assert shown["worker"]
    assert logged.stdout == b"hello\n"


def test_environment_directory_and_input_reach_the_command(house: Installation) -> None:
    """`--env`, `--cwd` and `--stdin` are what the command finds."""
    (house.project / "sub").mkdir(exist_ok=True)
    script = 'pwd; echo "$COLOUR"; cat; echo "$ORCHESTRATOR_ATTEMPT"'

    done = house.cli(
        *("jobs", "submit", "--env", "COLOUR=blue", "--cwd", "sub", "--stdin", "--follow"),
        *("--", "sh", "-c", script),
        stdin=b"from stdin\n",
    )

    expected = f"{(house.project / 'sub').resolve()}\nblue\nfrom stdin\n1\n"
    assert done.stdout.decode() == expected


def test_a_job_does_not_see_secrets_of_its_worker(house: Installation) -> None:
    """The environment of a job is an allow-list: no token, no path of ours."""
    done = house.cli("jobs", "submit", "--follow", "--", "env")

    names = {line.split("=", 1)[0] for line in done.stdout.decode().splitlines()}
    assert {"PATH", "ORCHESTRATOR_JOB_ID", "ORCHESTRATOR_ATTEMPT"} <= names
    assert not {name for name in names if "TOKEN" in name or "KEY" in name or "XDG" in name}
    assert b"secret_" not in done.stdout


def test_a_job_has_no_descriptors_but_its_three(house: Installation) -> None:
    """Nothing of the worker, the shim or the launcher is open in a job."""
    done = house.cli("jobs", "submit", "--follow", "--", "ls", "/proc/self/fd")

    assert done.stdout.split() == [b"0", b"1", b"2", b"3"]  # 3 is ls reading the directory


def test_a_cancelled_job_is_gone_with_its_whole_tree(house: Installation) -> None:
    """A command that ignores TERM, with a grandchild in its own session, leaves nothing behind."""
    marker = house.home / "tree"
    script = (
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; exec sleep 600' & "
        f"echo $! > {marker}; while :; do sleep 0.1; done"
    )
    job_id = house.submit("--grace", "0.2", "--", "sh", "-c", script)
    wait_until(lambda: marker.exists() and marker.read_text().strip() != "", timeout_s=10)

    cancelled = house.cli("jobs", "cancel", job_id)

    assert cancelled.returncode == 0
    ended = house.wait_state(job_id, "cancelled")
    assert ended["reason"] == "cancelled_by_user"
    assert not house.children("sleep")
    assert ended["attempts"][0]["outcome"] == "cancelled"


def test_a_job_that_waits_is_cancelled_at_once(house: Installation) -> None:
    """A job that no worker can run says so, and never starts after its cancel."""
    job_id = house.submit("--tag", "no-such-tag", "--", "true")
    assert house.job(job_id)["pending_reason"] == "no_worker_matches"

    house.cli("jobs", "cancel", job_id)

    assert house.job(job_id)["state"] == "cancelled"


def test_a_timeout_ends_the_command_and_says_so(house: Installation) -> None:
    """A job over its time is ended, fails as `timeout_run`, and the follower returns 124."""
    done = house.cli(
        *("jobs", "submit", "--timeout", "0.3", "--grace", "0.2", "--follow"),
        *("--", "sleep", "60"),
    )

    assert done.returncode == 124
    assert b"timeout" in done.stderr


def test_a_signal_is_told_apart_from_an_exit(house: Installation) -> None:
    """A command killed by a signal is shown with that signal, and the follower returns 128+n."""
    done = house.cli("jobs", "submit", "--follow", "--", "sh", "-c", "kill -SEGV $$")

    assert done.returncode == 128 + 11


def test_a_stream_goes_on_where_it_was_cut(house: Installation) -> None:
    """An event stream opened with the last seen id continues without a gap or a repeat."""
    job_id = house.submit("--", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done")
    house.wait_state(job_id, "succeeded")
    path = f"/api/v1/jobs/{job_id}/output/stream"
    with house.get(path) as stream:
        whole = stream.read().decode().split("\n\n")
    outputs = [event for event in whole if "event: output" in event]
    fields = [dict(line.split(": ", 1) for line in event.splitlines()) for event in outputs]

    with house.get(path, **{"Last-Event-ID": fields[0]["id"]}) as stream:
        rest = stream.read().decode()

    texts = [json.loads(field["data"])["text"] for field in fields]
    assert "".join(texts) == "1\n2\n3\n4\n5\n"
    assert f"id: {fields[0]['id']}\n" not in rest
    assert "event: eof" in rest
    if len(fields) > 1:
        assert f"id: {fields[1]['id']}\n" in rest


def test_following_again_shows_the_whole_output(house: Installation) -> None:
    """`jobs logs -f` of a finished job prints all of it and returns the job's code."""
    job_id = house.submit("--", "sh", "-c", COUNT)

    done = house.cli("jobs", "logs", "-f", job_id)

    assert done.stdout == b"line 1\nline 2\nline 3\n"
    assert done.returncode == 7


def test_a_delay_is_a_job_without_a_process(house: Installation) -> None:
    """The `delay` kind waits and succeeds with what it measured."""
    job = house.json("jobs", "submit", "--kind", "delay", "--params", '{"ms": 20}', "--wait")

    assert job["state"] == "succeeded"
    assert job["result"]["ok"] is True
    assert job["result"]["took_ms"] >= 20


def test_a_job_says_how_far_it_is(house: Installation) -> None:
    """Whoever follows it sees it go on, and so does whoever asks for it meanwhile."""
    done = house.cli(*("jobs", "submit", "--kind", "delay", "--params", '{"ms": 2300}', "--follow"))

    assert done.returncode == 0
    assert done.stdout == b""
    told = [line for line in done.stderr.decode().splitlines() if line.endswith(" %")]
    assert len(told) == 2, done.stderr
    [job] = house.json("jobs", "list", "--limit", "1")["items"]
    [attempt] = house.job(job["id"])["attempts"]
    assert 80 < attempt["progress"]["percent"] <= 100


def test_the_same_key_never_makes_two_jobs(house: Installation) -> None:
    """A submit that is repeated with its idempotency key answers with the first job."""
    words = ("--idempotency-key", "nightly-1", "--", "echo", "once")

    first, second = house.submit(*words), house.submit(*words)

    assert first == second


def test_help_and_version_need_no_server(house: Installation) -> None:
    """The command line explains itself without asking anybody."""
    done = subprocess.run(
        [*PROGRAM, "--help"],
        capture_output=True,
        check=True,
        timeout=20,
        cwd=house.project,
    )

    assert b"jobs" in done.stdout
