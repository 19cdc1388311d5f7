"""Where there are control groups nobody of an attempt survives, whatever he does to get away."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from orchestrator.kernel.cgroups import Cgroup, Groups
from tests.integration.shim.test_ends import CLOSED, daemon, pids
from tests.integration.shim.workshop import (
    Workshop,
    come_true,
    heard,
    launcher,
    opened,
    told,
    workshop,
)
from tests.support.processes import python
from worker.records import Cause
from worker.settings import JobLimits

pytestmark = pytest.mark.skipif(Groups.here() is None, reason="no control groups can be made here")

# Each generation is a process in a session of its own that starts the next one and ends.
HYDRA = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork():
    while True:
        signal.pause()
os.setsid()
os.write(1, b'begun')
null = os.open('/dev/null', os.O_RDWR)
os.dup2(null, 1), os.dup2(null, 2)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
"""


def _group(shop: Workshop) -> Cgroup:
    [segment] = shop.spool.directory.glob("seg-*")
    found = shop.spool.find(segment.name)
    assert found is not None
    group = found.group()
    assert group is not None
    return group


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_shim_that_could_not_enter_a_group_says_so(tmp_path: Path) -> None:
    """Its commands run, what they were not held to is in their record, and the worker is told."""
    first = "from orchestrator.kernel.cgroups import Cgroup; Cgroup.enter = lambda group: False"
    with launcher(first=first) as process:
        async with opened(tmp_path, process) as shop:
            limited = JobLimits(pids=50, cpus=1.5)
            said = await shop.run("true", limits=limited)
            other = await shop.run("true")
            assert shop.pool._capacity.unbound

    assert said.end.code == 0
    assert said.end.message == (
        "it was not held to limits.pids and limits.cpus: its shim could not enter a control group"
    )
    assert other.end.message is None


async def test_nobody_survives_shim_and_launcher(tmp_path: Path) -> None:
    """Both killed at once: also a daemon that cleared its environment is gone with the record."""
    argv = daemon(before=CLOSED, after="os.write(1, b'begun'); import signal; signal.pause()")

    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            log = await shop.start(*argv, cwd=str(tmp_path))
            await heard(log, b"begun")
            group = _group(shop)
            [shim] = shop.shims
            os.kill(process.pid, signal.SIGKILL)
            shim.kill()

            said = await told(log)

            assert said.vanished.may_have_run
            assert said.began is not None
            assert not any(_alive(pid) for pid in [said.began.pid, *pids(tmp_path)])
            assert not group.path.exists()


async def test_who_forks_faster_than_one_can_look_dies_with_the_shim(tmp_path: Path) -> None:
    """A new session and a new parent in each generation: the launcher ends it with one write."""
    async with workshop(tmp_path) as shop:
        log = await shop.start(*python("-S", "-c", HYDRA), cwd=str(tmp_path))
        await heard(log, b"begun")
        group = _group(shop)
        [shim] = shop.shims

        shim.kill()

        assert (await told(log)).vanished.may_have_run
        await come_true(lambda: not group.path.exists(), "its group is gone")
        assert (await shop.run("sh", "-c", "exit 3")).end.code == 3


async def test_who_forks_faster_than_one_can_look_is_cancelled(tmp_path: Path) -> None:
    """All of it ends within the grace, the record counts it, and the shim takes another attempt."""
    async with workshop(tmp_path, slots=1) as shop:
        log = await shop.start(*python("-S", "-c", HYDRA), cwd=str(tmp_path), grace_s=1.0)
        await heard(log, b"begun")
        group = _group(shop)

        log.cancel(Cause.CANCELLED, 0.2)
        said = await told(log)

        assert said.end.cause == Cause.CANCELLED
        assert said.end.leftovers >= 1
        assert said.end.message is None
        [shim] = shop.shims
        assert (group.path / "cgroup.procs").read_text().split() == [str(shim.pid)]
        assert (await shop.run("sh", "-c", "exit 3")).end.code == 3
        assert shop.shims == [shim]


async def test_a_group_ends_with_its_shim(tmp_path: Path) -> None:
    """Each shim has one for all its attempts, which are in it; nothing of it stays."""
    async with workshop(tmp_path, slots=1) as shop:
        first = await shop.run("cat", "/proc/self/cgroup")
        second = await shop.run("cat", "/proc/self/cgroup")
        group = _group(shop)

        assert f"/{group.path.name}\n".encode() in first.out
        assert first.out == second.out
    await come_true(lambda: not group.path.exists())


async def test_a_group_ends_with_a_shim_that_has_no_launcher(tmp_path: Path) -> None:
    """The last attempt of a shim that is left alone ends as any other, and its group with it."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            script = "echo begun; while [ ! -e gate ]; do sleep 0.01; done; exit 3"
            log = await shop.start("sh", "-c", script, cwd=str(tmp_path))
            await heard(log, b"begun")
            group = _group(shop)
            os.kill(process.pid, signal.SIGKILL)
            (tmp_path / "gate").touch()
            assert (await told(log)).end.code == 3
            assert group.path.exists()
        await come_true(lambda: not group.path.exists())
