"""The smallest worker that a supervisor can be tested with: forked, on a lifeline, with a channel.

It asks for a shim at its start, as a worker does for its first job. A file `busy` in its state
directory keeps it from finishing while it drains, `deaf` from hearing anything; `exit-code` makes
it end with that code, once.
"""

import contextlib
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

from orchestrator.kernel import packets
from tests.integration.supervisor.small_server import note


def run_forked(args: dict[str, Any], fds: list[int]) -> int:
    """Work until told to stop."""
    line, channel = (socket.socket(fileno=fd) for fd in fds)
    state = Path(args["state_dir"])
    home = state.parents[1]
    (state / "settings.json").write_text(json.dumps(args))
    if (state / "exit-code").exists():
        code = int((state / "exit-code").read_text())
        (state / "exit-code").unlink()
        note(home, f"worker ends with {code}")
        return code
    shim = _ask_for_shim(channel, state)
    note(home, f"worker ready with shim {shim}")
    line.send(json.dumps({"state": "ready"}).encode())
    if (state / "deaf").exists():
        threading.Event().wait()
    while order := line.recv(1000):
        note(home, f"worker heard {order.decode()}")
        if json.loads(order) == {"do": "stop"} or not (state / "busy").exists():
            _release_shims(state)
            note(home, "worker ends")
            return 0
    note(home, "worker heard the end")
    return 0


def _release_shims(state: Path) -> None:
    with contextlib.suppress(OSError):
        os.close(os.open(state / "gate", os.O_WRONLY | os.O_NONBLOCK))


def _ask_for_shim(channel: socket.socket, state: Path) -> str:
    ours, theirs = packets.pair()
    args = {"gate": str(state / "gate"), "record": str(state / "record")}
    socket.send_fds(channel, [packets.encode({"do": "shim", "args": args})], [theirs.fileno()])
    theirs.close()
    return ours.recv(100).decode()
