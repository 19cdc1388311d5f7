"""A claim looks at no more than it takes, and gives what it would give if it looked at all."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

import pytest

from orchestrator.core.order import Head, Waiting, choose, gathered, soonest_us
from orchestrator.protocol.jobs import AmendRequest, JobSpec
from orchestrator.protocol.queues import QueueSettings
from orchestrator.protocol.wire import ClaimRequest, Grant
from orchestrator.server.facts import Fact
from orchestrator.server.operations.amend import amend
from orchestrator.server.operations.claim import claim
from orchestrator.server.operations.gating import closed_gates, read_queues, read_usage
from orchestrator.server.operations.lines import line_of_row
from orchestrator.server.operations.queues import pause_queue, resume_queue, set_queue
from orchestrator.server.operations.submit import submit
from orchestrator.server.store.interface import Reader, Row, Transaction, Value
from tests.integration.store.world import Worker, World, ended, released
from tests.support.builders import command

_LINES = """
    SELECT line.id, line.queue, line.fairness_key, line.limits, line.least_rank, line.least_id,
        line.top_priority, line.waiting, line.shut_us, line.shut_until_us, turn.served_us,
        turn.turn_us, turn.least_rank AS key_rank
    FROM line LEFT JOIN turn ON turn.queue = line.queue AND turn.fairness_key = line.fairness_key
"""
_FITTING = f"""
    {_LINES} JOIN session_requirement AS fits ON fits.requirement_id = line.requirement_id
    WHERE fits.session_id = :session_id AND fits.barred = 0
"""
_JOBS = """
    SELECT rank, id, priority FROM job WHERE state = 'queued' AND line_id = :id ORDER BY rank, id
"""


def all_looked_at(reader: Reader, session_id: str, slots: int) -> list[str]:
    """Return who is served if everybody who waits is looked at."""
    waiting = []
    for number, queue, key, limits, *_, served_us, _, _ in reader.tuples(
        _FITTING, session_id=session_id
    ):
        heads = [Head(*row) for row in reader.tuples(_JOBS, id=number)]
        if heads:
            line = line_of_row(number, queue, key, limits)
            waiting.append(Waiting(line, iter(heads), served_us or 0))
    queues = read_queues(reader)
    usage = read_usage(reader, [one.line for one in waiting], queues)
    choice = choose(gathered(waiting), queues, usage, slots=slots, now_us=reader.now_us)
    return [pick.head.job_id for pick in choice.picks]


def require_truth(reader: Reader) -> None:
    """What is kept of lines and keys is never too much, and who is shut is behind a closed gate."""
    for row in reader.rows(_LINES):
        for rank, job_id, priority in reader.tuples(_JOBS, id=row["id"]):
            assert row["waiting"]
            assert (row["least_rank"], row["least_id"]) <= (rank, job_id)
            assert row["top_priority"] >= priority
            if row["shut_us"] is None:
                soonest = soonest_us(rank, priority, row["served_us"])
                assert row["turn_us"] is not None
                assert (row["turn_us"], row["key_rank"]) <= (soonest, rank)
            elif row["shut_until_us"] is None:
                line = line_of_row(row["id"], row["queue"], row["fairness_key"], row["limits"])
                assert row["id"] in closed_gates(reader, [line])


class Story:
    """People and workers who do anything at all."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.dice = Random(seed)
        self.workers: list[Worker] = []
        self.grants: list[tuple[Worker, Grant]] = []
        self.waiting: list[str] = []

    async def begin(self) -> None:
        """Have two queues, three workers that bring different things, and many jobs."""
        await self.world.write(partial(set_queue, name="b", asked=QueueSettings(weight=2)))
        for name, tags in {"all": "stuv", "half": "st", "one": "u"}.items():
            self.workers.append(await self.world.worker(name, tags=list(tags), slots=64))
        for _ in range(50):
            await self.submit()

    async def submit(self) -> None:
        """Submit a job of any kind."""
        dice = self.dice
        fields: dict[str, Any] = {
            "queue": dice.choice(["default", "default", "b"]),
            "fairness_key": f"k{dice.randint(0, 5)}",
            "priority": dice.choice([0, 0, 0, -20, 1, 100]),
            "requires": {"tags": [dice.choice("stuv")]},
        }
        if dice.random() < 0.3:
            fields["concurrency"] = [{"key": f"c{dice.randint(0, 3)}", "limit": dice.randint(1, 2)}]
        if dice.random() < 0.2:
            fields["rate_limit"] = [{"key": "api", "count": dice.randint(1, 3), "per_s": 30}]
        self.waiting.append((await self.world.submit(**fields)).id)

    async def claim(self) -> None:
        """Let a worker claim: it is given what it would be given if all were looked at."""
        worker, slots = self.dice.choice(self.workers), self.dice.choice([1, 1, 2, 5, 30])
        wanted = await self.world.read(lambda reader: all_looked_at(reader, worker.session, slots))
        grants = await worker.claim(slots)
        assert [grant.job_id for grant in grants] == wanted
        self.grants += [(worker, grant) for grant in grants]

    async def give_back(self, how: Callable[[Grant], Any]) -> None:
        """End some attempts, or give them back."""
        self.dice.shuffle(self.grants)
        for _ in range(min(len(self.grants), self.dice.randint(1, 9))):
            worker, grant = self.grants.pop()
            await worker.report(how(grant))

    async def change(self) -> None:
        """Cancel a job, or let it be more urgent or wait elsewhere, if it has not begun."""
        job = await self.world.job(self.dice.choice(self.waiting))
        if job.state != "queued":
            return
        match self.dice.randint(0, 2):
            case 0:
                await self.world.cancel(job.id)
            case 1:
                asked = AmendRequest(priority=self.dice.choice([-100, 0, 50]))
                await self.world.write(lambda tx: amend(tx, job.id, asked, by="eve"))
            case _:
                asked = AmendRequest(queue=self.dice.choice(["default", "b"]))
                await self.world.write(lambda tx: amend(tx, job.id, asked, by="eve"))

    async def steer(self) -> None:
        """Pause a queue, let it go on, or change its limit."""
        match self.dice.randint(0, 2):
            case 0:
                await self.world.write(partial(pause_queue, name="b", by="eve", why=None))
            case 1:
                await self.world.write(partial(resume_queue, name="b"))
            case _:
                limit = QueueSettings(max_running=self.dice.choice([None, 3, 9]))
                await self.world.write(partial(set_queue, name="default", asked=limit))

    async def step(self) -> None:
        """Let anything happen."""
        deeds: list[tuple[int, Callable[[], Any]]] = [
            (6, self.submit),
            (8, self.claim),
            (3, partial(self.give_back, ended)),
            (1, partial(self.give_back, released)),
            (2, self.change),
            (1, self.steer),
        ]
        (deed,) = self.dice.choices([deed for _, deed in deeds], [often for often, _ in deeds])
        await deed()
        self.world.clock.seconds += self.dice.choice([0, 0.01, 9])


@pytest.mark.parametrize("seed", range(4))
async def test_a_claim_gives_what_it_would_give_if_it_looked_at_all(
    world: World, seed: int
) -> None:
    """Whatever happened before, the order of the core is kept, and nobody is passed over."""
    story = Story(world, seed)
    await story.begin()
    for _ in range(100):
        await story.step()
        await world.read(require_truth)


class Looking:
    """A transaction that counts the rows which an operation is given."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.facts: list[Fact] = tx.facts
        self.now_us = tx.now_us
        self.seen = 0

    def rows(self, sql: str, **params: Value) -> list[Row]:
        """Return every row that a statement gives."""
        found = self._tx.rows(sql, **params)
        self.seen += len(found)
        return found

    def row(self, sql: str, **params: Value) -> Row | None:
        """Return the first row, or `None`."""
        return next(iter(self.rows(sql, **params)), None)

    def tuples(self, sql: str, **params: Value) -> list[tuple[Any, ...]]:
        """Return every row as a plain tuple."""
        found = self._tx.tuples(sql, **params)
        self.seen += len(found)
        return found

    def execute(self, sql: str, **params: Value) -> int:
        """Run a statement and return how many rows it changed."""
        return self._tx.execute(sql, **params)

    def many(self, sql: str, params: Iterable[Mapping[str, Value]]) -> int:
        """Run a statement once for each set of parameters."""
        return self._tx.many(sql, params)

    def announce(self, fact: Fact) -> None:
        """Let subscribers know."""
        self._tx.announce(fact)


async def fill(world: World, count: int, **fields: Any) -> None:
    """Submit so many jobs in one go, each with a fairness key of its own."""
    world.clock.seconds += 1
    specs = [
        JobSpec.model_validate_json(
            json.dumps({**command(), "fairness_key": f"k{number}", **fields})
        )
        for number in range(count)
    ]

    def all_at_once(tx: Transaction) -> None:
        for spec in specs:
            submit(tx, job_id=world.id("job"), owner="ada", spec=spec)

    await world.write(all_at_once)


async def seen_by_a_claim(worker: Worker, slots: int = 1) -> tuple[int, list[Grant]]:
    """Claim; return how many rows were looked at, and what was given."""
    worker.world.clock.seconds += 1
    worker.number += 1
    asked = ClaimRequest(session_id=worker.session, number=worker.number, slots=slots)

    def counted(tx: Transaction) -> tuple[int, list[Grant]]:
        looking = Looking(tx)
        grants = claim(looking, asked, worker_id=worker.id).grants
        return looking.seen, grants

    return await worker.world.write(counted)


async def test_a_claim_looks_at_no_more_where_more_wait(world: World) -> None:
    """Beside hundreds of keys a claim looks at a few, the first time and every time."""
    worker = await world.worker()
    await fill(world, 300)
    looks = []
    for _ in range(5):
        seen, grants = await seen_by_a_claim(worker)
        looks.append(seen)
        assert len(grants) == 1

    assert max(looks) < 40


async def test_what_is_behind_closed_gates_is_not_looked_at_again_and_again(world: World) -> None:
    """Hundreds that wait for one key are looked at once, and again when it is free."""
    worker = await world.worker()
    await fill(world, 300, concurrency=[{"key": "c", "limit": 1}])
    _, (holder,) = await seen_by_a_claim(worker)
    await seen_by_a_claim(worker)

    seen, grants = await seen_by_a_claim(worker)

    assert grants == []
    assert seen < 40
    await world.submit(name="free")
    assert [grant.name for grant in await worker.claim(8)] == ["free"]
    await worker.report(ended(holder))
    assert len(await worker.claim(8)) == 1


async def test_a_rate_shuts_no_longer_than_it_has_to(world: World) -> None:
    """Hundreds that wait for a window to move on are not looked at before, and are then."""
    worker = await world.worker()
    await fill(world, 300, rate_limit=[{"key": "api", "count": 1, "per_s": 60}])
    _, (_,) = await seen_by_a_claim(worker)
    await seen_by_a_claim(worker)
    seen, grants = await seen_by_a_claim(worker)
    assert grants == []
    assert seen < 40

    world.clock.seconds += 60
    assert len(await worker.claim(8)) == 1
    assert await worker.claim(8) == []
    world.clock.seconds -= 3600
    assert len(await worker.claim(8)) == 1
    assert await worker.claim(8) == []
