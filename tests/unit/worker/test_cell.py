"""What a cell's files are told, and what is read out of them."""

from pathlib import Path

import pytest

from orchestrator.kernel.cgroups import Cgroup
from orchestrator.protocol.limits import MIB
from tests.support.processes import open_descriptors
from worker.shim.cell import Cell, Words, controllers_of, held_to
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
    ("grant", "before", "after"),
    [
        (_grant(), {}, {}),
        # What ends a command for its memory would end the shim as well, and its record.
        (
            _grant(memory_bytes=64 * MIB),
            {},
            {
                "memory": {
                    "memory.oom.group": "1",
                    "memory.swap.max": "0",
                    "memory.max": "67108864",
                }
            },
        ),
        (_grant(pids=20), {"pids": {"pids.max": "21"}}, {"pids": {"pids.max": "20"}}),
        (_grant(cpus=1.5), {}, {"cpus": {"cpu.max": "150000 100000"}}),
        (_grant(cpus=0.001), {}, {"cpus": {"cpu.max": "1000 100000"}}),
    ],
)
def test_what_a_cell_is_told(grant: Grant, before: Words, after: Words) -> None:
    """A word for each limit that there is, in the kernel's units; without a controller, none."""
    assert held_to(grant, ALL) == (before, after)
    assert held_to(grant, frozenset()) == ({}, {})


def test_controllers_are_known_by_their_files(tmp_path: Path) -> None:
    """A group has the files of what is handed on to it."""
    group = Cgroup(tmp_path)
    assert controllers_of(None) == controllers_of(group) == frozenset()

    (tmp_path / "memory.max").touch()
    (tmp_path / "pids.max").touch()

    assert controllers_of(group) == {"memory", "pids"}


def test_without_a_limit_or_a_controller_there_is_no_cell(tmp_path: Path) -> None:
    """Nothing is made for it."""
    group = Cgroup(tmp_path / "group")
    group.path.mkdir()

    assert Cell.made(group, _grant(), ALL) is None
    assert Cell.made(group, _grant(pids=5), frozenset({"memory"})) is None
    assert Cell.made(None, _grant(pids=5), ALL) is None
    assert list(tmp_path.iterdir()) == [group.path]


FILES = ("memory.oom.group", "memory.max", "pids.max", "cpu.max", "cgroup.procs")


def _cell(group: Cgroup, grant: Grant) -> Cell:
    """Return a cell with the files that the kernel would have put into it; none can swap."""
    group.path.mkdir()
    (group.path / "cgroup.procs").touch()
    cell = Cell.made(group, grant, ALL)
    assert cell is not None
    for name in FILES:
        (group.cell / name).touch()
    return cell


def _told(group: Cgroup) -> dict[str, str]:
    return {
        name: (group.cell / name).read_text() for name in FILES if (group.cell / name).is_file()
    }


def _refuse(path: Path) -> None:
    """Let a file be one that cannot be opened for writing, for root neither."""
    path.unlink()
    path.mkdir()


def test_a_limit_is_told_when_the_shim_is_out(tmp_path: Path) -> None:
    """While it is in, nothing there can end it or let it wait; only processes are counted."""
    group = Cgroup(tmp_path / "group")
    cell = _cell(group, _grant(memory_bytes=64 * MIB, pids=20, cpus=2))

    with cell.entered():
        inside = _told(group)
        assert (group.path / "cgroup.procs").read_text() == ""

    assert inside == dict.fromkeys(FILES, "") | {"pids.max": "21", "cgroup.procs": "0"}
    assert (group.path / "cgroup.procs").read_text() == "0"
    assert _told(group) == {
        "memory.oom.group": "1",
        "memory.max": "67108864",
        "pids.max": "20",
        "cpu.max": "200000 100000",
        "cgroup.procs": "0",
    }
    assert cell.holds_memory
    assert cell.remarks() == []


@pytest.mark.parametrize("refusing", FILES[:4])
def test_one_word_that_is_refused_takes_no_other_along(tmp_path: Path, refusing: str) -> None:
    """The others hold; what nobody holds the job to is told, and memory is looked at."""
    group = Cgroup(tmp_path / "group")
    cell = _cell(group, _grant(memory_bytes=64 * MIB, pids=20, cpus=2))
    _refuse(group.cell / refusing)

    with cell.entered():
        pass

    limit = {"pids.max": "pids", "cpu.max": "cpus"}.get(refusing)
    why = "its control group could not be used (Is a directory)"
    assert cell.remarks() == (
        [] if limit is None else [f"it was not held to limits.{limit}: {why}"]
    )
    assert cell.holds_memory == (limit is not None)
    for name in {"memory.max", "pids.max", "cpu.max"} - {refusing}:
        is_last = (refusing, name) == ("memory.oom.group", "memory.max")
        assert ((group.cell / name).read_text() == "") == is_last, name


def test_a_limit_that_is_told_before_and_not_after_is_nearly_kept(tmp_path: Path) -> None:
    """It may have the shim's place as well, which is told."""
    group = Cgroup(tmp_path / "group")
    cell = _cell(group, _grant(pids=20))

    with cell.entered():
        _refuse(group.cell / "pids.max")

    [said] = cell.remarks()
    assert said.startswith("it was not exactly held to limits.pids: ")


@pytest.mark.parametrize("which", ["group", "cell"])
def test_who_cannot_enter_starts_without(tmp_path: Path, which: str) -> None:
    """No way in, or no way out: it runs outside of the cell, and what that was for is told."""
    group = Cgroup(tmp_path / "group")
    cell = _cell(group, _grant(memory_bytes=64 * MIB, pids=20, cpus=2))
    _refuse((group.path if which == "group" else group.cell) / "cgroup.procs")
    before = open_descriptors()

    with cell.entered():
        assert open_descriptors() == before

    assert cell.left()
    assert not cell.holds_memory
    assert [said.split(":")[0] for said in cell.remarks()] == [
        "it was not held to limits.pids",
        "it was not held to limits.cpus",
    ]


def test_a_cell_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """Its limits do not vanish without a word."""
    group = Cgroup(tmp_path / "gone" / "group")
    cell = Cell.made(group, _grant(memory_bytes=64 * MIB, cpus=2), ALL)
    assert cell is not None

    with cell.entered():
        pass

    assert not cell.holds_memory
    [said] = cell.remarks()
    assert said.endswith("could not be used (No such file or directory)")


def test_who_cannot_leave_goes_on(tmp_path: Path) -> None:
    """A command runs by then: whatever is in the way, that is no reason to say it did not start."""
    group = Cgroup(tmp_path / "group")
    cell = _cell(group, _grant(memory_bytes=64 * MIB, pids=20, cpus=2))
    (group.path / "cgroup.procs").unlink()
    (group.path / "cgroup.procs").symlink_to("/dev/full")
    before = open_descriptors()

    with cell.entered():
        pass

    assert not cell.left()
    assert _told(group) == dict.fromkeys(FILES, "") | {"pids.max": "21", "cgroup.procs": "0"}
    assert not cell.holds_memory, "the shim would be ended with it"
    why = "its control group could not be used (No space left on device)"
    assert cell.remarks() == [f"it was not held to limits.cpus: {why}"]
    cell.remove()
    assert open_descriptors() == before


def test_what_the_kernel_has_done(tmp_path: Path) -> None:
    """Killed for its memory, with the peak; refused processes; or neither."""
    group = Cgroup(tmp_path / "group")
    cell = _cell(group, _grant(memory_bytes=64 * MIB, pids=20))
    with cell.entered():
        pass
    assert (cell.verdict(), cell.remarks()) == (None, [])

    (group.cell / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\n")
    (group.cell / "pids.events").write_text("max 0\n")
    assert (cell.verdict(), cell.remarks()) == (None, [])

    (group.cell / "memory.events").write_text("max 7\noom 1\noom_kill 3\noom_group_kill 1\n")
    (group.cell / "pids.events").write_text("max 4\n")
    assert cell.verdict() == "memory limit 64.0 MiB exceeded (peak 64.0 MiB)"
    assert cell.remarks() == ["it may have 20 processes at once, and was refused 4 more"]

    (group.cell / "memory.peak").write_text(f"{60 * MIB}\n")
    assert cell.verdict() == "memory limit 64.0 MiB exceeded (peak 60.0 MiB)"

    unlimited = Cell(group, _grant(cpus=1), ALL)
    assert (unlimited.verdict(), unlimited.remarks()) == (None, [])
