"""What the forked children of these tests do: small real programs, named by entry points."""

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import anyio

from tests.support.processes import open_descriptors


def leave(args: dict[str, Any], _fds: list[int]) -> int:
    """End with the code that was asked for."""
    return int(args["code"])


def leave_in_many_ways(args: dict[str, Any], _fds: list[int]) -> int | None:
    """End as a program may end."""
    match args["how"]:
        case "exit":
            sys.exit(3)
        case "sentence":
            sys.exit("a last word")
        case "error":
            raise ValueError("planted")
        case "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            return None
    return None


def describe(args: dict[str, Any], fds: list[int]) -> int:
    """Write what this process has into the first descriptor."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    ignored = [
        signal.Signals(number).name
        for number in signal.valid_signals()
        if signal.getsignal(number) == signal.SIG_IGN
    ]
    told = {
        "args": args,
        "fds": fds,
        "open": sorted(open_descriptors()),
        "leads_session": os.getsid(0) == os.getpid(),
        "name": Path("/proc/self/comm").read_text().strip(),
        "blocked": len(blocked),
        "ignored": sorted(ignored),
        "stdin": str(Path("/proc/self/fd/0").readlink()),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "loaded": "colorsys" in sys.modules,
    }
    os.write(fds[0], json.dumps(told).encode())
    return 0


def run_a_loop(_args: dict[str, Any], fds: list[int]) -> int:
    """Run an event loop, as a worker does, and wait until the line in `fds` closes."""

    async def wait_for_the_end() -> None:
        line = socket.socket(fileno=fds[0])
        line.setblocking(False)
        line.send(b"up")
        await anyio.wait_readable(line)

    anyio.run(wait_for_the_end)
    return 0


def last(_args: dict[str, Any], fds: list[int]) -> int:
    """Say a pid and stay until killed, or until the given line closes."""
    line = socket.socket(fileno=fds[0])
    line.send(str(os.getpid()).encode())
    with contextlib.suppress(ConnectionError):
        line.recv(100)
    return 0


def leave_a_family(args: dict[str, Any], fds: list[int]) -> int:
    """Start a tree of processes that nothing holds, say its pids, and wait to be killed.

    The last one has a session of its own and a parent that is gone: what a daemon does.
    """
    line = socket.socket(fileno=fds[0])
    if os.fork() == 0:
        if args.get("session", True):
            os.setsid()
        if os.fork() == 0:
            if args.get("session", True):
                os.setsid()
            line.send(str(os.getpid()).encode())
            _sleep_for_ever()
        if args.get("middle_dies"):
            os._exit(0)
        line.send(str(os.getpid()).encode())
        _sleep_for_ever()
    _sleep_for_ever()
    return 0


def _sleep_for_ever() -> None:
    while True:
        signal.pause()


def outlive(args: dict[str, Any], fds: list[int]) -> int:
    """Do as a shim does whose worker died: finish what there is to do, then write that down."""
    line = socket.socket(fileno=fds[0])
    line.send(str(os.getpid()).encode())
    Path(args["gate"]).read_text()  # a pipe: opens when the test opens it
    Path(args["record"]).write_text("finished")
    return 0
