"""Control groups at the real kernel, where this process may make some."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from orchestrator.kernel.cgroups import PREFIX, Cgroup, Groups
from tests.support.needs import needs_root
from tests.support.processes import clean_environment, python
from tests.support.source import ROOT
from tests.support.waiting import wait_until

groups_here = Groups.here()
pytestmark = pytest.mark.skipif(groups_here is None, reason="no control groups can be made here")

FORKS = "setsid sh -c 'setsid sleep 60 & setsid sleep 60 & echo ready; wait' & wait"


@pytest.fixture
def group() -> Iterator[Cgroup]:
    """Give an empty group, and remove it."""
    assert groups_here is not None
    made = groups_here.make()
    assert made is not None
    yield made
    made.kill()
    wait_until(made.remove, what="the group is gone")


def _started_in(group: Cgroup, script: str) -> "subprocess.Popen[bytes]":
    enter = f"echo $$ > {group.path}/cgroup.procs; {script}"
    return subprocess.Popen(["sh", "-c", enter], stdout=subprocess.PIPE, start_new_session=True)


def test_a_kill_reaches_every_session(group: Cgroup) -> None:
    """Whoever was started in it is gone, and then it can be removed, and not before."""
    with _started_in(group, FORKS) as program:
        assert program.stdout is not None
        program.stdout.readline()
        assert group.is_populated
        assert not group.remove()

        assert group.kill()

        wait_until(lambda: not group.is_populated)
    assert group.remove()
    assert group.remove(), "what is gone is gone"
    assert not group.kill()
    assert not group.enter()


def test_who_kills_the_others_stays() -> None:
    """A process that is in it steps out of the way, and is in it again."""
    program = python("-c", WITH_OTHERS)

    environment = clean_environment(PYTHONPATH=str(ROOT))
    said = subprocess.run(program, check=True, env=environment, capture_output=True, timeout=15)

    assert said.stdout.split() == [b"True", b"-9", b"True", b"True"], said


WITH_OTHERS = """
import subprocess
from pathlib import Path
from orchestrator.kernel.cgroups import Groups
group = Groups.here().make()
before = Path("/proc/self/cgroup").read_text()
group.enter()
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(group.kill_others(), child.wait())
print(group.path.name in Path("/proc/self/cgroup").read_text())
print(group.leave() and group.remove() and Path("/proc/self/cgroup").read_text() == before)
"""


def test_leftovers_of_the_dead_are_removed(group: Cgroup) -> None:
    """Empty groups whose maker is gone, or whose pid is another's now; nobody else's."""
    assert groups_here is not None
    folder = group.path.parent
    dead = [Cgroup(folder / f"{PREFIX}{who}.{os.urandom(8).hex()}") for who in (f"{2**22 + 1}.7",)]
    dead.append(Cgroup(folder / f"{PREFIX}{os.getpid()}.1.{os.urandom(8).hex()}"))
    for one in dead:
        one.path.mkdir()
    inhabited = dead[1]
    with _started_in(inhabited, "echo ready; exec sleep 60") as program:
        assert program.stdout is not None
        program.stdout.readline()

        groups_here.remove_leftovers()

        assert not dead[0].path.exists()
        assert inhabited.path.exists()
        assert group.path.exists()
        inhabited.kill()
    wait_until(lambda: not inhabited.is_populated)
    groups_here.remove_leftovers()
    assert not inhabited.path.exists()


@needs_root("may become somebody else")
def test_who_may_not_make_groups_has_none() -> None:
    """A user to whom nothing was delegated does without, and nothing is said."""
    words = "os.setgroups([]); os.setgid(65534); os.setuid(65534); print(Groups.here())"

    said = subprocess.run(
        python("-c", f"import os; from orchestrator.kernel.cgroups import Groups; {words}"),
        check=True,
        env=clean_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        timeout=15,
    )

    assert (said.stdout, said.stderr) == (b"None\n", b"")
