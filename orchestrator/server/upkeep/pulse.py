"""Whether the server works: the last time that its periodic transaction was committed.

`/ready` asks this instead of the database, so that anybody may ask as often as they like.
"""

from typing import Final

from orchestrator.protocol.limits import REAPER_S

STALE_S: Final = 6 * REAPER_S
"""Half a minute without a commit: the disk hangs, or the writer does."""


class Pulse:
    """Beats with every tick of the upkeep; stops for good when the server stops."""

    def __init__(self) -> None:
        self._beat_at: float | None = None
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Return the code of what the last tick met."""
        return self._problem

    def miss(self, problem: str) -> None:
        """Note that a tick could not be committed."""
        self._problem = problem

    def beat(self, *, now: float) -> None:
        """Note that a tick was committed."""
        self._beat_at = now
        self._problem = None

    def stop(self) -> None:
        """Be not ready from now on."""
        self._beat_at = None

    def is_ready(self, *, now: float) -> bool:
        """Tell whether requests can be served."""
        has_beaten = self._beat_at is not None and now - self._beat_at < STALE_S
        return has_beaten and self._problem is None
