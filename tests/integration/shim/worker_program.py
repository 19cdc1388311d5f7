"""A worker as its shims see it: it grants attempts for ever, and waits to be killed.

Before each grant it writes the attempt into a file of its own, as a test's memory of what it did.
It is started in a folder, works there, and prints the pid of its launcher when it begins.
"""

import os
import sys
from pathlib import Path

import anyio

from orchestrator.kernel import launcher, packets
from orchestrator.kernel.launcher_process import LauncherProcess
from worker.capacity import Capacity
from worker.pool import ShimOrder, ShimPool
from worker.spool import Spool

SHIM = "worker.shim:main"
GRANTED = "granted"
STARTED = "started"


def job_id(number: int) -> str:
    """Return the id of the job with that number."""
    return f"job_{number:026}"


def script(number: int) -> str:
    """Return what that job does: it notes that it runs, says its lines, and ends with its code."""
    return (
        f'echo "{job_id(number)} $$" >> {STARTED}; i=0; '
        f"while [ $i -lt {number % 40} ]; do echo line $i of {number}; i=$((i+1)); done; "
        f"echo err {number} >&2; sleep 0.0{number % 5}; printf 'no newline'; exit {number % 7}"
    )


def words(number: int) -> tuple[bytes, bytes, int]:
    """Return what is to come of that job: its output, its errors and its code."""
    lines = "".join(f"line {i} of {number}\n" for i in range(number % 40))
    return f"{lines}no newline".encode(), f"err {number}\n".encode(), number % 7


async def work(process: LauncherProcess, first: int) -> None:
    """Grant attempts in four lanes, and settle every third."""
    ours, theirs = packets.pair()
    process.lend(theirs.fileno(), SHIM)
    spool = Spool(Path("spool"))
    pool = ShimPool(spool, ours, Capacity(4, draw=lambda: 0.0))
    note = os.open(GRANTED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    numbers = iter(range(first, 1_000_000))

    async def lane() -> None:
        for number in numbers:
            os.write(note, f"{job_id(number)}\n".encode())
            log = await pool.start(
                ShimOrder(
                    job_id=job_id(number),
                    attempt=1,
                    argv=("sh", "-c", script(number)),
                    env={"PATH": os.defpath},
                    cwd=str(Path.cwd()),
                    grace_s=5.0,
                    timeout_s=60.0,
                )
            )
            async for _ in log.records():
                pass
            if number % 3 == 0:
                log.settle()

    sys.stdout.write(f"{process.pid}\n")
    sys.stdout.flush()
    async with anyio.create_task_group() as group:
        group.start_soon(spool.keep)
        for _ in range(4):
            group.start_soon(lane)


if __name__ == "__main__":
    anyio.run(work, launcher.start(), int(sys.argv[1]))
