"""How an attempt ends: in time, on an order, and always with nobody left."""

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.shim.workshop import Told, Workshop, began, come_true, heard, told, workshop
from tests.support.processes import python
from worker.records import Cause

# Starts a grandchild that nothing of the job leads to: orphaned, in a session of its own, with a
# cleared environment; then it says who that is.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {before}
        with open("pids", "a") as file:
            file.write(f"{{os.getpid()}}\\n")
        os.execve("/bin/sh", ["sh", "-c", {what!r}], {{}})
    os._exit(0)
os.wait()
while not os.path.exists("pids") or not open("pids").read().endswith("\\n"):
    time.sleep(0.001)
{after}
"""
CLOSED = "os.dup2(os.open('/dev/null', os.O_RDWR), 1); os.dup2(1, 2)"
DEAF = "trap '' TERM HUP INT; while :; do sleep 60; done"


def daemon(*, before: str = "pass", what: str = "exec sleep 60", after: str = "pass") -> list[str]:
    """Return a command that leaves such a grandchild, and then does `after`."""
    return python("-S", "-c", DAEMON.format(before=before, what=what, after=after))


def pids(folder: Path) -> list[int]:
    """Return whom the daemons of a job have named."""
    return [int(line) for line in (folder / "pids").read_text().split()]


async def timed(shop: Workshop, *argv: str, **fields: Any) -> tuple[Told, float]:
    """Run a command, and say how long that took."""
    began_at = time.monotonic()
    said = await shop.run(*argv, **fields)
    return said, time.monotonic() - began_at


async def test_a_command_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    """When its time is over it gets SIGTERM, and the record says why."""
    async with workshop(tmp_path) as shop:
        said, took_s = await timed(shop, "sleep", "60", timeout_s=0.2)

    assert (said.end.cause, said.end.signal) == ("timeout_run", signal.SIGTERM)
    assert 0.2 <= took_s < 2


async def test_a_stopped_command_may_tidy_up(tmp_path: Path) -> None:
    """Within the grace it ends as it likes: its last words and its code are kept."""
    script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.01; done"

    async with workshop(tmp_path) as shop:
        said = await shop.run("sh", "-c", script, timeout_s=0.2)

    assert (said.end.cause, said.end.code) == ("timeout_run", 9)
    assert said.out == b"up\nbye\n"


async def test_a_deaf_command_is_killed_after_the_grace(tmp_path: Path) -> None:
    """Who ignores SIGTERM has the grace, and no more."""
    async with workshop(tmp_path) as shop:
        said, took_s = await timed(shop, "sh", "-c", DEAF, timeout_s=0.1, grace_s=0.2)

    assert (said.end.cause, said.end.signal) == ("timeout_run", signal.SIGKILL)
    assert 0.3 <= took_s < 2


async def test_a_silent_command_is_stopped(tmp_path: Path) -> None:
    """Silence is counted from the last word on either stream, and words postpone it."""
    talk = "for i in 1 2 3 4 5 6 7 8; do echo $i; echo $i >&2; sleep 0.1; done"

    async with workshop(tmp_path) as shop:
        silent = await shop.run("sh", "-c", "echo one; sleep 60", silence_s=0.3)
        talking = await shop.run("sh", "-c", talk, silence_s=0.5)

    assert (silent.end.cause, silent.out) == ("timeout_silence", b"one\n")
    assert talking.end.cause == "exited"


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.PREEMPTED])
async def test_a_command_ends_on_an_order(tmp_path: Path, cause: Cause) -> None:
    """The order's cause is the record's, and the command's end is exact."""
    async with workshop(tmp_path) as shop:
        log = await shop.start("sleep", "60")
        await began(log)

        log.cancel(cause, 5.0)
        said = await told(log)

    assert (said.end.cause, said.end.signal) == (cause, signal.SIGTERM)


async def test_an_order_without_grace_kills(tmp_path: Path) -> None:
    """A second order may shorten the grace of the first, down to nothing."""
    async with workshop(tmp_path) as shop:
        log = await shop.start("sh", "-c", f"echo up; {DEAF}", grace_s=60.0)
        await heard(log, b"up")
        log.cancel(Cause.CANCELLED, 60.0)
        log.cancel(Cause.CANCELLED, 0.0)

        said = await told(log)

    assert (said.end.cause, said.end.signal) == ("cancelled", signal.SIGKILL)


async def test_a_cancel_finds_everybody(tmp_path: Path) -> None:
    """Whoever left the job's session, its group and its environment is gone with it."""
    argv = daemon(before=CLOSED, what=DEAF, after="os.write(1, b'ready'); time.sleep(60)")

    async with workshop(tmp_path) as shop:
        log = await shop.start(*argv, cwd=str(tmp_path))
        await heard(log, b"ready")
        [daemon_pid] = pids(tmp_path)
        log.cancel(Cause.CANCELLED, 5.0)
        said = await told(log)

        # By the time of the record, not some time after it.
        assert not psutil.pid_exists(daemon_pid)
    assert (said.end.cause, said.end.signal) == ("cancelled", signal.SIGTERM)
    assert said.end.leftovers >= 1


async def test_who_is_told_has_the_grace_even_without_a_leader(tmp_path: Path) -> None:
    """A stopped job's group keeps its grace, though the command itself ends at once."""
    child = "trap 'sleep 0.3; echo tidy; exit 0' TERM; echo up; while :; do sleep 0.01; done"
    script = f'sh -c "{child}" & exec sleep 60'

    async with workshop(tmp_path) as shop:
        log = await shop.start("sh", "-c", script)
        await heard(log, b"up")
        log.cancel(Cause.CANCELLED, 5.0)
        said = await told(log)

    assert (said.end.signal, said.out, said.end.leftovers) == (signal.SIGTERM, b"up\ntidy\n", 0)


async def test_a_stopped_process_can_be_ended(tmp_path: Path) -> None:
    """A job that has stopped itself hears the order to end."""
    async with workshop(tmp_path) as shop:
        log = await shop.start("sh", "-c", "trap 'echo bye; exit 1' TERM; kill -STOP $$")
        pid = await began(log)
        process = psutil.Process(pid)
        await come_true(lambda: process.status() == psutil.STATUS_STOPPED)

        log.cancel(Cause.CANCELLED, 5.0)
        said = await told(log)

    assert (said.end.code, said.out) == (1, b"bye\n")


async def test_an_ended_command_leaves_nobody(tmp_path: Path) -> None:
    """A daemon with closed streams does not delay the end, and does not survive it."""
    argv = daemon(before=CLOSED, after="sys.exit(4)")

    async with workshop(tmp_path) as shop:
        said, took_s = await timed(shop, *argv, cwd=str(tmp_path))

        assert [pid for pid in pids(tmp_path) if psutil.pid_exists(pid)] == []
    assert (said.end.cause, said.end.code, said.end.leftovers) == ("exited", 4, 1)
    assert took_s < 1.5


async def test_who_holds_the_output_is_waited_for_a_while(tmp_path: Path) -> None:
    """A daemon that keeps stdout open delays the end by two seconds, and is then killed."""
    argv = daemon(what="echo late; exec sleep 60", after="sys.exit(6)")

    async with workshop(tmp_path) as shop:
        said, took_s = await timed(shop, *argv, cwd=str(tmp_path))

        assert [pid for pid in pids(tmp_path) if psutil.pid_exists(pid)] == []
    assert (said.end.code, said.out, said.end.leftovers) == (6, b"late\n", 1)
    assert 2 <= took_s < 5


async def test_late_words_are_heard(tmp_path: Path) -> None:
    """What a child still says after the command has ended is kept, if it ends soon."""
    async with workshop(tmp_path) as shop:
        said, took_s = await timed(shop, "sh", "-c", "(sleep 0.2; echo late) & echo early")

    assert (said.out, said.end.leftovers) == (b"early\nlate\n", 0)
    assert took_s < 1.5


async def test_the_next_attempt_hears_nothing_of_the_last(tmp_path: Path) -> None:
    """A shim that had to clean up serves the next attempt as if nothing had been."""
    noise = "while :; do echo noise; done"

    async with workshop(tmp_path, slots=1) as shop:
        for _ in range(2):
            await shop.run(*daemon(what=noise, after="sys.exit(0)"), timeout_s=0.3, grace_s=0)
            clean = await shop.run("echo", "clean")

            assert (clean.out, clean.end.leftovers) == (b"clean\n", 0)
        assert len(shop.shims) == 1


async def test_programs_that_fork_without_end_are_ended(tmp_path: Path) -> None:
    """Loops that fork faster than anybody can look are gone before the record is there."""
    loop = "while :; do sleep 60 & sleep 0.02; done"
    script = f"for i in 1 2 3; do setsid sh -c '{loop}' & done; sleep 0.3; exit 2"

    async with workshop(tmp_path) as shop:
        said = await shop.run("sh", "-c", script, timeout_s=10)
        [shim] = shop.shims

        assert shim.children(recursive=True) == []
    assert said.end.code == 2
    assert said.end.leftovers > 3


async def test_orphans_that_end_are_reaped_while_the_job_runs(tmp_path: Path) -> None:
    """A long job that abandons children by the dozen does not fill the table of processes."""
    script = "for i in $(seq 50); do (true &) ; done; echo done; exec sleep 60"

    async with workshop(tmp_path) as shop:
        log = await shop.start("sh", "-c", script)
        await heard(log, b"done")
        [shim] = shop.shims

        await come_true(lambda: len(shim.children()) == 1, "every orphan was reaped")
        log.cancel(Cause.CANCELLED, 1.0)
        assert (await told(log)).end.leftovers == 0


async def test_a_cancel_that_comes_too_late_hits_nobody(tmp_path: Path) -> None:
    """An order for an attempt that has ended does nothing to it, nor to the next one."""
    async with workshop(tmp_path, slots=1) as shop:
        log = await shop.start("true")
        [shim] = shop.pool._shims
        await told(log)
        log.cancel(Cause.CANCELLED, 0)
        shim.cancel(Cause.CANCELLED, 0)  # as if it had been under way when the attempt ended

        said = await shop.run("sh", "-c", "sleep 0.1; exit 8")

    assert (said.end.cause, said.end.code) == ("exited", 8)


async def test_a_job_that_kills_its_group_kills_only_itself(tmp_path: Path) -> None:
    """The shim is in no group of its job's."""
    async with workshop(tmp_path, slots=1) as shop:
        said = await shop.run("sh", "-c", "kill -9 0")
        after = await shop.run("true")

    assert (said.end.cause, said.end.signal) == ("exited", signal.SIGKILL)
    assert after.end.code == 0
