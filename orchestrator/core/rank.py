"""Where a job stands in the queue: one number, fixed when it is queued.

Lower is sooner. Each point of priority is worth a minute of waiting, so a low priority job that has
waited long enough passes a newer, more urgent one: aging without a moving part, and an index can
keep the order.
"""

MICROSECONDS_PER_POINT = 60 * 1_000_000


def rank(enqueued_at_us: int, priority: int) -> int:
    """Return the rank of a job that entered the queue at that moment with that priority."""
    return enqueued_at_us - priority * MICROSECONDS_PER_POINT


def moved(rank_before: int, *, was: int, priority: int) -> int:
    """Return the rank of a job that has waited all the while, now with another priority."""
    return rank_before + (was - priority) * MICROSECONDS_PER_POINT


def head_of_queue(rank_before: int, now_us: int, priority: int) -> int:
    """Return the rank of a job that goes back: not later than where it stood, nor than now."""
    return min(rank_before, rank(now_us, priority))
