"""Whose turn it is: which of the waiting lines is served next, again and again.

Queues share by their weights, the fairness keys of a queue take turns, and within a key the job
with the least rank comes first. What is remembered between two claims (how far a queue has come,
when a key was served last) is a matter of fairness alone: losing it would cost nobody a job.

It counts nothing that outlives the claim; the gates are asked before each pick, so a job that must
wait never holds up one of another line.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from orchestrator.core.gates import Gate, QueueRules, Usage, closed_gate
from orchestrator.core.line import Line
from orchestrator.core.rank import MICROSECONDS_PER_POINT

STRIDE: Final = 1_000_000
"""How far a queue of weight 1 comes with one job: finer than any weight divides it badly."""


class Head(NamedTuple):
    """The next job of a line."""

    rank: int
    job_id: str
    priority: int


@dataclass(slots=True)
class Waiting:
    """A line with jobs in it, the least rank first, and when its fairness key was served last.

    The jobs behind the first are only asked for when it is their turn to be looked at.
    """

    line: Line
    heads: Iterator[Head]
    served_us: int = 0


class Pick(NamedTuple):
    """A job that is given out, and its line."""

    head: Head
    line: Line


@dataclass(slots=True)
class Choice:
    """Which jobs are given out, in order, and what has to be remembered for the sake of fairness.

    `served` and `passed` name only those who had somebody beside them: who is alone needs no turn.
    `gates` are those that kept a line back.
    """

    picks: list[Pick] = field(default_factory=list)
    served: dict[tuple[str, str], int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)


def choose(
    waiting: Iterable[Waiting],
    queues: Mapping[str, QueueRules],
    usage: Usage,
    *,
    slots: int,
    now_us: int,
) -> Choice:
    """Return who is served with that many slots; `usage` counts them as well afterwards."""
    choice = Choice()
    lanes = _lanes(waiting)
    passed = level({name: queues[name] for name in lanes})
    order = [(value, name) for name, value in passed.items()]
    heapify(order)
    while order and len(choice.picks) < slots:
        value, name = heappop(order)
        lane = lanes[name]
        pick = lane.next(queues, usage, choice.gates, now_us=now_us)
        if pick is None:
            continue
        choice.picks.append(pick)
        usage.take(pick.line, now_us=now_us)
        served_us = lane.served(pick, now_us=now_us)
        if lane.is_contested:
            choice.served[name, pick.line.fairness_key] = served_us
        if len(lanes) > 1:
            choice.passed[name] = value + stride(queues[name])
        heappush(order, (value + stride(queues[name]), name))
    return choice


def stride(queue: QueueRules) -> int:
    """Return how far a queue comes with one job: the heavier, the less."""
    return STRIDE // queue.weight


def level(queues: Mapping[str, QueueRules]) -> dict[str, int]:
    """Return how far each queue has come, where nobody is further behind than turns explain.

    A queue that was never idle is behind another one by at most that one's stride. One that is
    further behind had nothing to do meanwhile, and saves up no turns by that.
    """
    if not queues:
        return {}
    least = max(queue.passed - stride(queue) for queue in queues.values())
    return {name: max(queue.passed, least) for name, queue in queues.items()}


def turn_us(head: Head, served_us: int) -> int:
    """Return whose turn is sooner, among fairness keys: the one that has waited longer.

    It has waited since its first job came, or since it was served, whichever was later; priority
    makes up for waiting as it does within a key.
    """
    return max(head.rank, served_us - head.priority * MICROSECONDS_PER_POINT)


_Place = tuple[int, str, int]
"""A line's place among those of its key: its head's rank and job, and the line's number."""


class _Key:
    """The lines of one fairness key in one queue."""

    def __init__(self) -> None:
        self.served_us = 0
        self._places: list[_Place] = []
        self._lines: dict[int, tuple[Waiting, Head]] = {}

    def enter(self, waiting: Waiting) -> None:
        """Add a line at the place of its next job, if there is one."""
        head = next(waiting.heads, None)
        if head is not None:
            self._lines[waiting.line.id] = (waiting, head)
            heappush(self._places, (head.rank, head.job_id, waiting.line.id))

    def first(self) -> Head | None:
        """Return the least rank's job."""
        return self._lines[self._places[0][2]][1] if self._places else None

    def leave(self) -> tuple[Waiting, Head]:
        """Take that line out; a key that has a turn has one."""
        return self._lines.pop(heappop(self._places)[2])


class _Lane:
    """The fairness keys of one queue, in the order of their turns."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = defaultdict(_Key)
        self._turns: list[tuple[int, int, str]] = []
        self._latest_us = 0

    @property
    def is_contested(self) -> bool:
        """Tell whether anybody has to wait for somebody else's turn."""
        return len(self._keys) > 1

    def enter(self, waiting: Waiting) -> None:
        """Add a line before the first turn."""
        key = self._keys[waiting.line.fairness_key]
        key.served_us = max(key.served_us, waiting.served_us)
        self._latest_us = max(self._latest_us, key.served_us)
        key.enter(waiting)

    def begin(self) -> None:
        """Put everybody in order."""
        for name in self._keys:
            self._queue_up(name)

    def _queue_up(self, name: str) -> None:
        head = self._keys[name].first()
        if head is not None:
            heappush(self._turns, (turn_us(head, self._keys[name].served_us), head.rank, name))

    def next(
        self,
        queues: Mapping[str, QueueRules],
        usage: Usage,
        gates: list[Gate],
        *,
        now_us: int,
    ) -> Pick | None:
        """Take out the job whose turn it is; lines behind a closed gate leave for this claim."""
        while self._turns:
            name = heappop(self._turns)[2]
            waiting, head = self._keys[name].leave()
            gate = closed_gate(waiting.line, queues, usage, now_us=now_us)
            if gate is None:
                self._keys[name].enter(waiting)
                return Pick(head, waiting.line)
            gates.append(gate)
            self._queue_up(name)
        return None

    def served(self, pick: Pick, *, now_us: int) -> int:
        """Let the key of a pick wait for its next turn; return when it was served.

        That is after everybody else was: claims of one moment, or a clock that was set back, must
        not let one key have the turns of the others.
        """
        name = pick.line.fairness_key
        self._latest_us = max(now_us, self._latest_us + 1)
        self._keys[name].served_us = self._latest_us
        self._queue_up(name)
        return self._latest_us


def _lanes(waiting: Iterable[Waiting]) -> dict[str, _Lane]:
    """Return the lines by their queues."""
    lanes: dict[str, _Lane] = defaultdict(_Lane)
    for one in waiting:
        lanes[one.line.queue].enter(one)
    for lane in lanes.values():
        lane.begin()
    return lanes
