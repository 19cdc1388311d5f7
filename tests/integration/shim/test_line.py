"""A shim's socket: no order is missed because of how the worker died."""

import json
import socket
from typing import Any

from orchestrator.kernel import packets
from worker.records import Cause
from worker.shim.layout import BELL
from worker.shim.line import Cancel, Grant, Line

GRANT: dict[str, Any] = {
    "job": "job_1",
    "attempt": 1,
    "argv": ["true"],
    "env": {},
    "cwd": "/",
    "root": None,
    "timeout_s": 60.0,
    "silence_s": None,
    "grace_s": 5.0,
    "durable": False,
}


def line() -> tuple[socket.socket, Line, socket.socket]:
    """Return the worker's end, the shim's line and the socket under it."""
    ours, theirs = packets.pair()
    return ours, Line(theirs), theirs


def test_orders_are_read_in_their_order() -> None:
    """A grant and the order to end it arrive as they were sent."""
    worker, shim, end = line()
    with worker, end:
        worker.send(json.dumps(GRANT).encode())
        worker.send(json.dumps({"cancel": "cancelled", "grace_s": 2.5}).encode())

        grant, cancel = shim.receive(), shim.receive()

        assert isinstance(grant, Grant)
        assert (grant.job, grant.argv, grant.stdin) == ("job_1", ["true"], None)
        assert cancel == Cancel(Cause.CANCELLED, 2.5)
        assert not shim.gone


def test_the_last_order_of_a_dead_worker_is_read() -> None:
    """It died with a bell unread, which the kernel tells as an error before the order."""
    worker, shim, end = line()
    with end:
        shim.say(BELL)
        worker.send(json.dumps(GRANT).encode())
        worker.close()

        assert isinstance(shim.receive(), Grant)
        assert not shim.gone
        assert shim.receive() is None
        assert shim.gone


def test_a_bell_for_nobody_is_no_error() -> None:
    """What is said to a worker that is gone, or that does not listen, is dropped."""
    worker, shim, end = line()
    with end:
        for _ in range(10_000):
            shim.say(BELL)
        worker.close()
        shim.say(BELL)

        assert shim.receive() is None
