"""What a job's dependencies mean for it: when each is met, and what a failed one does.

A dependency names a job that exists already, so jobs alone can never wait for each other in a
circle; only the items of one batch can name each other, and those are looked at here.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.words import JobState, OnFailure, WaitsFor

BLAME_CHARS: Final = 500
"""Of a message that tells of a chain of failures; what is too long loses its middle."""


class Verdict(StrEnum):
    """What one dependency says about the job that has it."""

    OPEN = "open"
    MET = "met"
    FAIL = "fail"
    HOLD = "hold"


GRAVITY: Final[Mapping[Verdict, int]] = {
    Verdict.OPEN: 0,
    Verdict.MET: 1,
    Verdict.HOLD: 2,
    Verdict.FAIL: 3,
}
"""Which of several verdicts a job goes by: the highest."""


def verdict(parent: JobState, waits_for: WaitsFor, on_failure: OnFailure) -> Verdict:
    """Return what a dependency says, of where the job is that it names."""
    if parent not in TERMINAL:
        return Verdict.OPEN
    if parent is JobState.SUCCEEDED or waits_for is WaitsFor.FINISH:
        return Verdict.MET
    match on_failure:
        case OnFailure.CONTINUE:
            return Verdict.MET
        case OnFailure.HOLD:
            return Verdict.HOLD
        case OnFailure.FAIL:
            return Verdict.FAIL


def blame(parent: str, message: str | None) -> str:
    """Return why a job fails with its dependency; `message` is what the dependency failed of."""
    words = f"it needs {parent}" + (f": {message}" if message else "")
    if len(words) <= BLAME_CHARS:
        return words
    half = BLAME_CHARS // 2 - 2
    return f"{words[:half]} … {words[-half:]}"


def circle(needs: Sequence[Sequence[int]]) -> list[int] | None:
    """Return a path of items that leads back to where it began, or `None` if there is none.

    `needs[i]` are the items that item `i` waits for. The path goes from who waits to what it waits
    for. It keeps a stack of its own: a thousand items may stand one behind the other.
    """
    done: set[int] = set()
    for first in range(len(needs)):
        path: list[int] = []
        on_path: set[int] = set()
        stack = [(first, False)]
        while stack:
            item, is_left = stack.pop()
            if is_left:
                on_path.discard(path.pop())
                done.add(item)
            elif item in on_path:
                return [*path[path.index(item) :], item]
            elif item not in done:
                path.append(item)
                on_path.add(item)
                stack.append((item, True))
                stack.extend((one, False) for one in needs[item])
    return None
