"""A shim that is killed: nobody survives it, and nothing is claimed that nobody knows."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from orchestrator.kernel.errors import LauncherGone, LaunchFailed
from tests.integration.shim.test_ends import CLOSED, daemon, pids
from tests.integration.shim.workshop import (
    Workshop,
    ask_for_shim,
    come_true,
    heard,
    launcher,
    opened,
    told,
    workshop,
)

LONG = "echo begun; exec sleep 60"


def _alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped by init does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill_shim(shop: Workshop) -> None:
    [shim] = shop.shims
    shim.kill()


async def test_a_killed_shim_is_told_and_its_job_is_gone(tmp_path: Path) -> None:
    """The attempt vanished, it may have run, its words are kept, and nobody of it is left."""
    argv = daemon(before=CLOSED, after="os.write(1, b'begun'); time.sleep(60)")

    async with workshop(tmp_path) as shop:
        log = await shop.start(*argv, cwd=str(tmp_path))
        await heard(log, b"begun")

        _kill_shim(shop)
        said = await told(log)

        assert said.vanished.may_have_run
        assert said.out == b"begun"
        assert said.began is not None
        # The job's own process by the time of the record, its daemon by the launcher's doing.
        assert not _alive(said.began.pid)
        await come_true(lambda: not any(_alive(pid) for pid in pids(tmp_path)))
        # And the worker goes on, with another shim.
        assert (await shop.run("sh", "-c", "exit 3")).end.code == 3


async def test_nobody_survives_shim_and_launcher(tmp_path: Path) -> None:
    """Even if the launcher died too, whoever bears the marks of the attempt is found and killed."""
    script = f"setsid sleep 60 & echo $! > pids; {LONG}"

    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            log = await shop.start("sh", "-c", script, cwd=str(tmp_path))
            await heard(log, b"begun")
            [shim] = shop.shims
            os.kill(process.pid, signal.SIGKILL)
            shim.kill()
            said = await told(log)

            assert said.vanished.may_have_run
            assert said.began is not None
            assert not any(_alive(pid) for pid in [said.began.pid, *pids(tmp_path)])
            with pytest.raises((LauncherGone, LaunchFailed)):
                await shop.run("true")


async def test_a_shim_that_died_idle_costs_nothing(tmp_path: Path) -> None:
    """The next attempt goes to another shim, and its segment is not kept for ever."""
    async with workshop(tmp_path, slots=1) as shop:
        await shop.run("true")
        [before] = shop.spool.directory.glob("seg-*")
        _kill_shim(shop)
        await come_true(lambda: not shop.shims)

        said = await shop.run("sh", "-c", "exit 3")

        assert said.end.code == 3
        await come_true(lambda: not before.exists())


async def test_a_grant_that_was_never_read_has_not_run(tmp_path: Path) -> None:
    """If the shim died before it wrote down the grant, that nothing ran is certain, and said."""
    async with workshop(tmp_path, slots=1) as shop:
        await shop.run("true")
        [shim] = shop.shims
        shim.suspend()
        log = await shop.start("touch", str(tmp_path / "ran"))
        shim.kill()

        said = await told(log)

        assert not said.vanished.may_have_run
        assert not (tmp_path / "ran").exists()


async def test_a_spool_that_no_shim_can_write_to_is_told(tmp_path: Path) -> None:
    """A shim that cannot make its segment says why, and nothing is granted."""
    async with workshop(tmp_path) as shop:
        moved = shop.spool.directory.rename(tmp_path / "moved")

        with pytest.raises(LaunchFailed, match=r"a shim cannot work in the spool .*: No such file"):
            await shop.run("true")

        moved.rename(shop.spool.directory)
        assert (await shop.run("true")).end.code == 0


async def test_a_shim_without_a_worker_ends(tmp_path: Path) -> None:
    """A shim whose worker is gone before it granted anything does not stay."""
    async with workshop(tmp_path) as shop:
        line = ask_for_shim(shop.pool._channel, shop.spool.directory)
        line.setblocking(True)
        assert b"ready" in line.recv(1000)
        assert len(shop.shims) == 1

        line.close()

        await come_true(lambda: not shop.shims, "the shim has ended")


async def test_a_shim_that_is_told_to_end_while_idle_ends(tmp_path: Path) -> None:
    """SIGTERM, as everybody gets it when a machine shuts down, ends an idle shim."""
    async with workshop(tmp_path) as shop:
        await shop.run("true")
        [shim] = shop.shims

        shim.terminate()

        await come_true(lambda: not shop.shims, "the shim has ended")


async def test_a_machine_that_shuts_down_interrupts(tmp_path: Path) -> None:
    """SIGTERM to a shim at work ends its attempt as preempted: nobody has cancelled it."""
    async with workshop(tmp_path) as shop:
        log = await shop.start("sh", "-c", LONG)
        await heard(log, b"begun")
        [shim] = shop.shims

        shim.terminate()
        said = await told(log)

    assert (said.end.cause, said.end.signal) == ("preempted", signal.SIGTERM)
