"""Wait for a condition with a deadline, never for time.

A test that sleeps is either slow or wrong. These two poll quickly, return what the condition gave,
and fail with a sentence that says what did not come true.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")

PATIENCE_S = 10.0
"""Ample on a busy machine, and below the limit of a test, so that the sentence below is seen."""
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


def _gave_up(what: str | None, timeout_s: float, last: object) -> AssertionError:
    return AssertionError(f"{what or 'the condition'} within {timeout_s} s; last seen: {last!r}")


def wait_until(
    condition: Callable[[], T], *, timeout_s: float = PATIENCE_S, what: str | None = None
) -> T:
    """Return what `condition` gives as soon as it is true; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while not (seen := condition()):
        if time.monotonic() > deadline:
            raise _gave_up(what, timeout_s, seen)
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
    return seen


async def until(
    condition: Callable[[], Awaitable[T]],
    *,
    timeout_s: float = PATIENCE_S,
    what: str | None = None,
) -> T:
    """Return what the asynchronous `condition` gives as soon as it is true."""
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while not (seen := await condition()):
        if time.monotonic() > deadline:
            raise _gave_up(what, timeout_s, seen)
        await anyio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
    return seen
