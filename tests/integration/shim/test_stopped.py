"""A job that stops itself, or the shim that owns it, escapes no order and no timeout."""

import signal
from pathlib import Path

import psutil
import pytest

from tests.integration.shim.workshop import (
    began,
    come_true,
    heard,
    launcher,
    opened,
    told,
    workshop,
)
from tests.support.processes import python
from worker import pool
from worker.records import Cause
from worker.spool import Spool, shims

SELF = "echo up; kill -STOP $$"
GROUP = "sleep 60 & echo up; kill -STOP 0"
SHIM = "echo up; kill -STOP $PPID; sleep 60"
DEBUGGER = """
import ctypes, os, pathlib, sys, time
held = ctypes.CDLL(None).ptrace(16, os.getppid(), None, None)  # attach: stopped until we say so
part = pathlib.Path(sys.argv[1] + ".part")
part.write_text(str(held))
part.rename(sys.argv[1])
time.sleep(60)
"""


@pytest.mark.parametrize("script", [SELF, GROUP, SHIM])
async def test_a_stopped_job_is_over_when_its_time_is(tmp_path: Path, script: str) -> None:
    """Whoever was stopped, the timeout ends the job within seconds, as it ends any other."""
    async with workshop(tmp_path) as shop:
        said = await shop.run("sh", "-c", script, timeout_s=1.0, grace_s=1.0)

        assert said.end.cause == "timeout_run"
        assert said.end.wall_s < 4.0
        assert (await shop.run("sh", "-c", "exit 3")).end.code == 3


@pytest.mark.parametrize("script", [SELF, GROUP, SHIM])
async def test_a_stopped_job_can_be_cancelled(tmp_path: Path, script: str) -> None:
    """An order wakes whoever was stopped."""
    async with workshop(tmp_path) as shop:
        log = await shop.start("sh", "-c", script)
        await heard(log, b"up")

        log.cancel(Cause.CANCELLED, 5.0)
        said = await told(log)

        assert (said.end.cause, said.end.signal) == ("cancelled", signal.SIGTERM)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_shim_that_is_never_let_go_on_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    """Some time after the order or the timeout the shim is killed, and its job with it."""
    monkeypatch.setattr(pool, "OVERDUE_S", 0.5)
    timeout_s = 60.0 if ordered else 2.0
    async with workshop(tmp_path) as shop:
        job = python("-c", DEBUGGER, str(tmp_path / "held"))
        log = await shop.start(*job, timeout_s=timeout_s, grace_s=0.0)
        pid = await began(log)
        await come_true((tmp_path / "held").exists)
        if (tmp_path / "held").read_text() != "0":
            pytest.skip("processes may not be debugged here")

        if ordered:
            log.cancel(Cause.CANCELLED, 0.0)
        said = await told(log)

        assert said.vanished.may_have_run
        await come_true(lambda: not psutil.pid_exists(pid), "the job has ended")
        assert shop.shims == []
        assert (await shop.run("sh", "-c", "exit 3")).end.code == 3


async def test_a_found_shim_that_was_stopped_obeys(tmp_path: Path) -> None:
    """A job that has stopped its shim is found, and ended, like any other."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            log = await shop.start("sh", "-c", SHIM)
            await began(log)
        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()

        found.cancel(Cause.CANCELLED, 5.0)
        said = await told(found)

        assert (said.end.cause, said.end.signal) == ("cancelled", signal.SIGTERM)
        spool.close()


async def test_a_found_shim_that_is_never_let_go_on_does_not_escape_its_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long it may take is in the spool, so a worker that finds it ends it when that is over."""
    monkeypatch.setattr(shims, "OVERDUE_S", 0.5)
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            job = python("-c", DEBUGGER, str(tmp_path / "held"))
            log = await shop.start(*job, timeout_s=2.0, grace_s=0.0)
            pid = await began(log)
            await come_true((tmp_path / "held").exists)
            if (tmp_path / "held").read_text() != "0":
                pytest.skip("processes may not be debugged here")
        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()

        said = await told(found)

        assert said.vanished.may_have_run
        await come_true(lambda: not psutil.pid_exists(pid), "the job has ended")
        spool.close()


async def test_a_found_command_has_no_more_grace_than_an_interruption_allows(
    tmp_path: Path,
) -> None:
    """Whoever stops a worker waits for it, and a grace may be an hour."""
    with launcher(first="from worker.shim import escort; escort.PREEMPT_GRACE_S = 0.5") as process:
        async with opened(tmp_path, process) as shop:
            stubborn = "trap '' TERM; echo up; while :; do sleep 0.1; done"
            await heard(await shop.start("sh", "-c", stubborn, grace_s=3600.0), b"up")
        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()

        found.cancel(Cause.PREEMPTED, 10.0)
        said = await told(found)

        assert (said.end.cause, said.end.signal) == ("preempted", signal.SIGKILL)
        spool.close()
