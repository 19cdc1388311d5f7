"""What a killed shim left is ended, and nobody else: a pid alone is nobody's name."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from orchestrator.kernel import linux
from orchestrator.protocol.ids import make_id
from worker.spool.remains import end_all
from worker.spool.segment import Process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")

KEY = (make_id("job", at_ms=1, random=bytes(range(10))), 1)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that would sleep for long."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        yield process
        process.kill()


async def test_a_recorded_process_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    """It has the pid, the start time and the boot that were written down: it is the one."""
    started = linux.start_time(sleeper.pid)

    await end_all(KEY, Process(sleeper.pid, started, linux.boot_id()), None)

    assert sleeper.wait(timeout=10) == -9


@pytest.mark.parametrize("later", [True, False])
async def test_a_stranger_with_the_pid_of_a_dead_command_is_not_killed(
    sleeper: subprocess.Popen[bytes], later: bool
) -> None:
    """Its pid was used again: whoever began at another time, or after another boot, lives on."""
    started = linux.start_time(sleeper.pid)
    assert started is not None
    dead = Process(sleeper.pid, started - later, linux.boot_id() if later else "another boot")

    await end_all(KEY, dead, None)

    assert sleeper.poll() is None
