"""A worker that starts one job, prints the pids of its launcher and of the job, and waits."""

import sys
from pathlib import Path

import anyio

from orchestrator.kernel import launcher
from orchestrator.kernel.launcher_process import LauncherProcess
from tests.integration.shim.workshop import began, opened


async def work(process: LauncherProcess, script: str) -> None:
    """Start it, say so, and stay."""
    async with opened(Path.cwd(), process) as shop:
        log = await shop.start("sh", "-c", script, cwd=str(Path.cwd()))
        sys.stdout.write(f"{process.pid} {await began(log)}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(work, launcher.start(), sys.argv[1])
