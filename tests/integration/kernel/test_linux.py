"""What the kernel tells about processes."""

import os
import select
import signal
import subprocess
import sys

import pytest

from orchestrator.kernel import linux
from tests.support.processes import program, python
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")

ORPHANED = """
import os
from orchestrator.kernel import linux
linux.become_subreaper()
linux.set_name("a-name-that-is-far-too-long")
read, write = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.read(read, 1)
        os._exit(0)
    os._exit(0)
os.wait()
print(open("/proc/self/comm").read().strip(), len(linux.children()), flush=True)
os.write(write, b"x")
os.wait()
"""


def test_a_subreaper_inherits_orphans() -> None:
    """A grandchild whose parent is gone becomes a child; the name is cut to what fits."""
    with program(*python("-c", ORPHANED)) as parent:
        assert parent.wait() == 0

        assert parent.stdout == "a-name-that-is- 1\n"


def test_a_pidfd_tells_when_its_process_ends() -> None:
    """It becomes readable at the end, and for who is gone there is none."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as sleeper:
        pidfd = linux.open_pidfd(sleeper.pid)
        assert pidfd is not None
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(0) == []

        signal.pidfd_send_signal(pidfd, signal.SIGKILL)

        assert poll.poll(10_000)
        os.close(pidfd)
    assert linux.open_pidfd(sleeper.pid) is None


def test_a_process_is_known_by_pid_and_start_time() -> None:
    """The time is the same however often it is asked for, and none for who is gone."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as sleeper:
        began = linux.start_time(sleeper.pid)
        assert began is not None
        assert linux.start_time(sleeper.pid) == began
        assert began >= (linux.start_time(os.getpid()) or 0)
        sleeper.kill()
    assert linux.start_time(sleeper.pid) is None


def test_a_name_with_parentheses_does_not_confuse() -> None:
    """A process may call itself anything; its fields are found behind the last parenthesis."""
    told = subprocess.run(
        python(
            "-c",
            "import os; from orchestrator.kernel import linux; linux.set_name(') 1 (');"
            "print(linux.start_time(os.getpid()) > 0)",
        ),
        capture_output=True,
        check=True,
    )

    assert told.stdout == b"True\n"


def test_a_boot_has_an_id() -> None:
    """It is there and does not change while the machine is up."""
    assert len(linux.boot_id()) == 36
    assert linux.boot_id() == linux.boot_id()


def test_children_are_found_by_search_too() -> None:
    """Where the kernel does not list them, asking everybody for their parent finds the same."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as sleeper:
        wait_until(lambda: sleeper.pid in linux.children())

        assert sorted(linux._children_by_search(os.getpid())) == sorted(linux.children())
        sleeper.kill()
