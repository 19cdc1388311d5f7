"""The address of a server, where the look-up of its name takes as long as others like."""

import socket
import threading
from typing import Any

import anyio
import pytest

from orchestrator.supervisor import address
from tests.support.waiting import wait_until


def test_a_slow_name_keeps_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop goes on; who gave up waits no longer, and the late socket is closed."""
    asked, answer, real = threading.Event(), threading.Event(), socket.getaddrinfo
    bound: list[socket.socket] = []

    def slow(*args: Any, **keys: Any) -> Any:
        asked.set()
        answer.wait(10)
        return real(*args, **keys)

    class Noted(socket.socket):
        def __init__(self, *args: Any, **keys: Any) -> None:
            super().__init__(*args, **keys)
            bound.append(self)

    async def given_up() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_when_asked, scope)
                await address.listen("localhost", 0, insecure_http=False)
        monkeypatch.setattr(socket, "socket", Noted)
        answer.set()
        await anyio.to_thread.run_sync(
            lambda: wait_until(lambda: bound and bound[0].fileno() == -1, what="it is closed")
        )

    async def cancel_when_asked(scope: anyio.CancelScope) -> None:
        await anyio.to_thread.run_sync(asked.wait, 10)
        scope.cancel()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(given_up)
