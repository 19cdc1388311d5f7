"""A program that does with one worker what a supervisor does: launch it, speak to it, let it go.

Orders come by signal: USR1 is `drain`, USR2 is `stop`, HUP hangs up, and WINCH is whatever has been
added to the file that the second argument names, a message in each line; what is in it already is
said at once. What the worker tells, and how it ends, is printed.
"""

import json
import signal
import sys
from pathlib import Path

import anyio

from orchestrator.kernel import launcher, lifeline, packets
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.kernel.launching import Launcher
from orchestrator.supervisor.settings import Programs

ORDERS = {signal.SIGUSR1: "drain", signal.SIGUSR2: "stop"}


def main() -> None:
    """Be that program."""
    anyio.run(_run, launcher.start(), json.loads(sys.argv[1]))


async def _run(process: LauncherProcess, settings: dict[str, object]) -> None:
    async with Launcher.over(process) as main_launcher:
        nursery = await main_launcher.nursery(Programs().worker_modules)
        line, theirs = lifeline.pair()
        ours, channel = packets.pair()
        await main_launcher.lend(ours.fileno(), "worker.shim:main")
        worker = await nursery.fork(
            "worker.main:run_forked",
            settings,
            fds=[theirs.fileno(), channel.fileno()],
            name="orch-worker",
        )
        for end in (theirs, ours, channel):
            end.close()
        async with anyio.create_task_group() as group:
            said = [Path(sys.argv[2])] if len(sys.argv) > 2 else []
            group.start_soon(_relay, line, said)
            group.start_soon(_listen, line)
            sys.stdout.write(f"pid {worker.pid}\n")
            exit_ = await worker.wait()
            sys.stdout.write(f"exit {exit_.code} {exit_.signal}\n")
            sys.stdout.flush()
            group.cancel_scope.cancel()


async def _listen(line: lifeline.ParentEnd) -> None:
    async for message in line.news():
        sys.stdout.write(f"news {json.dumps(message)}\n")
        sys.stdout.flush()


async def _relay(line: lifeline.ParentEnd, files: list[Path]) -> None:
    done = 0
    with anyio.open_signal_receiver(*ORDERS, signal.SIGHUP, signal.SIGWINCH) as received:
        for file in files:
            done = await _pass_on(file, line, done)
        async for number in received:
            if number in ORDERS:
                await line.tell({"do": ORDERS[number]})
            elif number == signal.SIGWINCH:
                done = await _pass_on(files[0], line, done)
            else:
                line.close()


async def _pass_on(file: Path, line: lifeline.ParentEnd, done: int) -> int:
    messages = file.read_text().splitlines()
    for message in messages[done:]:
        await line.tell(json.loads(message))
    return len(messages)


if __name__ == "__main__":
    main()
