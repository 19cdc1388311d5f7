"""SIGUSR1: what a process does just now stands in its log, and it goes on."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from os import kill
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Give a running installation."""
    with installed(tmp_path_factory.mktemp("machine")) as running:
        yield running


def _status(here: Installation) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(here.cli("status", "--json").stdout)
    return told


PIDS: dict[str, Callable[[dict[str, Any]], int]] = {
    "supervisor": lambda told: int(told["pid"]),
    "worker": lambda told: int(told["workers"][0]["pid"]),
    "server": lambda told: int(told["server"]["pid"]),
}


def _dumps(here: Installation) -> list[str]:
    lines = here.log.read_text(errors="replace").splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    return [str(one["trace"]) for one in told if one["event"] == "stacks.dumped"]


@pytest.mark.parametrize("who", PIDS)
def test_a_process_writes_its_stacks_and_goes_on(here: Installation, who: str) -> None:
    """Threads and tasks, with the places in the source; nobody ends or is replaced."""
    before, known = _status(here), len(_dumps(here))

    kill(PIDS[who](before), signal.SIGUSR1)
    wait_until(lambda: len(_dumps(here)) > known, what=f"stacks in {here.log}")

    dump = _dumps(here)[-1]
    assert "thread MainThread" in dump
    assert "\ntask " in dump
    assert {"supervisor": "daemon.py", "worker": "agent.py", "server": "app.py"}[who] in dump
    job = here.submit("--", "true")
    here.wait_state(job, "succeeded")
    after = _status(here)
    assert [pid(after) for pid in PIDS.values()] == [pid(before) for pid in PIDS.values()]


def test_a_dump_lets_all_of_them_write_theirs(here: Installation) -> None:
    """The supervisor answers with its own, the server and the workers have them in their logs."""
    known = len(_dumps(here))

    done = here.cli("dump")

    assert b"Daemon.run" in done.stdout
    wait_until(lambda: len(_dumps(here)) == known + 2, what=f"stacks in {here.log}")
    told = "\n".join(_dumps(here)[known:])
    assert "agent.py" in told
    assert "app.py" in told


def test_a_worker_s_stacks_stand_in_its_own_log(here: Installation) -> None:
    """Where `orchestrator logs` finds them."""
    told = _status(here)["workers"][0]
    path = Path(told["log_file"])
    known = path.read_text().count("stacks.dumped")

    kill(told["pid"], signal.SIGUSR1)

    wait_until(lambda: path.read_text().count("stacks.dumped") > known)


def test_signals_that_come_fast_are_survived(here: Installation) -> None:
    """Each while the last one is still written: few are answered, none within another line."""
    pid, known = PIDS["supervisor"](_status(here)), len(_dumps(here))
    deadline = time.monotonic() + 1

    while time.monotonic() < deadline:
        kill(pid, signal.SIGUSR1)

    wait_until(lambda: len(_dumps(here)) > known)
    assert len(_dumps(here)) - known < 15
    assert PIDS["supervisor"](_status(here)) == pid
    lines = here.log.read_text(errors="replace").splitlines()
    assert all(json.loads(line) for line in lines if line.startswith('{"time"'))


def test_a_launcher_does_not_die_of_it(here: Installation) -> None:
    """Somebody may send it to everything that looks like ours."""
    below = Path(f"/proc/{PIDS['supervisor'](_status(here))}/task")
    (launcher,) = {
        int(pid) for path in below.glob("*/children") for pid in path.read_text().split()
    }

    kill(launcher, signal.SIGUSR1)

    job = here.submit("--", "true")
    here.wait_state(job, "succeeded")
    assert Path(f"/proc/{launcher}").exists()
