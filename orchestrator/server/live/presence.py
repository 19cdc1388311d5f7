"""Waiting on behalf of a client, for no longer than the client is there."""

from collections.abc import Awaitable, Callable

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import Receive


async def unless_gone(receive: Receive, wait: Callable[[], Awaitable[object]]) -> None:
    """Run `wait`; raise `ClientDisconnect` as soon as the client hangs up.

    `wait` must raise nothing of its own, because a task group would wrap it.
    """
    gone = False

    async def listen() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await wait()
        group.cancel_scope.cancel()
    if gone:
        raise ClientDisconnect
