"""Whose turn it is: which of the waiting lines is served next, again and again.

Queues share by their weights, the fairness keys of a queue take turns, and within a key the job
with the least rank comes first. What is remembered between two claims (how far a queue has come,
when a key was served last) is a matter of fairness alone: losing it would cost nobody a job.

It counts nothing that outlives the claim; the gates are asked before each pick, so a job that must
wait never holds up one of another line.

Of all who wait only those are looked at whose turn it may be. So keys and lines come in the order
of what is known of them without a look: a moment, or a rank, that none of their jobs is before.
What is known may be too little, never too much: then somebody is looked at in vain.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from orchestrator.core.gates import Gate, QueueRules, Usage, line_gate, queue_gate
from orchestrator.core.line import Line
from orchestrator.core.rank import MICROSECONDS_PER_POINT

STRIDE: Final = 1_000_000
"""How far a queue of weight 1 comes with one job: finer than any weight divides it badly."""


_UNKNOWN: Final = -(1 << 63)
"""Before every moment, and every rank."""


class Head(NamedTuple):
    """The next job of a line."""

    rank: int
    job_id: str
    priority: int


@dataclass(slots=True)
class Waiting:
    """A line and its jobs, the least rank first, and when its fairness key was served last.

    The jobs behind the first are only asked for when it is their turn to be looked at.
    """

    line: Line
    heads: Iterator[Head]
    served_us: int = 0


class Placed(NamedTuple):
    """A line in the order of its key: no job of it comes before this rank and id."""

    least_rank: int
    least_id: str
    waiting: Waiting


class Turn(NamedTuple):
    """A fairness key in the order of its queue: no turn of it is before this moment.

    Of those at that moment itself none is of a lesser rank; after that, names decide. It was served
    at `served_us` last. Its lines come in their order.
    """

    turn_us: int
    least_rank: int
    name: str
    served_us: int
    lines: Iterator[Placed]


class Lane(NamedTuple):
    """The fairness keys of a queue, in their order; none was served later than `latest_us`.

    `shut` names those that have somebody who waits behind a gate that is known to be closed: they
    are not served, but whoever is served has them beside him.
    """

    turns: Iterator[Turn]
    latest_us: int = 0
    shut: Iterable[str] = ()


class Pick(NamedTuple):
    """A job that is given out, and its line."""

    head: Head
    line: Line


@dataclass(slots=True)
class Choice:
    """Which jobs are given out, in order, and what has to be remembered for the sake of fairness.

    `served` and `passed` name only those who had somebody beside them: who is alone needs no turn.
    `gates` are those that kept a line or a queue back; `shut` names the lines behind their own.
    """

    picks: list[Pick] = field(default_factory=list)
    served: dict[tuple[str, str], int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    shut: dict[int, Gate] = field(default_factory=dict)

    def shut_out(self, line: Line, gate: Gate) -> None:
        """Note that a line is behind a closed gate of its own."""
        self.gates.append(gate)
        self.shut[line.id] = gate


def choose(
    lanes: Mapping[str, Lane],
    queues: Mapping[str, QueueRules],
    usage: Usage,
    *,
    slots: int,
    now_us: int,
) -> Choice:
    """Return who is served with that many slots; `usage` counts them as well afterwards."""
    choice = Choice()

    def is_closed(line: Line) -> bool:
        gate = line_gate(line, usage, now_us=now_us)
        if gate is not None:
            choice.shut_out(line, gate)
        return gate is not None

    looked_at = {name: _Lane(lane, is_closed) for name, lane in lanes.items()}
    peopled = {name: lane for name, lane in looked_at.items() if lane.begin()}
    passed = level({name: queues[name] for name in peopled})
    order = [(value, name) for name, value in passed.items()]
    heapify(order)
    while order and len(choice.picks) < slots:
        value, name = heappop(order)
        gate = queue_gate(name, queues[name], usage)
        if gate is not None:
            choice.gates.append(gate)
            continue
        lane = peopled[name]
        pick = lane.next()
        if pick is None:
            continue
        choice.picks.append(pick)
        usage.take(pick.line, now_us=now_us)
        if pick.line.is_limited:
            for one in peopled.values():
                one.look_at_gates()
        served_us = lane.served(pick, now_us=now_us)
        if lane.is_contested:
            choice.served[name, pick.line.fairness_key] = served_us
        if len(peopled) > 1:
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
    return soonest_us(head.rank, head.priority, served_us)


def soonest_us(rank: int, priority: int, served_us: int) -> int:
    """Return when it is a key's turn: not before that, if no job has less rank or more priority."""
    return max(rank, served_us - priority * MICROSECONDS_PER_POINT)


def gathered(waiting: Iterable[Waiting]) -> dict[str, Lane]:
    """Return lines by their queues and keys where all of them are to be looked at."""
    found: dict[str, dict[str, list[Waiting]]] = defaultdict(lambda: defaultdict(list))
    for one in waiting:
        found[one.line.queue][one.line.fairness_key].append(one)
    return {
        queue: Lane(iter([_turn(*key) for key in keys.items()])) for queue, keys in found.items()
    }


def _turn(name: str, lines: Sequence[Waiting]) -> Turn:
    served_us = max(one.served_us for one in lines)
    return Turn(
        _UNKNOWN, _UNKNOWN, name, served_us, iter([Placed(_UNKNOWN, "", one) for one in lines])
    )


_Place = tuple[int, str, int]
"""A line's place among those of its key: its head's rank and job, and the line's number."""


class _Key:
    """The lines of one fairness key in one queue; those behind closed gates are left out."""

    def __init__(self, turn: Turn, is_closed: Callable[[Line], bool]) -> None:
        self.served_us = turn.served_us
        self.is_peopled = False
        self._is_closed = is_closed
        self._behind = turn.lines
        self._next = next(turn.lines, None)
        self._places: list[_Place] = []
        self._lines: dict[int, tuple[Waiting, Head]] = {}

    def enter(self, waiting: Waiting) -> None:
        """Add a line at the place of its next job, if there is one."""
        head = next(waiting.heads, None)
        if head is not None:
            self.is_peopled = True
            self._lines[waiting.line.id] = (waiting, head)
            heappush(self._places, (head.rank, head.job_id, waiting.line.id))

    def first(self) -> Head | None:
        """Return the least rank's job, looking at every line that may have it."""
        while True:
            while self._next is not None and (
                not self._places or self._next[:2] <= self._places[0][:2]
            ):
                found, self._next = self._next, next(self._behind, None)
                self.enter(found.waiting)
            if not self._places:
                return None
            waiting, head = self._lines[self._places[0][2]]
            if not (waiting.line.is_limited and self._is_closed(waiting.line)):
                return head
            self.leave()

    @property
    def may_be_closed(self) -> bool:
        """Tell whether the line of the first job has limits."""
        return bool(self._places) and self._lines[self._places[0][2]][0].line.is_limited

    def leave(self) -> tuple[Waiting, Head]:
        """Take the first job's line out; a key that has a turn has one."""
        return self._lines.pop(heappop(self._places)[2])


class _Lane:
    """The fairness keys of one queue, in the order of their turns."""

    def __init__(self, lane: Lane, is_closed: Callable[[Line], bool]) -> None:
        self._is_closed = is_closed
        self._behind = lane.turns
        self._next = next(lane.turns, None)
        self._shut = lane.shut
        self._has_shut: bool | None = None
        self._keys: dict[str, _Key] = {}
        self._turns: list[tuple[int, int, str]] = []
        self._turn_of: dict[str, tuple[int, int, str]] = {}
        self._latest_us = lane.latest_us

    @property
    def is_contested(self) -> bool:
        """Tell whether anybody has to wait for somebody else's turn."""
        return len(self._keys) > 1 or self._is_shut_beside()

    def begin(self) -> bool:
        """Put those in order who may be first; tell whether anybody waits."""
        self._look()
        return bool(self._keys) or self._is_shut_beside()

    def _is_shut_beside(self) -> bool:
        """Tell whether another key waits that cannot be served; asked once all others are seen."""
        if self._has_shut is None:
            self._has_shut = any(name not in self._keys for name in self._shut)
        return self._has_shut

    def _look(self) -> None:
        """Look at every key whose turn it may be, and at no less than two."""
        self._forget()
        while self._next is not None and (
            len(self._keys) < 2 or not self._turns or self._next[:3] <= self._turns[0]
        ):
            turn, self._next = self._next, next(self._behind, None)
            key = self._keys[turn.name] = _Key(turn, self._is_closed)
            self._queue_up(turn.name)
            if key.is_peopled:
                self._latest_us = max(self._latest_us, turn.served_us)
            else:
                del self._keys[turn.name]

    def _forget(self) -> None:
        """Leave out turns that have become other ones."""
        while self._turns and self._turn_of.get(self._turns[0][2]) != self._turns[0]:
            heappop(self._turns)

    def _queue_up(self, name: str) -> None:
        key = self._keys[name]
        head = key.first()
        if head is None:
            self._turn_of.pop(name, None)
            return
        turn = (turn_us(head, key.served_us), head.rank, name)
        if self._turn_of.get(name) != turn:
            self._turn_of[name] = turn
            heappush(self._turns, turn)

    def look_at_gates(self) -> None:
        """Give those another turn whose first line was shut by what was just given out."""
        for name, key in self._keys.items():
            if key.may_be_closed:
                self._queue_up(name)

    def next(self) -> Pick | None:
        """Take out the job whose turn it is."""
        self._look()
        if not self._turns:
            return None
        name = heappop(self._turns)[2]
        del self._turn_of[name]
        waiting, head = self._keys[name].leave()
        self._keys[name].enter(waiting)
        return Pick(head, waiting.line)

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
