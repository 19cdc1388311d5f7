"""The orchestrator becomes another version of itself under its jobs, or stays what it was."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.installation import Installation, installed
from tests.support.source import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
PROGRAM = f"""\
#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
import orchestrator
from orchestrator import cli
orchestrator.__version__ = "99.0"
{{fault}}
sys.exit(cli.main())
"""
NEVER_READY = """
from orchestrator.supervisor import daemon
from orchestrator.supervisor.logic.summary import Summary
daemon.PROVE_S = 2.0
daemon.summary = lambda *_, **__: Summary("nobody answers", answered=False)
"""
DIES = """
from orchestrator.supervisor import local
def die(*_):
    raise RuntimeError("a fault of the new version")
local.run = die
"""
BREAKS_JOBS = """
from worker import canary
from orchestrator.supervisor import daemon, local
daemon.PROVE_S = 4.0
async def fails(log):
    async for _ in log.records():
        pass
    return "no job runs here"
canary._heard = fails
wanted = local.wanted
def with_canary(settings):
    import dataclasses
    machine = wanted(settings)
    workers = tuple(dataclasses.replace(one, canary=True) for one in machine.workers)
    return dataclasses.replace(machine, workers=workers)
local.wanted = with_canary
"""
DOES_NOT_START = "raise ImportError('a missing package')"


def _venv(folder: Path, fault: str = "") -> Path:
    program = folder / "bin/orchestrator"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM.format(fault=fault))
    program.chmod(0o755)
    return folder


def _began(house: Installation) -> str:
    return str(json.loads(house.cli("status", "--json").stdout)["started_at"])


def _endless(house: Installation) -> tuple[str, Path]:
    go = house.project / "go"
    job = house.submit("--", "sh", "-c", "while [ ! -e go ]; do sleep 0.1; done; echo done")
    house.wait_state(job, "running")
    return job, go


def _finished(house: Installation, job: str, go: Path) -> None:
    go.touch()
    assert house.wait_state(job, "succeeded", timeout_s=60)["attempt"] == 1


def test_it_begins_anew_under_its_jobs(home: Path) -> None:
    """`upgrade` takes the installed version up in the same process; a job never notices."""
    with installed(home) as house:
        job, go = _endless(house)
        before = _began(house)

        done = house.cli("upgrade")

        assert done.returncode == 0, done.stderr
        assert b"is ready; 1 jobs ran on" in done.stderr
        assert _began(house) != before
        assert house.process is not None
        assert house.process.poll() is None
        _finished(house, job, go)
        assert house.stop() == 0


def test_it_becomes_another_installation(home: Path) -> None:
    """`--to` takes another version, with the options of this one, and stays with it."""
    with installed(home) as house:
        job, go = _endless(house)

        done = house.cli("upgrade", f"--to={_venv(home / 'next')}")

        assert done.returncode == 0, done.stderr
        assert b"99.0 is ready" in done.stderr
        assert json.loads(house.cli("status", "--json").stdout)["version"] == "99.0"
        _finished(house, job, go)


@pytest.mark.parametrize(
    "fault", [NEVER_READY, DIES, BREAKS_JOBS], ids=["never ready", "dies", "breaks jobs"]
)
def test_a_version_that_does_not_get_ready_is_left_again(home: Path, fault: str) -> None:
    """The old one is back in the same process, says so with 70, and the job never noticed."""
    with installed(home) as house:
        job, go = _endless(house)

        done = house.cli("upgrade", f"--to={_venv(home / 'next', fault)}")

        assert done.returncode == 70, done.stderr
        assert b"was not ready in time" in done.stderr
        assert json.loads(house.cli("status", "--json").stdout)["version"] != "99.0"
        assert b"run.not_proven" in house.log.read_bytes()
        _finished(house, job, go)
        assert house.stop() == 0


def test_what_does_not_start_is_not_tried(home: Path) -> None:
    """A version that fails in a process of its own, or is none, changes nothing."""
    with installed(home) as house:
        before = _began(house)

        broken = house.cli("upgrade", f"--to={_venv(home / 'next', DOES_NOT_START)}")
        missing = house.cli("upgrade", f"--to={home}")

        for done in (broken, missing):
            assert done.returncode == 78
            assert b"nothing was changed" in done.stderr
        assert _began(house) == before


def test_a_job_can_upgrade_what_runs_it(home: Path) -> None:
    """A job that calls `upgrade` sees the new version, and ends as it should."""
    with installed(home) as house:
        told = [f"{name}={value}" for name, value in house.env.items() if name != "PATH"]
        program = [sys.executable, "-m", "orchestrator", "upgrade"]

        job = house.submit("--", "env", *told, *program)
        wait_until(lambda: b"run.upgraded" in house.log.read_bytes(), timeout_s=60)

        assert house.wait_state(job, "succeeded", timeout_s=60)["attempt"] == 1
