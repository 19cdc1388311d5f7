"""The n-th call of the server to its disk fails: what it said before is true, and it says no more.

The kernel's answer is replaced by `strace`, so the database meets it as it would meet a bad disk.
"""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.caller import Answer, Caller, Unknown
from tests.chaos.database import SqliteFile
from tests.crash import trace
from tests.failpoints.injection import failing
from tests.support.processes import Program, clean_environment, program, python
from tests.support.source import ROOT

JOBS = "/api/v1/jobs"
SPEC = {"kind": "delay", "params": {"ms": 1}}
TIMES = (1, 4)
SUBMITS = 30
"""More than enough for the fault to come among them."""
BROKEN = 70

pytestmark = [
    pytest.mark.skipif(trace.available() is not None, reason=str(trace.available())),
    pytest.mark.timeout(60),
]


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[tuple[Program, Caller]]:
    words = ["server", "run", f"--data-dir={folder}", "--listen=127.0.0.1:0"]
    environment = clean_environment(None, PYTHONPATH=str(ROOT))
    with program(*python("-m", "orchestrator", *words), env=environment) as started:
        started.wait_for("server.started")
        port = int(started.said.split('"http://127.0.0.1:')[1].split('"')[0])
        yield started, Caller(port, (folder / "admin.key").read_text().strip())


def _submitted(caller: Caller) -> tuple[dict[str, str], list[Answer]]:
    """Submit until nobody answers, or often enough; return what was acknowledged, and refusals."""
    acknowledged: dict[str, str] = {}
    refused = []
    for number in range(SUBMITS):
        name = f"job-{number}"
        try:
            answer = caller.post_once(JOBS, SPEC | {"name": name}, name)
        except Unknown:
            break
        if answer.status == 201:
            acknowledged[name] = answer.json["id"]
        else:
            refused.append(answer)
    return acknowledged, refused


def _jobs(caller: Caller) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for job in caller.call("GET", f"{JOBS}?limit=500").json["items"]:
        found.setdefault(job["name"], []).append(job["id"])
    return found


def _assert_all_is_well(folder: Path, acknowledged: dict[str, str]) -> None:
    """Start it again: what was acknowledged is there, and asking again makes nothing twice."""
    with _server(folder) as (started, caller):
        found = _jobs(caller)
        assert {name: [job] for name, job in acknowledged.items()}.items() <= found.items()
        for number in range(SUBMITS):
            name = f"job-{number}"
            assert caller.post_once(JOBS, SPEC | {"name": name}, name).status == 201
        assert {len(ids) for ids in _jobs(caller).values()} == {1}
        started.signal(signal.SIGTERM)
        assert started.wait() == 0
    assert SqliteFile(folder / "orchestrator.db").faults() == []


@pytest.mark.parametrize("number", TIMES)
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_server_whose_disk_fails_says_no_more(tmp_path: Path, call: str, number: int) -> None:
    """It ends at once, with a code of its own, and nothing that it acknowledged is lost."""
    folder = tmp_path / "data"
    with _server(folder) as (started, caller):
        with failing(started.pid, call, "EIO", number):
            acknowledged, refused = _submitted(caller)
            code = started.wait()

        assert code == BROKEN
        assert refused == []
        assert len(acknowledged) < SUBMITS

    _assert_all_is_well(folder, acknowledged)


@pytest.mark.parametrize("number", TIMES)
def test_a_server_whose_disk_is_full_goes_on(tmp_path: Path, number: int) -> None:
    """What does not fit is refused in words, and when there is room it goes on by itself."""
    folder = tmp_path / "data"
    with _server(folder) as (started, caller):
        with failing(started.pid, "pwrite64", "ENOSPC", number):
            acknowledged, refused = _submitted(caller)

        assert refused or "reaper.delayed" in started.said  # whoever wrote at that moment
        assert all((a.status, a.json["code"]) == (503, "storage_full") for a in refused)
        assert len(acknowledged) == SUBMITS - len(refused)
        started.signal(signal.SIGTERM)
        assert started.wait() == 0

    _assert_all_is_well(folder, acknowledged)
