"""Whether a job may be there beside those with the same key that are there already.

`concurrency` lets any number of jobs wait and bounds how many run; a unique job is not even taken
in while another one like it is. It is told what there is, and knows no database.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from orchestrator.core.job_lifecycle import PENDING, TERMINAL
from orchestrator.protocol.words import JobState, OnConflict

OPEN: Final = frozenset(JobState) - TERMINAL
"""What is in the way unless somebody says otherwise: everything that is not over."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which jobs with the same key are in the way: in one of those states, and not over too long.

    Without a window what is over is in the way for as long as it is kept.
    """

    scope: frozenset[JobState] = OPEN
    window_us: int | None = None
    on_conflict: OnConflict = OnConflict.RETURN

    def since(self, now_us: int) -> int:
        """Return from when on a job that is over was submitted, if it is in the way."""
        return 0 if self.window_us is None else now_us - self.window_us


class Other(NamedTuple):
    """A job with the same key."""

    job_id: str
    state: JobState
    created_us: int


class Verdict(NamedTuple):
    """What to do: `there` is answered or named in its place; `giving_way` are cancelled first.

    With neither, nothing is in the way.
    """

    there: Other | None = None
    refused: bool = False
    giving_way: tuple[Other, ...] = ()


def settle(rule: Rule, others: Iterable[Other], *, now_us: int) -> Verdict:
    """Return what a submit does in the face of other jobs with its key.

    Only what has not begun can be replaced. What runs, or is over and still counts, was not
    undone by a newer submit, so that one is refused.
    """
    found = sorted((one for one in others if _counts(rule, one, now_us=now_us)), key=_nearest)
    if not found:
        return Verdict()
    begun = [one for one in found if one.state not in PENDING]
    match rule.on_conflict:
        case OnConflict.RETURN:
            return Verdict(there=found[0])
        case OnConflict.REFUSE:
            return Verdict(there=found[0], refused=True)
        case OnConflict.REPLACE:
            if begun:
                return Verdict(there=begun[0], refused=True)
            return Verdict(giving_way=tuple(found))


def _counts(rule: Rule, other: Other, *, now_us: int) -> bool:
    if other.state not in rule.scope:
        return False
    return other.state not in TERMINAL or other.created_us > rule.since(now_us)


def _nearest(other: Other) -> tuple[bool, int]:
    """What is not over comes first, then what is newest."""
    return other.state in TERMINAL, -other.created_us
