"""Moments as the wire has them."""

from orchestrator.kernel.clock import Clock


def now_us(clock: Clock) -> int:
    """Return the wall time in whole microseconds since the epoch."""
    return int(clock.now() * 1_000_000)
