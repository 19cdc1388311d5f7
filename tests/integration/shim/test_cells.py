"""Limits that the kernel holds an attempt to, in a service to which control groups were left."""

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.kernel.cgroups import Cgroup, Groups
from orchestrator.kernel.delegation import CONTROLLERS
from orchestrator.protocol.limits import MIB
from tests.integration.shim.test_cgroups import HYDRA
from tests.integration.shim.workshop import Workshop, come_true, heard, launcher, opened, told
from tests.support import groups
from tests.support.processes import clean_environment, python
from tests.support.source import ROOT
from worker.records import Cause
from worker.settings import JobLimits

pytestmark = pytest.mark.skipif(Groups.here() is None, reason="no control groups can be made here")

SERVED = """
from pathlib import Path
from orchestrator.kernel import delegation
folder = Path({folder!r})
(folder / "orchestrator").mkdir()
(folder / "orchestrator" / "cgroup.procs").write_text("0")
delegation.CONTROLLERS = {controllers!r}
delegation.settle()
"""
EAT = "held = bytearray(b'x') * ({} << 20); print('full', flush=True)"
FORK = """
import os, signal
made = 0
try:
    while made < 50:
        if os.fork() == 0:
            signal.pause()
            os._exit(0)
        made += 1
except BlockingIOError:
    print(made)
"""


@contextlib.asynccontextmanager
async def _served(
    directory: Path, folder: Path, controllers: tuple[str, ...]
) -> AsyncIterator[Workshop]:
    """Give a workshop of a launcher that sits where systemd would put it."""
    first = SERVED.format(folder=str(folder), controllers=controllers)
    with launcher(first=first) as process:
        async with opened(directory, process, slots=1) as shop:
            yield shop
    await come_true(lambda: not list(folder.glob("orch-*")), "every group is gone")


@pytest.fixture
def some() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Give a service whose groups have any controller at all."""
    with groups.some_controller() as name, groups.service() as folder:
        yield folder, (name,)


@pytest.fixture
def all_three() -> Iterator[Path]:
    """Give a service whose groups can be held to limits."""
    with groups.service() as folder:
        absent = set(CONTROLLERS) - set((folder / "cgroup.controllers").read_text().split())
        if absent:
            pytest.skip(
                f"NOT TESTED with the kernel's limits: {folder.parent} hands on no {absent}"
            )
        yield folder


async def test_everybody_is_ended_where_controllers_are_handed_on(
    tmp_path: Path, some: tuple[Path, tuple[str, ...]]
) -> None:
    """The shim has nowhere to step but into a group of its own program's, and it does."""
    async with _served(tmp_path, *some) as shop:
        log = await shop.start(*python("-S", "-c", HYDRA), cwd=str(tmp_path), grace_s=1.0)
        await heard(log, b"begun")

        log.cancel(Cause.CANCELLED, 0.2)
        said = await told(log)

        assert said.end.leftovers >= 1
        assert said.end.message is None
        [shim] = shop.shims
        place = Path(f"/proc/{shim.pid}/cgroup").read_text().splitlines()[-1]
        assert Path(place).name.startswith("orch-")
        assert (await shop.run("sh", "-c", "exit 3")).end.code == 3
        assert shop.shims == [shim]


ENTER = """
import os, resource, subprocess, sys
from pathlib import Path
from orchestrator.kernel.cgroups import Cgroup
from worker.shim.cell import Cell
from worker.shim.line import Grant
group = Cgroup(Path(sys.argv[1]))
group.enter()
group.cell.mkdir()
words = dict.fromkeys("job attempt argv env cwd root timeout_s silence_s grace_s".split())
cell = Cell(group, Grant(**words, durable=False, stdin=None), frozenset())
files = resource.getrlimit(resource.RLIMIT_NOFILE)
with cell.entered():
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), files[1]))
resource.setrlimit(resource.RLIMIT_NOFILE, files)
own = Path("/proc/self/cgroup").read_text().splitlines()[-1]
other = Path(f"/proc/{child.pid}/cgroup").read_text().splitlines()[-1]
print(own.endswith(group.path.name), other.endswith(group.cell.name))
group.kill_others()
print(child.wait())
cell.remove()
print(group.cell.exists())
group.leave()
group.remove()
"""


@pytest.mark.parametrize("files", [64, 0])
def test_only_the_command_is_in_the_cell(files: int) -> None:
    """The shim goes in to start it, and out again: also when not a file can be opened any more."""
    with groups.service() as folder:
        group = Cgroup(folder / "orch-7.7.0")
        group.path.mkdir()

        done = subprocess.run(
            python("-c", ENTER, str(group.path), str(files)),
            check=True,
            env=clean_environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=15,
        )

        assert done.stdout.split() == ["True", "True", "-9", "False"]


NO_FILES = """
import os, sys
from pathlib import Path
from orchestrator.kernel.cgroups import Cgroup
from worker.shim.cell import Cell
from worker.shim.line import Grant
group = Cgroup(Path(sys.argv[1]))
group.enter()
words = dict.fromkeys("job attempt argv env cwd root timeout_s silence_s grace_s".split())
words |= {"memory_bytes": 1 << 30, "pids": 20, "cpus": 1}
grant = Grant(**words, durable=False, stdin=None)
cell = Cell.made(group, grant, frozenset(("cpu", "memory", "pids")))
with cell.entered():
    own = Path("/proc/self/cgroup").read_text().splitlines()[-1]
print(own.endswith(group.cell.name), cell.left(), cell.holds_memory, cell.remarks())
cell.remove()
print(group.cell.exists())
group.leave()
group.remove()
"""


def test_words_that_the_kernel_has_not_are_told() -> None:
    """It has no such files in this cell, which holds what it starts all the same."""
    with groups.service() as folder:
        group = Cgroup(folder / "orch-7.7.0")
        group.path.mkdir()

        done = subprocess.run(
            python("-c", NO_FILES, str(group.path)),
            check=True,
            env=clean_environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=15,
        )

    why = "its control group could not be used (No such file or directory)"
    remarks = [f"it was not held to limits.{limit}: {why}" for limit in ("pids", "cpus")]
    assert done.stdout.splitlines() == [f"True True False {remarks}", "False"]


async def test_the_kernel_ends_a_job_for_its_memory(tmp_path: Path, all_three: Path) -> None:
    """All of it at one moment, and the result says so with the peak; the next job is not held."""
    async with _served(tmp_path, all_three, CONTROLLERS) as shop:
        command = python("-S", "-c", EAT.format(120))
        limits = JobLimits(memory_bytes=64 * MIB)
        said = await shop.run(*command, limits=limits)

        assert said.end.cause is Cause.OOM
        assert said.end.signal == 9
        assert (said.end.message or "").startswith("memory limit 64.0 MiB exceeded (peak ")
        assert (await shop.run(*command)).out == b"full\n"


async def test_the_kernel_refuses_a_process_too_many(tmp_path: Path, all_three: Path) -> None:
    """The job is told EAGAIN at its limit exactly; the result says how often."""
    async with _served(tmp_path, all_three, CONTROLLERS) as shop:
        said = await shop.run(*python("-S", "-c", FORK), limits=JobLimits(pids=10))

        assert said.out == b"9\n"
        assert said.end.leftovers == 9
        assert (said.end.message or "").startswith("it may have 10 processes at once, and was")


async def test_the_kernel_gives_a_job_its_share_of_processors(
    tmp_path: Path, all_three: Path
) -> None:
    """A tenth of one: what takes that much time of it takes ten times as long."""
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    async with _served(tmp_path, all_three, CONTROLLERS) as shop:
        said = await shop.run(*python("-S", "-c", burn), limits=JobLimits(cpus=0.1))

        assert said.end.code == 0
        assert said.end.wall_s > 5 * 0.2
