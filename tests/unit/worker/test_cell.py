"""What a cell's files are told, and what is read out of them."""

from pathlib import Path

import pytest

from orchestrator.kernel.cgroups import Cgroup
from orchestrator.protocol.limits import MIB
from worker.shim.cell import Cell, controllers_of, held_to
from worker.shim.line import Grant

ALL = frozenset({"cpu", "memory", "pids"})


def _grant(
    memory_bytes: int | None = None, cpus: float | None = None, pids: int | None = None
) -> Grant:
    return Grant(
        job="job_1",
        attempt=1,
        argv=["true"],
        env={},
        cwd="/",
        root=None,
        timeout_s=None,
        silence_s=None,
        grace_s=1.0,
        durable=False,
        stdin=None,
        memory_bytes=memory_bytes,
        cpus=cpus,
        pids=pids,
    )


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        (_grant(), {}),
        (
            _grant(memory_bytes=64 * MIB),
            {"memory.max": "67108864", "memory.oom.group": "1"},
        ),
        # The shim is in it, too, while it starts the command.
        (_grant(pids=20), {"pids.max": "21"}),
        (_grant(cpus=1.5), {"cpu.max": "150000 100000"}),
        (_grant(cpus=0.001), {"cpu.max": "1000 100000"}),
    ],
)
def test_what_a_cell_is_told(grant: Grant, words: dict[str, str]) -> None:
    """A word for each limit that there is, in the kernel's units; without a controller, none."""
    assert held_to(grant, ALL) == words
    assert held_to(grant, frozenset()) == {}


def test_controllers_are_known_by_their_files(tmp_path: Path) -> None:
    """A group has the files of what is handed on to it."""
    group = Cgroup(tmp_path)
    assert controllers_of(None) == controllers_of(group) == frozenset()

    (tmp_path / "memory.max").touch()
    (tmp_path / "pids.max").touch()

    assert controllers_of(group) == {"memory", "pids"}


def test_without_a_limit_or_a_controller_there_is_no_cell(tmp_path: Path) -> None:
    """Nothing is made for it; nor where the kernel refuses, and then nothing is left of it."""
    group = Cgroup(tmp_path / "group")
    group.path.mkdir()

    assert Cell.made(group, _grant(), ALL) is None
    assert Cell.made(group, _grant(pids=5), frozenset({"memory"})) is None
    assert Cell.made(None, _grant(pids=5), ALL) is None
    assert Cell.made(group, _grant(pids=5), ALL) is None, "this folder is none of the kernel's"
    assert list(tmp_path.iterdir()) == [group.path]


def test_what_the_kernel_has_done(tmp_path: Path) -> None:
    """Killed for its memory, with the peak; refused processes; or neither."""
    group = Cgroup(tmp_path / "group")
    group.cell.mkdir()
    cell = Cell(group, _grant(memory_bytes=64 * MIB, pids=20), ALL)
    assert (cell.verdict(), cell.remark()) == (None, None)

    (group.cell / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\n")
    (group.cell / "pids.events").write_text("max 0\n")
    assert (cell.verdict(), cell.remark()) == (None, None)

    (group.cell / "memory.events").write_text("max 7\noom 1\noom_kill 3\noom_group_kill 1\n")
    (group.cell / "pids.events").write_text("max 4\n")
    assert cell.verdict() == "memory limit 64.0 MiB exceeded (peak 64.0 MiB)"
    assert cell.remark() == "it may have 20 processes at once, and was refused 4 more"

    (group.cell / "memory.peak").write_text(f"{60 * MIB}\n")
    assert cell.verdict() == "memory limit 64.0 MiB exceeded (peak 60.0 MiB)"

    unlimited = Cell(group, _grant(cpus=1), ALL)
    assert (unlimited.verdict(), unlimited.remark()) == (None, None)
