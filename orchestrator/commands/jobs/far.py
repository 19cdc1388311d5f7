"""How far a job says that it is, in words."""

from orchestrator.protocol.views import ProgressView


def percent(told: ProgressView | None) -> str:
    """Return its percentage, for a cell of a table; nothing if it tells none."""
    return "" if told is None or told.percent is None else f"{told.percent:.0f} %"


def words(told: ProgressView) -> str:
    """Return all that it says."""
    counters = ", ".join(f"{name} {count}" for name, count in told.counters.items())
    return " – ".join(part for part in (percent(told), told.message or "", counters) if part)
