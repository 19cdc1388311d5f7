"""How long a worker's right to an attempt lasts.

Lease time is the *server's lease clock*: it advances only while the server's reaper ticks, so
downtime, a stopped server and jumps of the wall clock cost nobody a lease.  All moments here are
microseconds of that clock.
"""

from orchestrator.protocol.limits import LEASE_S, OFFLINE_AFTER_S, REAPER_S

LEASE_US = round(LEASE_S * 1_000_000)
OFFLINE_US = round(OFFLINE_AFTER_S * 1_000_000)
TICK_MAX_US = round(2 * REAPER_S * 1_000_000)
"""One tick never adds more than two of its own periods: a process that was stopped for an hour
wakes up believing that ten seconds went by, which is what its workers need."""


def lease_ends(*, claimed_at: int, renewed_at: int) -> int:
    """Return when a right ends that was granted and last renewed at those moments."""
    return max(claimed_at, renewed_at) + LEASE_US


def has_ended(*, claimed_at: int, renewed_at: int, now: int) -> bool:
    """Tell whether the right is over at `now`."""
    return now >= lease_ends(claimed_at=claimed_at, renewed_at=renewed_at)


def is_online(*, renewed_at: int, now: int) -> bool:
    """Tell whether a session was heard of recently enough to be shown as online."""
    return now - renewed_at < OFFLINE_US


def advanced(lease_now: int, *, elapsed_us: int) -> int:
    """Return the lease clock after a tick that measured `elapsed_us` on a monotonic clock."""
    return lease_now + max(0, min(elapsed_us, TICK_MAX_US))
