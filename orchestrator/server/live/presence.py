"""Waiting on behalf of a client, for no longer than the client is there."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from orchestrator.kernel.errors import cause

T = TypeVar("T")


async def unless_gone(receive: Receive, wait: Callable[[], Awaitable[T]]) -> T:
    """Return what `wait` returns; raise `ClientDisconnect` as soon as the client hangs up."""
    results: list[T] = []

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            results.append(await wait())
            group.cancel_scope.cancel()
    except BaseExceptionGroup as wrapped:
        raise cause(wrapped) from wrapped
    if not results:
        raise ClientDisconnect
    return results[0]
