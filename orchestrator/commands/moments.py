"""Times as people read them.

Pure: now is an argument.
"""

from datetime import UTC, datetime

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


def moment(when: datetime | None) -> str:
    """Return a time to the second, in UTC, as the API and the logs write it."""
    return "" if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ago(when: datetime | None, *, now: datetime) -> str:
    """Return how long ago something was, roughly; a clock that is behind ours makes it 0."""
    return "" if when is None else rough(max(0.0, (now - when).total_seconds()))


def duration(start: datetime | None, end: datetime | None) -> str:
    """Return how long something took, once it is over."""
    if start is None or end is None:
        return ""
    return rough(max(0.0, (end - start).total_seconds()))


def rough(seconds: float) -> str:
    """Return a duration in its two largest units."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for index, (unit, size) in enumerate(_UNITS):
        if whole >= size:
            smaller, size_below = (*_UNITS, ("s", 1))[index + 1]
            rest = whole % size // size_below
            return f"{whole // size}{unit}{rest}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"
