"""How a machine's limit is shared: in a small world of workers, late messages and jobs."""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.supervisor.logic.share import FORGET_S, LOST_S, SETTLE_S, Share


@dataclass
class Worker:
    """A worker as it really is: it takes jobs as soon as it may."""

    slots: int
    backlog: int
    """Jobs that wait for it at its server."""
    job_s: float
    allowed: int | None = 0
    running: int = 0
    alive: bool = True
    started: int = 0
    waited_s: float = 0.0
    """The longest that a job waited while it ran none."""
    idle_from: float = 0.0

    @property
    def may(self) -> int:
        """Return how many jobs it may run."""
        return self.slots if self.allowed is None else min(self.slots, self.allowed)


@dataclass
class World:
    """Workers, a share, and messages that take their time."""

    limit: int
    workers: dict[int, Worker]
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    now: float = 0.0
    most: int = 0

    def __post_init__(self) -> None:
        self.share: Share[int] = Share(self.limit)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._last = dict.fromkeys(self.workers, 0.0)
        for key, worker in self.workers.items():
            self.share.join(key, worker.slots, now=0.0)
        for key in self.workers:
            self._begin(key)

    def at(self, moment: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (moment, next(self._numbers), do))

    def _begin(self, key: int) -> None:
        self.workers[key].alive = True
        self.workers[key].allowed = self.share.began(key, now=self.now)
        self._take(key)
        self._tell(key)

    def _send(self, key: int, do: Callable[[], None]) -> None:
        """Messages of one line keep their order."""
        arrives = max(self.now + self.chance.uniform(0.001, 0.2), self._last[key])
        self._last[key] = arrives
        self.at(arrives, do)

    def _tell(self, key: int) -> None:
        worker = self.workers[key]
        allowed, running = worker.allowed, worker.running

        def heard() -> None:
            if worker.alive:
                self.share.heard(key, allowed=allowed, running=running, takes=True, now=self.now)
                self._decide()

        self._send(key, heard)

    def _decide(self) -> None:
        for key, slots in self.share.decide(now=self.now).items():
            self._send(key, lambda key=key, slots=slots: self._order(key, slots))  # type: ignore[misc]

    def _order(self, key: int, slots: int | None) -> None:
        if self.workers[key].alive:
            self.workers[key].allowed = slots
            self._take(key)
            self._tell(key)

    def _take(self, key: int) -> None:
        worker = self.workers[key]
        if worker.running == 0 and worker.backlog and worker.alive:
            worker.waited_s = max(worker.waited_s, self.now - worker.idle_from)
        while worker.alive and worker.backlog and worker.running < worker.may:
            worker.waited_s = max(worker.waited_s, self.now - worker.idle_from)
            worker.backlog -= 1
            worker.started += 1
            worker.running += 1
            self.at(self.now + worker.job_s * self.chance.uniform(0.5, 1.5), lambda: self._end(key))
        self.most = max(self.most, sum(one.running for one in self.workers.values()))

    def _end(self, key: int) -> None:
        worker = self.workers[key]
        worker.running -= 1
        if worker.running == 0:
            worker.idle_from = self.now
        self._take(key)
        if worker.alive:
            self._tell(key)

    def kill(self, key: int, back_after_s: float) -> None:
        """End a worker's process; what it runs goes on."""
        self.workers[key].alive = False
        self.share.lost(key, now=self.now)
        self.at(self.now + back_after_s, lambda: self._begin(key))

    def submit(self, key: int, jobs: int) -> None:
        worker = self.workers[key]
        if not worker.backlog and not worker.running:
            worker.idle_from = self.now
        worker.backlog += jobs
        self._take(key)
        self._tell(key)

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.now < until:
            moment = self._queue[0][0] if self._queue else math.inf
            tick = self.share.wakes_at(now=self.now)
            self.now = min(moment, tick, until)
            if self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
            else:
                self._decide()


def _worlds(slots: list[int], limit: int, *, backlog: int = 10**6, job_s: float = 2.0) -> World:
    return World(limit, {key: Worker(n, backlog, job_s) for key, n in enumerate(slots)})


def test_there_is_no_limit_as_long_as_nobody_can_pass_it() -> None:
    """Workers that have no more slots together than the machine allows are told of none."""
    world = _worlds([2, 2], limit=4)
    world.run(5.0)

    assert [worker.allowed for worker in world.workers.values()] == [None, None]
    assert world.most == 4


def test_five_workers_of_four_slots_never_run_more_than_six_jobs() -> None:
    """All of the six are used, and everybody gets some."""
    world = _worlds([4] * 5, limit=6)
    world.run(100.0)

    assert world.most == 6
    started = [worker.started for worker in world.workers.values()]
    assert sum(started) > 0.8 * 6 * 100 / 2
    assert min(started) > 0.4 * max(started)


@pytest.mark.parametrize("slots", [4, 6])
def test_a_busy_worker_hands_on_to_one_that_waits(slots: int) -> None:
    """A job that comes while another worker has everything starts when one of its jobs ends.

    Also if the busy one could use more, and has waited for that much longer.
    """
    world = _worlds([slots, 4], limit=4, backlog=0, job_s=5.0)
    world.submit(0, 10**6)
    world.run(60.0)
    assert world.workers[0].running == 4
    world.submit(1, 1)
    world.run(60.0 + 30.0 + 7.5 + 2.0)

    assert world.workers[1].started == 1
    assert world.most == 4


def test_workers_without_jobs_cost_a_busy_one_little() -> None:
    """Permits are tried elsewhere now and then; a quarter of them at most, for a second each."""
    world = _worlds([6] * 20, limit=6, backlog=0, job_s=5.0)
    world.submit(0, 10**6)
    world.run(200.0)

    assert world.workers[0].started > 0.7 * 6 * 200 / 5
    assert world.most <= 6


def test_one_permit_goes_round() -> None:
    """With one job at a time for three workers that have work, each gets its turn."""
    world = _worlds([1, 1, 1], limit=1, job_s=1.0)
    world.run(60.0)

    started = [worker.started for worker in world.workers.values()]
    assert max(started) - min(started) <= 2
    assert sum(started) > 30


def test_idle_permits_are_all_handed_out() -> None:
    """Nobody waits for a permit that lies about."""
    world = _worlds([4] * 5, limit=6, backlog=0)
    world.run(10.0)

    allowed = [worker.allowed or 0 for worker in world.workers.values()]
    assert sum(allowed) == 6
    assert min(allowed) >= 1


def test_a_lower_limit_is_met_as_jobs_end() -> None:
    """What runs may finish; nothing is begun before there is room below the new limit."""
    world = _worlds([4] * 3, limit=8)
    world.run(20.0)
    world.share.limit = 3
    world.run(30.0)
    world.most = 0
    world.run(60.0)

    assert world.most == 3


def test_a_limit_that_rises_above_all_slots_is_lifted() -> None:
    """Everybody is told once that there is none any more."""
    world = _worlds([2, 2], limit=2)
    world.run(5.0)
    world.share.limit = 4
    world.run(10.0)

    assert [worker.allowed for worker in world.workers.values()] == [None, None]
    assert world.share.decide(now=10.0) == {}


def test_a_limit_that_comes_later_lets_everybody_finish() -> None:
    """Nothing new is begun above it."""
    world = _worlds([3, 3], limit=6)
    world.run(20.0)
    world.share.limit = 2
    world.run(30.0)
    world.most = 0
    world.run(60.0)

    assert world.most == 2


def test_a_dead_worker_keeps_what_it_runs_until_it_is_forgotten() -> None:
    """Its jobs go on without it; one that does not come back does not block others for ever."""
    share: Share[str] = Share(2)
    share.join("a", 2, now=0.0)
    share.join("b", 2, now=0.0)
    assert [share.began(key, now=0.0) for key in ("a", "b")] == [0, 0]
    share.heard("a", allowed=0, running=1, takes=True, now=SETTLE_S)
    share.heard("b", allowed=0, running=0, takes=True, now=SETTLE_S)
    share.decide(now=SETTLE_S)
    share.lost("a", now=10.0)

    def given(now: float) -> int:
        share.decide(now=now)
        return share._members["b"].aim

    assert given(10.0) <= 1
    assert given(10.0 + LOST_S) == 1
    assert given(10.0 + FORGET_S) == 2


@pytest.mark.parametrize("seed", range(20))
def test_jobs_from_before_count_before_anybody_told_of_them(seed: int) -> None:
    """A supervisor that was started again gives nothing away that a worker may have running."""
    workers = {0: Worker(4, 0, 5.0, running=3), 1: Worker(4, 10**6, 1.0)}
    world = World(4, workers, random.Random(seed))
    world.at(5.0, lambda: world._end(0))
    world.run(4.0)

    assert world.most == 4


def test_more_slots_are_told_and_a_limit_above_all_of_them_is_none() -> None:
    """A worker that may do more later is dealt with as if it always could."""
    share: Share[str] = Share(4)
    share.join("a", 2, now=0.0)
    share.began("a", now=0.0)
    share.heard("a", allowed=None, running=0, takes=True, now=0.0)
    assert share.decide(now=0.0) == {}
    share.join("a", 6, now=1.0)

    assert share.decide(now=1.0) == {"a": 0}
    share.heard("a", allowed=0, running=0, takes=True, now=1.0)
    assert share.decide(now=1.0) == {"a": 4}


def test_a_permit_that_is_handed_back_goes_to_whoever_waits() -> None:
    """Not to the one that handed it back, although that one could have used it for longer."""
    share: Share[str] = Share(2)
    share.join("a", 3, now=0.0)
    share.join("b", 1, now=0.0)
    for key in ("a", "b"):
        share.began(key, now=0.0)
        share.heard(key, allowed=0, running=0, takes=key == "a", now=0.0)
    while orders := share.decide(now=1.0):
        given = orders["a"]
        share.heard("a", allowed=given, running=given or 0, takes=True, now=1.0)
    share.heard("b", allowed=0, running=0, takes=True, now=5.0)

    assert share.decide(now=5.0) == {"a": 1}
    share.heard("a", allowed=1, running=2, takes=True, now=5.1)
    assert share.decide(now=5.2) == {}
    share.heard("a", allowed=1, running=1, takes=True, now=6.0)

    assert share.decide(now=6.0) == {"b": 1}


def test_one_that_has_left_is_counted_no_more() -> None:
    """Its permits are the others'."""
    share: Share[str] = Share(1)
    share.join("a", 1, now=0.0)
    share.join("b", 1, now=0.0)
    assert share.began("b", now=0.0) == 0
    share.leave("a")

    assert share.decide(now=0.0) == {"b": None}


def test_a_worker_that_takes_nothing_holds_up_nobody() -> None:
    """What is paused has no permit, although it once had one."""
    share: Share[str] = Share(1)
    for key in ("a", "b"):
        share.join(key, 1, now=0.0)
    for key in ("a", "b"):
        share.began(key, now=0.0)
        share.heard(key, allowed=0, running=0, takes=True, now=SETTLE_S)
    assert share.decide(now=SETTLE_S) == {"a": 1}
    share.heard("a", allowed=1, running=0, takes=False, now=SETTLE_S)
    assert share.decide(now=SETTLE_S) == {"a": 0}
    share.heard("a", allowed=0, running=0, takes=False, now=SETTLE_S)

    assert share.decide(now=SETTLE_S) == {"b": 1}
    assert share.wakes_at(now=SETTLE_S) == math.inf


STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 8.0),
        st.sampled_from(["submit", "kill", "limit"]),
        st.integers(0, 5),
        st.integers(1, 8),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.integers(1, 8),
    st.integers(0, 2**32),
    STEPS,
)
def test_never_more_than_allowed_and_nobody_starves(
    slots: list[int], limit: int, seed: int, steps: list[tuple[float, str, int, int]]
) -> None:
    """Whatever is submitted and whoever dies: the limit holds, and in the end all is done."""
    workers = {key: Worker(n, 0, 1.0) for key, n in enumerate(slots)}
    world = World(limit, workers, random.Random(seed))
    highest = limit
    for pause_s, what, which, number in steps:
        world.run(world.now + pause_s)
        key = which % len(slots)
        if what == "submit":
            world.submit(key, number)
        elif what == "kill" and workers[key].alive:
            world.kill(key, number / 2)
        elif what == "limit":
            world.share.limit = number
            highest = max(highest, number)
        assert world.most <= highest

    jobs = sum(worker.backlog for worker in workers.values())
    world.run(world.now + 60.0 + 2.5 * jobs)

    assert world.most <= highest
    assert [worker.backlog for worker in workers.values()] == [0] * len(slots)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_everybody_is_served_soon(limit: int) -> None:
    """With more hungry workers than permits, nobody waits longer than its turn."""
    world = _worlds([2] * 8, limit=limit, job_s=1.0)
    world.run(120.0)

    turn_s = 2.5 * 8 / limit + 5.0
    assert max(worker.waited_s for worker in world.workers.values()) < turn_s
    assert world.most == limit
