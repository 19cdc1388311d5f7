"""Who looks only at those who may be next gives out the same jobs, in the same order."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from orchestrator.core.gates import QueueRules, Usage, closed_gate
from orchestrator.core.line import Limit, Line, Rate
from orchestrator.core.order import (
    STRIDE,
    Choice,
    Head,
    Lane,
    Pick,
    Placed,
    Turn,
    Waiting,
    choose,
    level,
    soonest_us,
    stride,
    turn_us,
)
from orchestrator.core.rank import rank

MINUTE = 60_000_000
NOW = 1000 * MINUTE
WORLDS = 200
AT_ONCE = 20


@dataclass
class Known:
    """A line, its jobs, and how much too little is known of them."""

    line: Line
    jobs: list[Head]
    slack_us: int
    looked_at: int = 0

    def heads(self) -> Iterator[Head]:
        """Yield the jobs, and count how many were looked at."""
        for head in self.jobs:
            self.looked_at += 1
            yield head


@dataclass
class Waiters:
    """All who wait, and the state of fairness."""

    lines: list[Known]
    queues: dict[str, QueueRules]
    served: dict[tuple[str, str], int]
    holding: Counter[str] = field(default_factory=Counter)
    starts: dict[str, list[int]] = field(default_factory=dict)

    def usage(self) -> Usage:
        """Return what is taken."""
        starts = {name: list(moments) for name, moments in self.starts.items()}
        return Usage(Counter(), Counter(self.holding), starts)


def some(seed: int) -> Waiters:
    """Return waiters of any kind; with some seeds many, with some few."""
    dice = Random(seed)
    keys = [f"k{number}" for number in range(dice.randint(1, 9))]
    names = [f"q{number}" for number in range(dice.randint(1, 3))]
    lines = []
    for number in range(dice.randint(1, 40)):
        points = dice.choice([[0], [0], [-9, 0, 9, 100]])
        jobs = sorted(
            Head(rank(dice.randint(900, 1000) * MINUTE, priority), f"j{number}-{index}", priority)
            for index in range(dice.randint(0, 4))
            for priority in [dice.choice(points)]
        )
        limits = (
            (Limit(f"c{dice.randint(0, 3)}", dice.randint(1, 3)),) if dice.random() < 0.3 else ()
        )
        rates = (Rate("api", dice.randint(1, 3), 9 * MINUTE),) if dice.random() < 0.2 else ()
        line = Line(number, dice.choice(names), dice.choice(keys), limits, rates)
        lines.append(Known(line, jobs, dice.choice([0, 0, 1, 5 * MINUTE, NOW])))
    queues = {
        name: QueueRules(
            weight=dice.randint(1, 3),
            max_running=dice.choice([None, None, None, 2]),
            paused=dice.random() < 0.1,
            passed=dice.randint(0, 9) * STRIDE,
        )
        for name in names
    }
    served = {
        (queue, key): dice.randint(990, 1001) * MINUTE
        for queue in names
        for key in keys
        if dice.random() < 0.7
    }
    holding = Counter({f"c{number}": dice.randint(0, 3) for number in range(4)})
    starts = {"api": sorted((NOW - dice.randint(0, 20) * MINUTE for _ in range(3)), reverse=True)}
    return Waiters(lines, queues, served, holding, starts)


def lanes_of(all_: Waiters, shut: Sequence[Known] = ()) -> dict[str, Lane]:
    """Return them in the order of what is known, which may be too little and never is too much."""
    found: dict[str, list[Turn]] = {}
    names: dict[str, list[str]] = {}
    for queue, key in {(one.line.queue, one.line.fairness_key) for one in all_.lines}:
        mine = [
            one for one in all_.lines if (one.line.queue, one.line.fairness_key) == (queue, key)
        ]
        names.setdefault(queue, []).extend(key for one in mine if one in shut and one.jobs)
        served_us = all_.served.get((queue, key), 0)
        placed = [
            Placed(
                (one.jobs[0].rank if one.jobs else 0) - one.slack_us,
                "" if one.slack_us or not one.jobs else one.jobs[0].job_id,
                Waiting(one.line, one.heads(), served_us),
            )
            for one in mine
            if one not in shut
        ]
        jobs = [job for one in mine if one not in shut for job in one.jobs]
        soonest = soonest_us(
            min((job.rank for job in jobs), default=0),
            max((job.priority for job in jobs), default=0),
            served_us,
        )
        slack_us = min((one.slack_us for one in mine), default=0)
        placed.sort(key=lambda one: one[:2])
        least_rank = min((job.rank for job in jobs), default=0) - slack_us
        turn = Turn(soonest - slack_us, least_rank, key, served_us, iter(placed))
        found.setdefault(queue, []).append(turn)
    return {
        queue: Lane(
            iter(sorted(turns, key=lambda turn: turn[:3])),
            max((at for (name, _), at in all_.served.items() if name == queue), default=0),
            names[queue],
        )
        for queue, turns in found.items()
    }


def plainly(all_: Waiters, *, slots: int) -> Choice:
    """Return who is served, by looking at everybody before each pick: the rule in its own words."""
    choice, usage = Choice(), all_.usage()
    left = {one.line.id: list(one.jobs) for one in all_.lines}
    peopled = [one for one in all_.lines if one.jobs]
    keys = {(one.line.queue, one.line.fairness_key) for one in peopled}
    served = dict(all_.served)
    passed = level({queue: all_.queues[queue] for queue, _ in keys})
    is_over: set[str] = set()
    while len(choice.picks) < slots and passed.keys() - is_over:
        queue = min((at, name) for name, at in passed.items() if name not in is_over)[1]
        first: dict[str, tuple[Head, Line]] = {}
        for one in peopled:
            key, jobs = one.line.fairness_key, left[one.line.id]
            is_open = closed_gate(one.line, all_.queues, usage, now_us=NOW) is None
            if one.line.queue == queue and jobs and is_open:
                here = (jobs[0], one.line)
                first[key] = min(first.get(key, here), here, key=lambda pair: pair[0][:2])
        turns = [
            (turn_us(head, served.get((queue, key), 0)), head.rank, key)
            for key, (head, _) in first.items()
        ]
        if not turns:
            is_over.add(queue)
            continue
        key = min(turns)[2]
        head, line = first[key]
        left[line.id].remove(head)
        usage.take(line, now_us=NOW)
        choice.picks.append(Pick(head, line))
        latest_us = max((at for (name, _), at in served.items() if name == queue), default=0)
        served[queue, key] = max(NOW, latest_us + 1)
        if len([name for name, _ in keys if name == queue]) > 1:
            choice.served[queue, key] = served[queue, key]
        passed[queue] += stride(all_.queues[queue])
        if len({name for name, _ in keys}) > 1:
            choice.passed[queue] = passed[queue]
    return choice


@pytest.mark.parametrize("first", range(0, WORLDS, AT_ONCE))
def test_what_is_known_gives_the_same_as_looking_at_all(first: int) -> None:
    """However little is known of a key or a line, nobody is served before his turn."""
    for seed in range(first, first + AT_ONCE):
        slots = 1 + seed % 17
        found = some(seed)

        choice = choose(lanes_of(found), found.queues, found.usage(), slots=slots, now_us=NOW)

        wanted = plainly(found, slots=slots)
        assert choice.picks == wanted.picks, seed
        assert (choice.served, choice.passed) == (wanted.served, wanted.passed), seed


@pytest.mark.parametrize("first", range(0, WORLDS, AT_ONCE))
def test_a_line_that_is_known_to_be_shut_need_not_be_looked_at(first: int) -> None:
    """Lines behind closed gates of their own change nothing but that turns are taken."""
    for seed in range(first, first + AT_ONCE):
        slots = 1 + seed % 17
        found = some(seed)
        usage = found.usage()
        unlimited = {name: QueueRules() for name in found.queues}
        shut = [
            one
            for one in found.lines
            if closed_gate(one.line, unlimited, usage, now_us=NOW) is not None
        ]

        choice = choose(lanes_of(found, shut), found.queues, usage, slots=slots, now_us=NOW)

        wanted = plainly(found, slots=slots)
        assert choice.picks == wanted.picks, seed
        assert (choice.served, choice.passed) == (wanted.served, wanted.passed), seed
        assert all(one.looked_at == 0 for one in shut), seed

    def test_no_more_are_looked_at_than_may_be_next() -> None:
        """Of a thousand keys whose turns are known, one pick looks at two."""
        lines = [
            Known(Line(number, "q", f"k{number}"), [Head(number, f"j{number}", 0)], 0)
            for number in range(1000)
        ]
        found = Waiters(lines, {"q": QueueRules()}, {})

        choice = choose(lanes_of(found), found.queues, Usage(), slots=1, now_us=NOW)

        assert [pick.head.job_id for pick in choice.picks] == ["j0"]
        assert sum(one.looked_at for one in lines) == 2
