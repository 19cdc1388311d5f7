"""Queues as people read them: a line of a list, and all that is said of one."""

from typing import Final

from orchestrator.protocol.views import QueueView

HEADERS: Final = ("NAME", "STATE", "QUEUED", "RUNNING", "WEIGHT")


def rows(queues: list[QueueView]) -> list[tuple[str, ...]]:
    """Return a line for each queue."""
    return [
        (one.name, state(one), str(one.queued), running(one), str(one.weight)) for one in queues
    ]


def state(queue: QueueView) -> str:
    """Return how a queue stands, in a word."""
    return "paused" if queue.paused else "open"


def running(queue: QueueView) -> str:
    """Return how many of it run, and how many may."""
    most = "" if queue.max_running is None else f"/{queue.max_running}"
    return f"{queue.running}{most}"


def facts(queue: QueueView) -> list[tuple[str, str]]:
    """Return all that is said of a queue."""
    given = ", ".join(f"{name} {value}" for name, value in queue.defaults.items())
    found = [
        ("name", queue.name),
        ("state", state(queue)),
        ("queued", str(queue.queued)),
        ("running", running(queue)),
        ("weight", str(queue.weight)),
        ("defaults", given or "none"),
    ]
    if queue.paused and queue.paused_at is not None:
        why = f": {queue.paused_why}" if queue.paused_why else ""
        words = f"{queue.paused_at:%Y-%m-%d %H:%M:%SZ} by {queue.paused_by}{why}"
        found.insert(2, ("paused", words))
    return found
