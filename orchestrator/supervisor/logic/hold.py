"""Why a worker takes nothing although its server has work: somebody wants it so.

A hold is made by a person with a command and lasts until it is taken back, or until a moment. What
the configuration itself says (`paused: true`) is not one of these.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class HoldKind(StrEnum):
    """What is waited for."""

    PAUSE = "pause"
    """Nothing: it takes no new jobs."""
    DRAIN = "drain"
    """That what runs is done, so that somebody can do something with the machine."""
    STOP = "stop"
    """The same, and then its process ends: it has none until it is resumed."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One worker's."""

    kind: HoldKind
    reason: str
    until: float | None = None
    """By the wall clock; `None`: until it is taken back."""

    def is_over(self, now: float) -> bool:
        """Tell whether its time has passed."""
        return self.until is not None and now >= self.until

    def as_json(self) -> dict[str, object]:
        """Return it as it is kept."""
        return {"kind": str(self.kind), "reason": self.reason, "until": self.until}

    @classmethod
    def from_json(cls, kept: object) -> Self | None:
        """Return a hold that was kept; nothing, if that is none."""
        match kept:
            case {
                "kind": str(kind),
                "reason": str(reason),
                "until": None | float() | int() as until,
            }:
                with_kind = next((one for one in HoldKind if one == kind), None)
                return None if with_kind is None else cls(with_kind, reason, until)
            case _:
                return None
