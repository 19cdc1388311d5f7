"""Gates: what keeps a job from being given out although a worker could take it.

A gate is open or closed by what is true now: which attempts live, and which began lately. Nothing
is a stored counter, so nothing leaks. A closed gate is of its own lines alone: whatever waits in
another one goes on.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.core.line import Line, Rate
from orchestrator.protocol.words import PendingReason


class QueueRules(NamedTuple):
    """How a queue is served; `passed` rises by its stride with each job that it was given."""

    weight: int = 1
    max_running: int | None = None
    paused: bool = False
    passed: int = 0


class Gate(NamedTuple):
    """A closed gate: the queue or the key that it is of, and when it opens by itself."""

    reason: PendingReason
    name: str
    limit: int | None = None
    taken: int = 0
    window_us: int | None = None
    until_us: int | None = None


@dataclass(slots=True)
class Usage:
    """What is taken now: live attempts by queue and by key, and the last starts by rate key.

    Starts are moments, the newest first.
    """

    running: Counter[str] = field(default_factory=Counter)
    holding: Counter[str] = field(default_factory=Counter)
    starts: dict[str, list[int]] = field(default_factory=dict)

    def count(self, line: Line, attempts: int = 1) -> None:
        """Count that many live attempts of a line."""
        self.running[line.queue] += attempts
        for limit in line.limits:
            self.holding[limit.key] += attempts

    def take(self, line: Line, *, now_us: int) -> None:
        """Count an attempt that begins now."""
        self.count(line)
        for rate in line.rates:
            self.starts.setdefault(rate.key, []).insert(0, now_us)


def closed_gate(
    line: Line, queues: Mapping[str, QueueRules], usage: Usage, *, now_us: int
) -> Gate | None:
    """Return the first gate that keeps a line's jobs back, in the order in which people ask."""
    return queue_gate(line.queue, queues[line.queue], usage) or line_gate(
        line, usage, now_us=now_us
    )


def queue_gate(name: str, queue: QueueRules, usage: Usage) -> Gate | None:
    """Return the gate that keeps back whatever waits in a queue."""
    if queue.paused:
        return Gate(PendingReason.QUEUE_PAUSED, name)
    running = usage.running[name]
    if queue.max_running is not None and running >= queue.max_running:
        return Gate(PendingReason.QUEUE_LIMIT, name, queue.max_running, running)
    return None


def line_gate(line: Line, usage: Usage, *, now_us: int) -> Gate | None:
    """Return the first gate of its own that keeps a line's jobs back."""
    for key, limit in line.limits:
        if usage.holding[key] >= limit:
            return Gate(PendingReason.CONCURRENCY_KEY, key, limit, usage.holding[key])
    for rate in line.rates:
        until_us = opens_us(rate, usage.starts.get(rate.key, []))
        if until_us is not None and until_us > now_us:
            return Gate(
                PendingReason.RATE_LIMIT, rate.key, rate.most, rate.most, rate.window_us, until_us
            )
    return None


def opens_us(rate: Rate, starts: list[int]) -> int | None:
    """Return when one more may start: when the oldest of as many as are allowed leaves the window.

    `None` while there were never so many.
    """
    if len(starts) < rate.most:
        return None
    return starts[rate.most - 1] + rate.window_us


def room(rate: Rate, starts: list[int], *, now_us: int) -> int:
    """Return how many may start now."""
    return rate.most - sum(at + rate.window_us > now_us for at in starts[: rate.most])


def gate_words(gate: Gate) -> str:
    """Return what a closed gate keeps to, as a part of a sentence."""
    match gate.reason:
        case PendingReason.QUEUE_PAUSED:
            return f"the queue {gate.name} is paused"
        case PendingReason.QUEUE_LIMIT:
            return f"{gate.taken} of the queue {gate.name} run, and {gate.limit} may"
        case PendingReason.CONCURRENCY_KEY:
            return f"the key {gate.name} is held {gate.taken} of {gate.limit} times"
        case _:
            window_s = (gate.window_us or 0) / 1_000_000
            return f"{gate.limit} with the key {gate.name} have started within {window_s:g} s"
