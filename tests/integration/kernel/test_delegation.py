"""Which limits can be had, at the real kernel: who moves aside for them, and who must not."""

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.kernel.cgroups import Cgroup
from tests.support import groups
from tests.support.processes import clean_environment, python
from tests.support.source import ROOT
from tests.support.waiting import wait_until

HEAD = """
import os, sys
from pathlib import Path
from orchestrator.kernel import delegation
folder, delegation.CONTROLLERS = Path(sys.argv[1]), (sys.argv[2],)
folder.joinpath("cgroup.procs").write_text("0")
"""
SETTLE = """
before, after = delegation.delegated(), delegation.settle()
print(sorted(before.controllers), sorted(after.controllers), after.folder == folder)
print(delegation._own_folder().relative_to(folder), after.reason.split(":")[0])
"""


def _said(script: str, folder: Path, controller: str, *more: str) -> list[str]:
    done = subprocess.run(
        python("-c", HEAD + script, str(folder), controller, *more),
        check=True,
        env=clean_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert not done.stderr
    return done.stdout.splitlines()


def test_who_was_started_in_a_subgroup_hands_controllers_on() -> None:
    """As systemd does it from version 254 on: nobody is in the group above."""
    with groups.some_controller() as name, groups.service() as folder:
        (folder / "orchestrator").mkdir()
        script = 'folder.joinpath("orchestrator", "cgroup.procs").write_text("0")\n' + SETTLE

        assert _said(script, folder, name) == [f"[] ['{name}'] True", "orchestrator "]


def test_in_a_service_without_a_subgroup_nothing_is_handed_on() -> None:
    """Its manager could not start it again in a group that hands on controllers."""
    with groups.some_controller() as name, groups.service() as folder:
        assert _said(SETTLE, folder, name) == ["[] [] True", f". {name}"]


def test_whoever_is_alone_in_a_scope_moves_aside() -> None:
    """It is started once and never again."""
    with groups.some_controller() as name, groups.service("one.scope") as folder:
        assert _said(SETTLE, folder, name) == [f"[] ['{name}'] True", "orchestrator "]


HAND_ON = """
from pathlib import Path
names = frozenset(("absent", sys.argv[2]))
if sys.argv[3] == "aside":
    delegation._step_aside(folder, names)
else:
    folder.joinpath("orchestrator").mkdir()
    folder.joinpath("orchestrator", "cgroup.procs").write_text("0")
    print(sorted(delegation._hand_on(folder, names)))
print(delegation._own_folder().relative_to(folder), sorted(delegation.delegated().controllers))
"""


def test_one_that_is_refused_takes_no_other_along() -> None:
    """Each controller is tried, and what can be had is kept."""
    with groups.some_controller() as name, groups.service("one.scope") as folder:
        assert _said(HAND_ON, folder, name, "") == ["['absent']", f"orchestrator ['{name}']"]
    with groups.some_controller() as name, groups.service("one.scope") as folder:
        assert _said(HAND_ON, folder, name, "aside") == [f"orchestrator ['{name}']"]


def test_whoever_is_not_alone_stays_where_it_was() -> None:
    """Other programs are not ours to move; nothing is left of the attempt."""
    with groups.some_controller() as name, groups.service("one.scope") as folder:
        script = 'import subprocess; other = subprocess.Popen(["sleep", "60"])\n' + SETTLE
        script += "other.kill()\n"

        assert _said(script, folder, name) == ["[] [] True", f". {name}"]
        assert not (folder / "orchestrator").exists()


def test_without_the_mark_of_a_manager_root_makes_no_groups() -> None:
    """It may write there, and it is somebody else's."""
    with groups.service() as folder:
        os.removexattr(folder, "user.delegate")
        script = "print(delegation.settle())"
        said = _said(script, folder, "memory")
    why = "the control group of this process is not left to it: a service needs Delegate=yes"
    assert said == [f"Delegation(folder=None, controllers=frozenset(), reason={why!r})"]


STEPS = """
import subprocess
from orchestrator.kernel.cgroups import Groups
folder.joinpath("orchestrator").mkdir()
folder.joinpath("orchestrator", "cgroup.procs").write_text("0")
print(delegation.settle().folder == folder)
group = Groups.here().make()
print(group.enter(), group.path.parent == folder)
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
group.cell.mkdir()
other = subprocess.Popen(["sleep", "60"], start_new_session=True)
group.cell.joinpath("cgroup.procs").write_text(str(other.pid))
print(group.kill_others(), child.wait(), other.wait())
print(group.leave(), delegation._own_folder().relative_to(folder))
print(group.is_populated, group.remove(), group.path.exists(), group.cell.exists())
"""


def test_groups_beside_one_that_hands_on_controllers() -> None:
    """Nobody can step into the group above: the others' place is one of its own."""
    with groups.some_controller() as name, groups.service() as folder:
        assert _said(STEPS, folder, name) == [
            "True",
            "True True",
            "True -9 -9",
            "True orchestrator",
            "False True False False",
        ]


@pytest.mark.parametrize("inhabited", ["", "-cell"])
def test_a_group_goes_only_with_its_cell(inhabited: str) -> None:
    """A cell is its shim's as long as that lives, also when it is empty."""
    with groups.service() as folder:
        group = Cgroup(folder / "orch-7.7.0")
        group.path.mkdir()
        group.cell.mkdir()
        place = group.path.with_name(group.path.name + inhabited)
        with subprocess.Popen(["sleep", "60"]) as program:
            (place / "cgroup.procs").write_text(str(program.pid))
            try:
                assert not group.remove()
                assert group.cell.exists()
                assert group.is_populated
            finally:
                group.kill()
                program.kill()
        wait_until(lambda: not group.is_populated)
        assert group.remove()
        assert not group.path.exists()
        assert not group.cell.exists()
