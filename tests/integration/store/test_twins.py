"""The same story told to both databases: the same answers, and the same rows in every table.

The model beside `test_model.py` knows the rules and compares what matters. Here nothing is known
and everything is compared, so a difference in a corner that no model thought of is found as well.
"""

import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from orchestrator.core.job_filter import JobFilter
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.base import moment
from orchestrator.protocol.wire import Grant
from orchestrator.protocol.words import JobState, Outcome, Reason
from orchestrator.server.operations.job_lists import Cursor, list_jobs
from orchestrator.server.operations.retention import (
    forget_jobs,
    forgettable_jobs,
)
from orchestrator.server.operations.workers import list_workers
from orchestrator.server.store.interface import Reader
from tests.integration.store.databases import Opener, opener
from tests.integration.store.world import (
    Worker,
    World,
    digest,
    ended,
    held,
    live,
    output,
    printed,
    released,
    started,
)
from tests.support.builders import command

TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'migration'"
DAY_S = 24 * 3600.0
WORKERS = st.integers(0, 1)
ENDS = st.sampled_from(
    [
        (Outcome.SUCCEEDED, None, None),
        (Outcome.FAILED, Reason.EXIT_NONZERO, 3),
        (Outcome.TIMED_OUT, Reason.TIMEOUT_RUN, None),
        (Outcome.CANCELLED, None, None),
        (Outcome.PREEMPTED, Reason.PREEMPTED, None),
    ]
)
Act = Callable[[World, list[Worker]], Awaitable[Any]]


class Twins(RuleBasedStateMachine):
    """Two worlds on two databases, that hear the same."""

    makes: tuple[Opener, ...]

    @initialize()
    def begin(self) -> None:
        """Open both, and let the same two workers in."""
        self.portal_cm = start_blocking_portal("asyncio")
        self.portal = self.portal_cm.__enter__()
        self.folder = tempfile.TemporaryDirectory()
        self.worlds: list[World] = []
        for make in type(self).makes:
            world = World(make, Path(self.folder.name))
            self.portal.call(world.open)
            self.worlds.append(world)
        self.tables = [name for (name,) in self._read(0, lambda r: r.tuples(TABLES))]
        self.crews = [[Worker(world, f"w{n}") for n in range(2)] for world in self.worlds]
        self.jobs: list[str] = []
        self.grants: list[Grant] = []
        for number in range(2):
            self.both(partial(_connect, number=number, tags=["a"] * number))

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "worlds"):
            for world in self.worlds:
                self.portal.call(world.close)
            self.portal_cm.__exit__(None, None, None)
            self.folder.cleanup()

    def _read(self, index: int, query: Callable[[Reader], Any]) -> Any:
        return self.portal.call(self.worlds[index].read, query)

    def both(self, act: Act) -> Any:
        """Do the same to both, and return the one answer of both."""
        first, second = (
            self.portal.call(_answered, act, world, crew)
            for world, crew in zip(self.worlds, self.crews, strict=True)
        )
        assert first == second
        assert self.worlds[0].facts == self.worlds[1].facts
        return first

    def some(self, data: st.DataObject) -> list[Grant]:
        """Choose attempts that ever were."""
        if not self.grants:
            return []
        one = st.sampled_from(self.grants)
        return data.draw(st.lists(one, max_size=3, unique_by=lambda g: (g.job_id, g.attempt)))

    @rule(
        tag=st.sampled_from([None, "a", "b"]),
        priorities=st.lists(st.integers(-2, 2), min_size=1, max_size=4),
        tries=st.integers(1, 2),
        wait_s=st.sampled_from([0, 0, 7]),
        name=st.sampled_from([None, "Zoë", "zoe", "a_b", "%"]),
        label=st.sampled_from(["x", "X", 'q"uote', "\\"]),
    )
    def submit(self, priorities: list[int], **fields: Any) -> None:
        """Somebody submits a few jobs."""
        for priority in priorities:
            job = self.both(partial(_submit, priority=priority, **fields))
            self.jobs.append(job.id)

    @rule(number=WORKERS, slots=st.integers(1, 4), again=st.booleans())
    def claim(self, number: int, slots: int, *, again: bool) -> None:
        """A worker asks for work, or for the same once more."""
        given = self.both(partial(_claim, number=number, slots=slots, again=again))
        if isinstance(given, list):  # and no refusal
            self.grants += [grant for grant in given if grant not in self.grants]

    @rule(data=st.data(), number=WORKERS, end=ENDS, size=st.sampled_from([0, 9, 9_000]))
    def report(self, data: st.DataObject, number: int, end: tuple[Any, ...], size: int) -> None:
        """A worker tells of attempts, its own or not: begun, printed, over."""
        grants = self.some(data)
        if grants:
            what = data.draw(st.sampled_from(["start", "print", "end", "all", "release"]))
            self.both(partial(_report, number=number, grants=grants, what=what, end=end, size=size))

    @rule(data=st.data(), number=WORKERS)
    def heartbeat(self, data: st.DataObject, number: int) -> None:
        """A worker renews its session, and lists what it has, or should not have."""
        self.both(partial(_heartbeat, number=number, grants=self.some(data)))

    @rule(data=st.data(), number=WORKERS, how=st.sampled_from(["again", "new spool", "takeover"]))
    def reconnect(self, data: st.DataObject, number: int, how: str) -> None:
        """A worker comes back, with what its spool still holds."""
        tags = ["a"] * number
        self.both(partial(_connect, number=number, tags=tags, grants=self.some(data), how=how))

    @rule(number=WORKERS, stays_away=st.sampled_from([False, False, False, True]))
    def goodbye(self, number: int, *, stays_away: bool) -> None:
        """A worker ends in order, and as a rule begins again."""
        self.both(partial(_goodbye, number=number))
        if not stays_away:
            self.both(partial(_connect, number=number, tags=["a"] * number))

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Somebody cancels a job."""
        if self.jobs:
            job_id = data.draw(st.sampled_from(self.jobs))
            self.both(lambda world, _: world.cancel(job_id))

    @rule(seconds=st.sampled_from([1.0, 20.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        """The upkeep ticks, so leases end and jobs fall due."""
        self.both(lambda world, _: world.pass_time(seconds))

    @rule(days=st.sampled_from([0.5, 40.0]))
    def forget(self, days: float) -> None:
        """Some days later old things are removed."""
        self.both(partial(_forget, days=days))

    @rule()
    def restart(self) -> None:
        """The server is started again."""
        self.both(lambda world, _: world.restart())

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        """People look at a job, at lists with filters, at the workers."""
        states = data.draw(st.frozensets(st.sampled_from(list(JobState)), max_size=2))
        name = data.draw(st.sampled_from([None, "zoe", "Zoë", "a_b", "%"]))
        label = data.draw(st.sampled_from([None, ("k", "x"), ("k", 'q"uote'), ("k", "\\")]))
        wanted = JobFilter(
            states=states,
            names=frozenset({name} if name else ()),
            labels=frozenset({label} if label else ()),
        )
        before = data.draw(st.sampled_from([None, *map(Cursor, self.jobs)]))
        self.both(partial(_look, wanted=wanted, cursor=before))

    @invariant()
    def every_row_is_the_same(self) -> None:
        """No table of the one differs from the other's."""
        if hasattr(self, "tables"):
            first, second = (self._read(index, self._dump) for index in range(2))
            assert first == second

    def _dump(self, reader: Reader) -> dict[str, list[str]]:
        return {
            table: sorted(map(repr, reader.tuples(f"SELECT * FROM {table}")))
            for table in self.tables
        }


async def _answered(act: Act, world: World, crew: list[Worker]) -> Any:
    """Return what came of it, also when that is a refusal."""
    try:
        return await act(world, crew)
    except OrchestratorError as refusal:
        return (type(refusal).__name__, refusal.problem_code, refusal.message)


async def _submit(world: World, _: list[Worker], **fields: Any) -> Any:
    due_us = world.now_us + fields["wait_s"] * 1_000_000
    return await world.submit(
        command(),
        name=fields["name"],
        labels={"k": fields["label"], "j": "x"},
        priority=fields["priority"],
        requires={"tags": [fields["tag"]] if fields["tag"] else []},
        retry={"max_attempts": fields["tries"]},
        run_at=moment(due_us).isoformat() if fields["wait_s"] else None,
    )


async def _claim(
    _: World, crew: list[Worker], *, number: int, slots: int, again: bool
) -> list[Grant]:
    worker = crew[number]
    given = await worker.claim(slots, number=worker.number or 1) if again else None
    return await worker.claim(slots) if given is None else given


async def _report(
    _: World, crew: list[Worker], *, number: int, grants: list[Grant], what: str, **how: Any
) -> Any:
    outcome, reason, exit_code = how["end"]
    data = printed(b"x" * how["size"]) if how["size"] else b""
    events: list[Any] = []
    for grant in grants:
        if what in {"start", "all"}:
            events.append(started(grant))
        if what in {"print", "all"} and data:
            events.append(output(grant, data))
        if what in {"end", "all"}:
            length = len(data) if what == "all" else 0
            events.append(
                ended(
                    grant,
                    outcome,
                    reason=reason,
                    exit_code=exit_code,
                    message="Ünïcode 🐍",
                    result={"n": 1.5},
                    output_length=length,
                    output_digest=digest(data if length else b""),
                    output_final=True,
                )
            )
        if what == "release":
            events.append(released(grant))
    return await crew[number].report(*events) if events else None


async def _heartbeat(_: World, crew: list[Worker], *, number: int, grants: list[Grant]) -> Any:
    return await crew[number].heartbeat(*map(live, grants))


async def _connect(
    _: World,
    crew: list[Worker],
    *,
    number: int,
    grants: list[Grant] | None = None,
    how: str = "again",
    tags: list[str] | None = None,
) -> Any:
    worker = crew[number]
    if not worker.id:
        await worker.enrol()
    spool = f"spool-of-{worker.name}" if how == "again" else f"spool-{worker.world.id('spool')}"
    return await worker.connect(
        *map(held, grants or []), spool_id=spool, tags=tags or [], takeover=how == "takeover"
    )


async def _goodbye(_: World, crew: list[Worker], *, number: int) -> None:
    await crew[number].goodbye()


async def _forget(world: World, _: list[Worker], *, days: float) -> Any:
    world.clock.seconds += days * DAY_S
    found = await world.read(partial(forgettable_jobs, now_us=world.now_us))
    gone = await world.write(partial(forget_jobs, jobs=found))
    return found, gone


async def _look(world: World, _: list[Worker], *, wanted: JobFilter, cursor: Cursor | None) -> Any:
    listed = await world.read(partial(list_jobs, wanted=wanted, cursor=cursor, limit=3))
    details = [await world.job(job.id) for job in listed[0]]
    events = [await world.events(job.id) for job in listed[0]]
    return listed, details, events, await world.read(list_workers)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_both_databases_tell_the_same_story(request: pytest.FixtureRequest) -> None:
    """Whatever happens in whatever order, one database is as good as the other."""
    with opener("sqlite", request) as one, opener("postgresql", request) as other:
        run_state_machine_as_test(
            type("Compared", (Twins,), {"makes": (one, other)}),
            settings=settings(
                max_examples=12,
                phases=[
                    Phase.generate
                ],  # a shorter story takes minutes: add Phase.shrink to see it
                stateful_step_count=50,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
