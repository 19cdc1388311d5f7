"""How long to wait before the next try: one rule for jobs, children and calls.

Full jitter (a uniform draw below an exponential ceiling) spreads a crowd that failed together,
which a fixed delay would send back together.  The draw is an argument, so this file stays pure.
"""

from dataclasses import dataclass

from orchestrator.kernel.errors import invariant


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds: the first ceiling, its growth, and its end."""

    initial_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0

    def ceiling(self, failures: int) -> float:
        """Return the longest wait after `failures` failures in a row (1 or more)."""
        invariant(failures >= 1, "backoff is asked after at least one failure")
        # Beyond 64 doublings a float overflows; the maximum was reached long before.
        return min(self.max_s, self.initial_s * self.factor ** min(failures - 1, 64))

    def delay(self, failures: int, *, draw: float) -> float:
        """Return the wait for a uniform `draw` from [0, 1): full jitter."""
        return self.ceiling(failures) * draw
