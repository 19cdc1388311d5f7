"""A worker that starts finds what an earlier one left: running, ended, or never begun."""

import os
import signal
from pathlib import Path

import anyio
import psutil
import pytest

from orchestrator.kernel.errors import AlreadyRunning
from orchestrator.protocol.frames import decode
from tests.integration.shim.workshop import (
    began,
    come_true,
    heard,
    kill_all,
    launcher,
    line_of,
    opened,
    order,
    passes,
    started,
    told,
    workshop,
)
from worker.records import Cause, Wrote
from worker.spool import AttemptLog, Spool, search

TALK = "i=0; while [ ! -e stop ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo over; exit 7"


async def test_a_running_command_is_found_with_the_same_pid(tmp_path: Path) -> None:
    """It ran on without its worker; its log has all of its words, and it ends as it would have."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            log = await shop.start("sh", "-c", TALK, cwd=str(tmp_path))
            pid = await began(log)
            await heard(log, b"2\n")

        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()

        assert (found.key, found.phase) == (log.key, "running")
        assert await began(found) == pid
        assert psutil.Process(pid).is_running()
        await heard(found, b"20\n")
        (tmp_path / "stop").touch()
        said = await told(found)
        assert (said.end.code, said.end.cause) == (7, "exited")
        lines = said.out.split()
        assert lines == [*(b"%d" % n for n in range(1, len(lines))), b"over"]
        spool.close()


async def test_what_a_found_command_says_is_seen_soon(tmp_path: Path) -> None:
    """Words of a found command are read while it runs, not when it ends."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            log = await shop.start("sh", "-c", f"echo up; {TALK}", cwd=str(tmp_path))
            await heard(log, b"up")
        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()

        said = 0
        async for record in found.records():
            if isinstance(record, Wrote):
                said += len(list(decode(record.frames)))
            if said > 20:
                (tmp_path / "stop").touch()

        assert found.phase == "ended"
        found.settle()
        spool.close()


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.PREEMPTED])
async def test_a_found_command_can_be_ended(tmp_path: Path, cause: Cause) -> None:
    """Whoever finds it can end it, and the record says for what cause."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            await began(await shop.start("sleep", "60"))
        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()

        found.cancel(cause, 5.0)
        said = await told(found)

        assert (said.end.cause, said.end.signal) == (cause, signal.SIGTERM)
        found.cancel(cause, 5.0)  # nobody is there any more, and nothing happens
        spool.close()


async def test_a_command_that_ended_alone_is_found_with_its_end(tmp_path: Path) -> None:
    """What happened while no worker was there is told to the next one."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            log = await shop.start("sh", "-c", TALK, cwd=str(tmp_path))
            await began(log)
        (tmp_path / "stop").touch()
        parent = psutil.Process(process.pid)
        await come_true(lambda: not parent.children())

        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()

        assert found.phase == "ended"
        assert (await told(found)).end.code == 7
        spool.close()


async def test_only_what_is_not_settled_is_found(tmp_path: Path) -> None:
    """A restart tells again what nobody acknowledged, and nothing else."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            logs = [await shop.start("echo", str(number)) for number in range(1)]
            for number in range(1, 6):
                async for _ in logs[-1].records():
                    pass
                logs.append(await shop.start("echo", str(number)))
            async for _ in logs[-1].records():
                pass
            for number in (0, 1, 3, 5):
                logs[number].settle()

        spool = Spool(tmp_path / "spool")
        found = await spool.reattach()
        assert [log.key for log in found] == [logs[2].key, logs[4].key]
        assert [(await told(log)).out for log in found] == [b"2\n", b"4\n"]
        spool.close()

        empty = Spool(tmp_path / "spool")
        assert await empty.reattach() == []
        empty.close()
        assert not list((tmp_path / "spool").glob("seg-*"))


async def test_a_grant_that_nobody_saw_begin_is_waited_for(tmp_path: Path) -> None:
    """A worker died right after granting: the next one does not miss what will still start."""
    with launcher() as process:
        async with opened(tmp_path, process, slots=1) as shop:
            await shop.run("true")
            [shim] = shop.shims
            shim.suspend()
            granted = order("sh", "-c", "echo late; exit 9")
            await shop.pool.start(granted)
        spool = Spool(tmp_path / "spool")

        found: list[AttemptLog] = []

        async def look() -> None:
            found.extend(await spool.reattach())

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            # Only while we look for it does the shim go on, as if it had been swapped out.
            await passes(0.1)
            assert found == []
            shim.resume()

        assert [log.key for log in found] == [(granted.job_id, 1)]
        said = await told(found[0])
        assert (said.out, said.end.code) == (b"late\n", 9)
        spool.close()


async def test_a_shim_that_does_not_move_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped shim could still start its grant one day, so it is ended before anything begins."""
    monkeypatch.setattr(search, "SETTLING_S", 0.2)
    with launcher() as process:
        async with opened(tmp_path, process, slots=1) as shop:
            await shop.run("true")
            [shim] = shop.shims
            shim.suspend()
            await shop.pool.start(order("touch", str(tmp_path / "ran")))
        spool = Spool(tmp_path / "spool")

        assert await spool.reattach() == []

        assert not (tmp_path / "ran").exists()
        await come_true(lambda: not shim.is_running() or shim.status() == psutil.STATUS_ZOMBIE)
        spool.close()


async def test_a_restart_may_be_restarted(tmp_path: Path) -> None:
    """A command outlives any number of workers that found it."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            log = await shop.start("sh", "-c", TALK, cwd=str(tmp_path))
            pid = await began(log)
        for _ in range(3):
            spool = Spool(tmp_path / "spool")
            [found] = await spool.reattach()
            assert await began(found) == pid
            spool.close()
        (tmp_path / "stop").touch()

        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()
        assert (await told(found)).end.code == 7
        spool.close()


async def test_new_attempts_start_beside_found_ones(tmp_path: Path) -> None:
    """A worker that found something runs new things in shims of its own."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            old = await shop.start("sh", "-c", TALK, cwd=str(tmp_path))
            await began(old)
        async with opened(tmp_path, process) as shop:
            [found] = await shop.spool.reattach()

            assert (await shop.run("sh", "-c", "exit 3")).end.code == 3

            (tmp_path / "stop").touch()
            assert (await told(found)).end.code == 7


async def test_two_workers_do_not_share_a_spool(tmp_path: Path) -> None:
    """The second one is refused, and told who has it."""
    async with workshop(tmp_path):
        with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
            Spool(tmp_path / "spool")


async def test_a_spool_keeps_its_name(tmp_path: Path) -> None:
    """The name of a spool is that of the memory, not of the process that uses it."""
    first = Spool(tmp_path / "spool")
    first.close()
    second = Spool(tmp_path / "spool")
    second.close()
    other = Spool(tmp_path / "other")
    other.close()

    assert first.identity.id == second.identity.id != other.identity.id
    assert len(first.identity.id) >= 8


async def test_what_a_killed_worker_ran_goes_on(tmp_path: Path) -> None:
    """Worker and launcher are killed while a command runs: it is found, with the same pid."""
    program = started("one_job", TALK, cwd=tmp_path)
    launcher_pid, pid = line_of(program)
    kill_all(program, launcher_pid)

    spool = Spool(tmp_path / "spool")
    [found] = await spool.reattach()

    assert await began(found) == pid
    assert psutil.Process(pid).is_running()
    await heard(found, b"3\n")
    (tmp_path / "stop").touch()
    said = await told(found)
    assert said.end.code == 7
    spool.close()
