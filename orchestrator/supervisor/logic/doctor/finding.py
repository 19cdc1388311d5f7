"""What came of one look: how it is, what was seen, and exactly what mends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may be a nuisance one day."""
    PROBLEM = "problem"
    """Something does not work, or is open to those whom it does not concern."""
    UNSEEN = "unseen"
    """Nobody could look, so nothing is claimed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a doctor's report."""

    check: str
    """A word that stays when the sentence is improved."""
    grade: Grade
    seen: str
    remedy: str | None = None
    """A command or an edit that can be done as it stands here."""

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "check": self.check,
            "grade": str(self.grade),
            "seen": self.seen,
            "remedy": self.remedy,
        }


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is wrong; a warning can wait."""
    return not any(finding.grade is Grade.PROBLEM for finding in findings)


def ok(check: str, seen: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(check, Grade.OK, seen)


def warning(check: str, seen: str, remedy: str) -> Finding:
    """Return that something may be a nuisance."""
    return Finding(check, Grade.WARNING, seen, remedy)


def problem(check: str, seen: str, remedy: str) -> Finding:
    """Return that something does not work."""
    return Finding(check, Grade.PROBLEM, seen, remedy)


def unseen(check: str, why: str) -> Finding:
    """Return that nobody looked, and why."""
    return Finding(check, Grade.UNSEEN, f"not looked at: {why}")
