"""The verbs for the orchestrator of this machine, said to a real one."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.configured import configured
from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Give a running installation; each test leaves its worker as it was."""
    with installed(tmp_path_factory.mktemp("machine"), "--slots=2") as running:
        yield running


def _said(here: Installation, *arguments: str) -> tuple[int, str, str]:
    done = here.cli(*arguments)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _status(here: Installation) -> dict[str, Any]:
    code, out, err = _said(here, "status", "--json")
    assert code in {0, 3}, err
    told: dict[str, Any] = json.loads(out)
    return told


def _worker(here: Installation) -> dict[str, Any]:
    (worker,) = _status(here)["workers"]
    assert isinstance(worker, dict)
    return worker


def test_status_shows_everything_and_is_well(here: Installation) -> None:
    """Machine, server and worker, for people and for programs."""
    code, out, _ = _said(here, "status")

    assert code == 0
    assert f"http://127.0.0.1:{here.port}" in out
    assert "ready" in out
    told = _status(here)
    assert told["phase"] == "running"
    assert told["server"]["state"] == "ready"
    assert (told["workers"][0]["name"], told["workers"][0]["slots"]) == ("local", 2)


def test_status_names_the_jobs_that_run(here: Installation, tmp_path: Path) -> None:
    """With their attempt; and `why` says that it takes more."""
    go_on = tmp_path / "go-on"
    job = here.submit("--", "sh", "-c", f"until test -e {go_on}; do sleep 0.05; done")
    wait_until(lambda: _worker(here)["running_count"] == 1)

    worker = _worker(here)
    code, out, _ = _said(here, "why", "local")

    assert worker["state"] == "busy"
    assert [(one["job"], one["attempt"]) for one in worker["running"]] == [(job, 1)]
    assert (code, f"  {job}" in out) == (0, True)
    assert out.startswith("local takes jobs: it is busy since")
    go_on.touch()
    wait_until(lambda: _worker(here)["running_count"] == 0)


def test_top_tells_what_jobs_use(here: Installation) -> None:
    """Of the whole tree, also of what a command started and let go of."""
    burn = "x = bytearray(40_000_000)\nwhile True: pass"
    job = here.submit("--", "sh", "-c", f"(python3 -c '{burn}' &); sleep 600")

    def used() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(_said(here, "top", "--json")[1])
        return dict(told["usage"].get(job, {}))

    wait_until(lambda: used().get("memory_bytes", 0) > 40_000_000, what="its memory is seen")
    wait_until(lambda: (used().get("cpu_percent") or 0) > 1, what="its work is seen")
    assert used()["processes"] >= 2
    code, out, _ = _said(here, "top", "--once")
    assert (code, job in out) == (0, True)
    _said(here, "jobs", "cancel", "--wait", job)


def test_a_paused_worker_takes_nothing_until_it_is_resumed(here: Installation) -> None:
    """Its reason is told here and to the server; what was submitted meanwhile runs afterwards."""
    code, _, err = _said(here, "pause", "local", "--reason", "flaky disk")
    assert (code, "local is paused: flaky disk" in err) == (0, True)

    job = here.submit("--", "true")
    why = _said(here, "why", "local")[1]
    assert _said(here, "status")[0] == 0, "what somebody wants is no trouble"
    assert "takes no jobs: it is paused" in why
    assert "flaky disk" in why
    assert here.job(job)["state"] == "queued"

    assert _said(here, "resume", "local")[0] == 0
    wait_until(lambda: here.job(job)["state"] == "succeeded")
    code, _, err = _said(here, "resume", "local")
    assert (code, "neither paused, drained nor stopped" in err) == (1, True)


def test_a_pause_ends_by_itself(here: Installation) -> None:
    """After the time that somebody said, of which it tells."""
    assert _said(here, "pause", "local", "--for", "2h")[0] == 0
    why = _said(here, "why", "local")[1]
    assert "next: is resumed by itself in 1h59m" in why or "in 2h" in why, why
    assert _said(here, "pause", "local", "--for", "1s")[0] == 0

    wait_until(lambda: _worker(here)["state"] == "ready")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--reason", "x" * 501, "it has 501 characters; write at most 500"),
        ("--reason", "two\nlines", "is no line of text"),
        ("--reason", " ", "is no line of text"),
        ("--for", "0", "'0' is not between 1ms and 366d"),
        ("--for", "367d", "'367d' is not between 1ms and 366d"),
    ],
)
def test_what_cannot_be_a_reason_or_a_time_is_told(
    here: Installation, option: str, value: str, told: str
) -> None:
    """It is a mistake of who typed it: which option, what is right, and nothing is held."""
    code, _, err = _said(here, "pause", "local", option, value)

    assert (code, option in err, told in err) == (2, True, True), err
    assert "Traceback" not in err
    assert _worker(here)["state"] == "ready"


def test_a_drain_waits_for_what_runs_and_can_be_undone(here: Installation, tmp_path: Path) -> None:
    """Draining, then drained; the process stays, so a resume is at once."""
    go_on = tmp_path / "go-on"
    job = here.submit("--", "sh", "-c", f"until test -e {go_on}; do sleep 0.05; done")
    wait_until(lambda: here.job(job)["state"] == "running")
    before = _worker(here)["pid"]

    code, _, err = _said(here, "drain", "local", "--timeout", "1s")
    assert (code, "local is draining after 1.0s" in err) == (75, True)
    go_on.touch()
    assert _said(here, "drain", "local", "--reason", "new disk")[0] == 0
    assert (_worker(here)["state"], _worker(here)["reason"]) == ("drained", "new disk")
    assert here.job(job)["state"] == "succeeded"

    assert _said(here, "resume", "local")[0] == 0
    assert _worker(here)["pid"] == before


def test_a_stop_is_refused_while_jobs_run_unless_somebody_says_what_of_them(
    here: Installation, tmp_path: Path
) -> None:
    """With a code of its own and their names; what is interrupted runs later."""
    go_on = tmp_path / "go-on"
    job = here.submit(
        "--name", "slow", "--", "sh", "-c", f"until test -e {go_on}; do sleep 0.05; done"
    )
    wait_until(lambda: _worker(here)["running_count"] == 1)

    code, _, err = _said(here, "stop", "local")
    assert (code, f"local runs {job} (slow)" in err, "--force" in err) == (7, True, True), err
    assert _worker(here)["state"] == "busy"
    code, _, err = _said(here, "stop", "local", "--drain", "--force")
    assert (code, "say one" in err) == (2, True)

    assert _said(here, "stop", "local", "--force", "--reason", "new disk")[0] == 0
    stopped = _worker(here)
    assert (stopped["state"], stopped["reason"], stopped["pid"]) == ("stopped", "new disk", None)
    assert here.job(job)["state"] == "queued"

    go_on.touch()
    assert _said(here, "resume", "local")[0] == 0
    wait_until(lambda: here.job(job)["state"] == "succeeded")


def test_a_stopped_worker_stays_so_over_restarts_and_is_no_trouble(here: Installation) -> None:
    """Until somebody resumes it; there is nothing to restart meanwhile."""
    assert _said(here, "stop", "local")[0] == 0
    here.kill()
    here.launch()

    wait_until(lambda: _said(here, "status")[0] == 0, what="what somebody wants is no trouble")
    assert (_worker(here)["state"], _worker(here)["starts"]) == ("stopped", 0)
    code, _, err = _said(here, "restart", "local")
    assert (code, "nothing to restart" in err) == (1, True)
    assert "next: is started when somebody resumes it" in _said(here, "why", "local")[1]

    assert _said(here, "resume", "local")[0] == 0
    wait_until(lambda: _worker(here)["state"] == "ready")


def test_a_restart_is_another_process(here: Installation) -> None:
    """It ends what runs first; the command returns when the new one is there."""
    before = _worker(here)

    assert _said(here, "restart", "local", "--reason", "new libc")[0] == 0

    assert _worker(here)["starts"] == before["starts"] + 1
    wait_until(lambda: _worker(here)["state"] == "ready")
    assert _worker(here)["pid"] != before["pid"]


def test_orders_are_written_down(here: Installation) -> None:
    """Who wanted what, and why."""
    _said(here, "pause", "local", "--reason", "audit me")
    _said(here, "resume", "local")

    told = [json.loads(line) for line in _said(here, "events", "--json")[1].splitlines()]

    orders = [one for one in told if one["event"] == "control.ordered"]
    assert (orders[-2]["verb"], orders[-2]["worker"]) == ("pause", "local")
    assert orders[-2]["reason"] == "audit me"
    assert orders[-1]["verb"] == "resume"
    assert [one["seq"] for one in told] == sorted({one["seq"] for one in told})


def test_a_worker_s_log_is_its_own(here: Installation) -> None:
    """What happened to a job, for people and programs; it goes on while it is followed."""
    job = here.submit("--", "true")
    here.wait_state(job, "succeeded")

    def about() -> list[str]:
        lines = _said(here, "logs", "local", "--job", job, "--json")[1].splitlines()
        return [json.loads(line)["event"] for line in lines]

    wait_until(lambda: about() == ["attempt.started", "attempt.ended"])
    out = _said(here, "logs", "local", "--since", "1h", "--lines", "1")[1]
    assert (out.count("\n"), " worker=local" in out) == (1, True)

    following = here.follow("logs", "local", "-f", "--lines", "0")
    try:
        assert following.stdout is not None
        while b"session.opened" not in following.stdout.readline():
            pass  # what was there before
        later = here.submit("--", "true")
        while later.encode() not in following.stdout.readline():
            pass
    finally:
        following.kill()
        following.communicate()


def test_why_tells_of_an_entry_that_cannot_be_run(tmp_path: Path) -> None:
    """A worker that waits for its entry to be mended is one that people ask for."""
    missing = str(tmp_path / "missing")
    with configured(tmp_path / "home", {"name": "a"}) as here:
        here.save({"name": "a"}, {"name": "b", "working_directory": missing})
        here.wait_for_event("config.partly_applied")

        code, out, _ = _said(here, "why", "b")

        assert code == 0
        assert "b takes no jobs: it is config_error since" in out
        assert f"there is no directory {missing}" in out
        assert "next: waits until that is mended" in out
        assert f"configured at {here.file}:" in out


def test_an_unknown_worker_is_said_so(here: Installation) -> None:
    """With those that there are."""
    for verb in ("why", "pause", "drain", "stop", "resume", "restart"):
        code, _, err = _said(here, verb, "lokal")
        assert (code, "there is no worker 'lokal' here" in err) == (1, True)
        assert "there are: local" in err


def test_a_machine_without_a_file_has_nothing_to_reload(here: Installation) -> None:
    """It is said, and changes nothing."""
    code, _, err = _said(here, "reload")

    assert (code, "goes by its options" in err) == (78, True)


def test_a_dump_shows_what_it_does(here: Installation) -> None:
    """The tasks and threads of the supervisor, while it goes on."""
    code, out, _ = _said(here, "dump")

    assert code == 0
    assert "thread MainThread" in out
    assert "task " in out


def test_a_killed_supervisor_is_not_running(here: Installation) -> None:
    """Its socket is still there; nobody listens."""
    here.kill()
    try:
        code, _, err = _said(here, "status")
        assert (code, "no orchestrator of yours runs" in err) == (4, True)
    finally:
        here.start()
    assert _said(here, "status")[0] == 0


def test_a_stopped_supervisor_is_not_waited_for_for_ever(here: Installation) -> None:
    """It does not answer, and that is what is said."""
    assert here.process is not None
    here.process.send_signal(19)
    try:
        began = time.monotonic()
        code, _, err = _said(here, "status")
    finally:
        here.process.send_signal(18)
    assert (code, "did not answer within" in err) == (75, True)
    assert time.monotonic() - began < 60


def test_a_machine_with_a_file_is_reloaded_by_word(tmp_path: Path) -> None:
    """What changes is said; a broken file changes nothing, and its line is said as well."""
    with configured(tmp_path / "home", {"name": "web"}) as here:
        here.save({"name": "web", "concurrency": 2}, watch_config=False)
        here.wait_for_event("config.applied")
        assert _said(here, "why", "web")[1].count("of at most 2 jobs") == 1

        here.save({"name": "web", "concurrency": 3}, watch_config=False)
        code, _, err = _said(here, "reload")
        assert (code, "web: concurrency 2→3 (now)" in err) == (0, True), err

        here.save({"name": "web", "concurency": 4}, watch_config=False)
        code, _, err = _said(here, "reload")
        assert (code, "unknown key 'concurency'" in err) == (78, True), err
        code, out, _ = _said(here, "status")
        assert (code, "unknown key 'concurency'" in out) == (3, True)
        assert _status(here)["workers"][0]["slots"] == 3
