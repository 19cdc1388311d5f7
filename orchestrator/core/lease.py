"""How long a worker's right to an attempt lasts.

Lease time is the *server's lease clock*: it advances only while the server's reaper ticks, so
downtime, a stopped server and jumps of the wall clock cost nobody a lease.  All moments here are
microseconds of that clock.
"""

from orchestrator.protocol.limits import LEASE_S, OFFLINE_AFTER_S, REAPER_S
from orchestrator.protocol.words import Execution

LEASE_US = round(LEASE_S * 1_000_000)
OFFLINE_US = round(OFFLINE_AFTER_S * 1_000_000)
TICK_MAX_US = round(2 * REAPER_S * 1_000_000)
"""One tick never adds more than two of its own periods: a process that was stopped for an hour
wakes up believing that ten seconds went by, which is what its workers need."""


def latest_over(*, now: int, floor: int) -> int:
    """Return the latest stamp whose lease is over, when the server started at `floor`.

    A right is stamped when it is granted and when it is renewed; the later stamp counts. A stamp
    from between two ticks carries the earlier one's time, so it may be one tick too old. That tick
    is waited for as well: a lease may be a little longer than promised, but never shorter. None is
    over within one lease of the server's start.
    """
    latest = now - LEASE_US - TICK_MAX_US
    return latest if latest >= floor else -1


def patience_us(execution: Execution, window_us: int) -> int:
    """Return how much longer than its lease an absent worker's attempt is waited for.

    A job that may be tried again is lost with its lease: somebody else takes it. One that may be
    started only once gains nothing by being given up early, so its worker has the whole window,
    counted from its last word, to come back with the end.
    """
    return max(0, window_us - LEASE_US) if execution is Execution.AT_MOST_ONCE else 0


def is_online(*, renewed_at: int, now: int) -> bool:
    """Tell whether a session was heard of recently enough to be shown as online."""
    return now - renewed_at < OFFLINE_US


def advanced(lease_now: int, *, elapsed_us: int) -> int:
    """Return the lease clock after a tick that measured `elapsed_us` on a monotonic clock."""
    return lease_now + max(0, min(elapsed_us, TICK_MAX_US))
