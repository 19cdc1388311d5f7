"""Random operations on a database and on the plain model: the same answers, the same truth.

Hypothesis chooses what people, workers, clocks and crashes do, and shrinks what it finds to the
shortest story. After each step every job and attempt is compared, and the promises that no model is
needed for are checked: timelines without gaps, one end for each job, entitlement to one session.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orchestrator.core import job as core
from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.core.matching import Offer, Requirement
from orchestrator.core.rank import rank
from orchestrator.core.retry import RetryPolicy
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.errors import AlreadyExists, LeaseLost
from orchestrator.protocol.base import moment
from orchestrator.protocol.limits import LEASE_S
from orchestrator.protocol.queues import QueueSettings
from orchestrator.protocol.views import HoldReply
from orchestrator.protocol.wire import Ended, HeldAttempt, LiveAttempt, Released, Started
from orchestrator.protocol.words import Execution, JobState, Outcome, Reason
from orchestrator.server.operations.cancel import cancel
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.queues import pause_queue, resume_queue, set_queue
from orchestrator.server.operations.upkeep import queue_due, tick
from tests.integration.store.databases import Opener, opener
from tests.integration.store.model import Model, ModelJob, ModelSession, Pair
from tests.integration.store.truth import everything
from tests.integration.store.world import TICK_S, Worker, World
from tests.support.builders import delay

WORKERS = st.integers(0, 2)
OUTCOMES: list[tuple[Outcome, Reason | None]] = [
    (Outcome.SUCCEEDED, None),
    (Outcome.FAILED, Reason.EXIT_NONZERO),
    (Outcome.TIMED_OUT, Reason.TIMEOUT_RUN),
    (Outcome.CANCELLED, None),
    (Outcome.PREEMPTED, Reason.PREEMPTED),
    (Outcome.LOST, None),
]
ENDS = st.sampled_from(
    [
        *(core.Ended(outcome, reason) for outcome, reason in OUTCOMES),
        core.Ended(Outcome.FAILED, Reason.EXIT_NONZERO, 75),
    ]
)
ON: list[tuple[str, ...]] = [("any",), ("exit:70-75", "timeout"), ("signal",)]
WINDOW_S = 100.0
PHASES = st.sampled_from(["granted", "running", "ended"])


class Comparison(RuleBasedStateMachine):
    """One database beside one model."""

    make: Opener

    @initialize()
    def begin(self) -> None:
        """Open an empty database and let three workers in."""
        self.portal_cm = start_blocking_portal("asyncio")
        self.portal = self.portal_cm.__enter__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(type(self).make, Path(self.folder.name))
        self.portal.call(self.world.open)
        self.model = Model()
        self.workers = [Worker(self.world, f"w{index}") for index in range(3)]
        for index, worker in enumerate(self.workers):
            self.portal.call(worker.enrol)
            self._connect(index, spool=0, takeover=False, held=[])

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "world"):
            self.portal.call(self.world.close)
            self.portal_cm.__exit__(None, None, None)
            self.folder.cleanup()

    def _pairs(self) -> list[Pair]:
        return sorted(self.model.attempts)

    def _some(self, data: st.DataObject, *, worker: str = "", most: int = 4) -> list[Pair]:
        """Choose attempts to speak of: mostly one's own, any that ever were, one that never was."""
        pairs = [*self._pairs(), ("job_" + "0" * 26, 1)]
        own = [pair for pair in pairs[:-1] if self.model.attempts[pair].worker == worker]
        if own and data.draw(st.sampled_from([True, True, True, False])):
            pairs = own
        return data.draw(st.lists(st.sampled_from(pairs), max_size=most, unique=True))

    @rule(
        wanted=st.lists(
            st.tuples(st.integers(-2, 2), st.sampled_from([None, None, "a", "b"])),
            min_size=1,
            max_size=4,
        ),
        policy=st.builds(
            RetryPolicy, st.integers(1, 3), st.just(Backoff(5.0, 2.0, 60.0)), st.sampled_from(ON)
        ),
        max_lost=st.integers(0, 2),
        wait_s=st.sampled_from([0, 0, 0, 7]),
        keys=st.dictionaries(st.sampled_from(["x", "y"]), st.integers(1, 2), max_size=2),
        once=st.sampled_from([False, False, True]),
    )
    def submit(
        self,
        *,
        wanted: list[tuple[int, str | None]],
        policy: RetryPolicy,
        max_lost: int,
        wait_s: int,
        keys: dict[str, int],
        once: bool,
    ) -> None:
        """Somebody submits a few jobs."""
        execution = Execution.AT_MOST_ONCE if once else Execution.AT_LEAST_ONCE
        policy, max_lost = (RetryPolicy(), 0) if once else (policy, max_lost)
        for priority, tag in wanted:
            due_us = round(self.world.clock.seconds * 1_000_000) + wait_s * 1_000_000
            fields: dict[str, Any] = {
                "priority": priority,
                "requires": {"tags": [tag] if tag else []},
                "retry": {
                    "max_attempts": policy.max_attempts,
                    "on": policy.on,
                    "backoff": {"initial_s": 5, "factor": 2, "max_s": 60},
                },
                "max_lost": max_lost,
                "execution": execution,
                "reattach_window_s": WINDOW_S,
                "concurrency": [{"key": key, "limit": limit} for key, limit in keys.items()],
                "run_at": moment(due_us).isoformat() if wait_s else None,
            }
            job = self.portal.call(partial(self.world.submit, delay(), **fields))
            now = self.model.now_us = self.world.now_us
            state = JobState.SCHEDULED if wait_s else JobState.QUEUED
            self.model.submit(
                job.id,
                ModelJob(
                    core.Job(state, retry=policy, max_lost=max_lost, execution=execution),
                    Requirement("delay", frozenset([tag] if tag else [])),
                    priority,
                    rank(due_us if wait_s else now, priority),
                    due_us if wait_s else None,
                    keys=keys,
                    patience_us=round((WINDOW_S - LEASE_S) * 1_000_000) if once else 0,
                ),
            )

    @rule(data=st.data())
    @precondition(lambda self: self.model.jobs)
    def cancel(self, data: st.DataObject) -> None:
        """Somebody cancels a job, finished or not, perhaps by force."""
        job_id = data.draw(st.sampled_from(sorted(self.model.jobs)))
        force = data.draw(st.sampled_from([False, False, True]))
        shown = self.portal.call(
            self.world.write, partial(cancel, job_id=job_id, by="ada", force=force)
        )
        assert shown.state is self.model.cancel(job_id, force=force)

    @rule(data=st.data(), order=st.sampled_from([hold, release]))
    @precondition(lambda self: self.model.jobs)
    def keep_back(self, data: st.DataObject, order: Callable[..., HoldReply]) -> None:
        """Somebody keeps jobs back, or lets them go."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self.model.jobs)), max_size=3, unique=True))
        reply = self.portal.call(self.world.write, partial(order, ids=ids, by="ada"))
        known = self.model.hold if order is hold else self.model.release
        done = [job_id for job_id in ids if known(job_id)]
        assert [job.id for job in reply.items] == done

    @rule(most=st.sampled_from([None, None, 1, 2, 4]))
    def limit(self, most: int | None) -> None:
        """Somebody says how many of the queue may run."""
        asked = QueueSettings(max_running=most)
        self.portal.call(self.world.write, partial(set_queue, name="default", asked=asked))
        self.model.max_running = most

    @rule(paused=st.booleans())
    def pause(self, *, paused: bool) -> None:
        """Somebody pauses the queue, or lets it go on."""
        order = partial(pause_queue, by="ada", why=None) if paused else resume_queue
        self.portal.call(self.world.write, partial(order, name="default"))
        self.model.paused = paused

    @rule(
        index=WORKERS,
        spool=st.sampled_from([0, 0, 0, 1]),
        takeover=st.booleans(),
        data=st.data(),
    )
    def connect(self, *, index: int, spool: int, takeover: bool, data: st.DataObject) -> None:
        """A worker process begins, with whatever its spool says."""
        chosen = self._some(data, worker=self.workers[index].id)
        held = [(pair, data.draw(PHASES)) for pair in chosen]
        self._connect(index, spool=spool, takeover=takeover, held=held)

    def _connect(
        self, index: int, *, spool: int, takeover: bool, held: list[tuple[Pair, str]]
    ) -> None:
        worker = self.workers[index]
        tags = [["a"], ["a", "b"], []][index]
        offer = Offer(worker.id, worker.name, "linux", frozenset({"delay"}), frozenset(tags))
        name = f"spool-{index}-{spool}"
        before = worker.session
        listed = [
            HeldAttempt.model_validate({"job_id": pair[0], "attempt": pair[1], "phase": phase})
            for pair, phase in held
        ]
        fields = {"spool_id": name, "kinds": ["delay"], "tags": tags, "takeover": takeover}
        try:
            reply = self.portal.call(partial(worker.connect, *listed, **fields))
        except AlreadyExists:
            verdicts = None
        else:
            verdicts = [verdict.verdict for verdict in reply.verdicts]
        new = worker.session if verdicts is not None else "refused"
        session = ModelSession(worker.id, name, offer, self.model.lease_now)
        assert verdicts == self.model.connect(new, session, held, takeover=takeover)
        assert (worker.session == before) == (verdicts is None)

    @rule(index=WORKERS, slots=st.integers(1, 4), step=st.sampled_from([1, 1, 1, 0, -1, 3]))
    def claim(self, *, index: int, slots: int, step: int) -> None:
        """A worker asks for work: anew, again, or by a call that went astray."""
        worker = self.workers[index]
        number = max(1, worker.number + step)
        before = worker.number
        try:
            grants = self.portal.call(partial(worker.claim, slots, number=number))
        except LeaseLost:
            found = None
        else:
            found = [(grant.job_id, grant.attempt) for grant in grants]
        worker.number = max(before, number)
        assert found == self.model.claim(worker.session, number, slots)

    @rule(index=WORKERS, data=st.data())
    def report(self, index: int, data: st.DataObject) -> None:
        """A worker says what happened to attempts, its own or not."""
        worker = self.workers[index]
        pairs = self._some(data, worker=worker.id)
        said = {pair: self._words(data, pair, worker.session) for pair in pairs}
        events = [self._event(pair, word, end) for pair in pairs for word, end in said[pair]]
        acks = self.portal.call(partial(worker.report, *events))
        expected = [self.model.tell(worker.session, pair, said[pair]) for pair in pairs]
        assert [(ack.settled, ack.directive) for ack in acks] == expected
        may_run = [self.model.may_run(worker.session, pair) for pair in pairs]
        assert [ack.started for ack in acks] == may_run
        if acks:
            # Repeating it gives the same answers, and the invariants see that nothing changed.
            again = self.portal.call(partial(worker.report, *events))
            repeated = [self.model.tell(worker.session, pair, said[pair]) for pair in pairs]
            assert [(ack.settled, ack.directive) for ack in again] == repeated

    def _words(
        self, data: st.DataObject, pair: Pair, session: str
    ) -> list[tuple[str, core.Ended | None]]:
        """Choose what to say: anything of what is over, the possible of what is not."""
        known = self.model.attempts.get(pair)
        fresh = known is not None and known.outcome is None and not known.started
        mine = self.model.jobs[pair[0]].session == session if known else False
        end = ("ended", data.draw(ENDS))
        choices: list[list[tuple[str, core.Ended | None]]] = [[("started", None)]]
        choices += [[("started", None), end], [end]]
        if fresh or not mine:
            choices.append([("released", None)])
        return data.draw(st.sampled_from(choices))

    @staticmethod
    def _event(pair: Pair, word: str, end: core.Ended | None) -> Started | Ended | Released:
        key: dict[str, Any] = {"job_id": pair[0], "attempt": pair[1]}
        if end is not None:
            key |= {"outcome": end.outcome, "reason": end.reason, "exit_code": end.exit_code}
            if end.outcome is Outcome.SUCCEEDED:
                key["result"] = {"ok": True, "took_ms": 0}  # as its kind promises
            return Ended(**key, at_us=0)
        return Started(**key, at_us=0) if word == "started" else Released(**key)

    @rule(index=WORKERS, data=st.data(), unseen=st.sampled_from([0, 0, 0, 1, 2]))
    def heartbeat(self, index: int, data: st.DataObject, unseen: int) -> None:
        """A worker is heard of, with a list that may be right."""
        worker = self.workers[index]
        seen = max(0, worker.number - unseen)
        mine = self.model.entitled(worker.session)
        some = data.draw(st.lists(st.sampled_from(mine), unique=True)) if mine else []
        pairs = dict.fromkeys([*some, *self._some(data, most=2)])
        listed = {pair: data.draw(st.booleans()) for pair in pairs}
        shown = [
            LiveAttempt(job_id=pair[0], attempt=pair[1], cancelling=cancelling)
            for pair, cancelling in listed.items()
        ]
        try:
            reply = self.portal.call(partial(worker.heartbeat, *shown, claim_seen=seen))
        except LeaseLost:
            orders = None
        else:
            orders = {((one.job_id, one.attempt), one.directive) for one in reply.orders}
        assert orders == self.model.heartbeat(worker.session, listed, seen)

    @rule(index=WORKERS)
    def goodbye(self, index: int) -> None:
        """A worker ends in order."""
        self.portal.call(self.workers[index].goodbye)
        self.model.goodbye(self.workers[index].session)

    @rule(ticks=st.integers(1, 8), heard=st.sets(WORKERS))
    def pass_time(self, ticks: int, heard: set[int]) -> None:
        """Time goes by, and some workers are heard of in it."""
        for _ in range(ticks):
            self.world.clock.seconds += TICK_S
            self.model.now_us = self.world.now_us
            elapsed = round(TICK_S * 1_000_000)
            done = self.portal.call(self.world.write, partial(tick, elapsed_us=elapsed))
            assert done.lost == self.model.tick(elapsed)
            self.portal.call(self.world.write, queue_due)
            self.model.queue_due()
            for index in sorted(heard):
                name = self.workers[index].session
                if self.model.sessions[name].open:
                    mine = dict.fromkeys(self.model.entitled(name), True)
                    shown = [
                        LiveAttempt(job_id=pair[0], attempt=pair[1], cancelling=True)
                        for pair in mine
                    ]
                    self.portal.call(partial(self.workers[index].heartbeat, *shown))
                    self.model.heartbeat(name, mine, self.workers[index].number)

    @rule(away_s=st.sampled_from([0, 1000]))
    def restart(self, away_s: int) -> None:
        """The server stops and starts."""
        self.world.clock.seconds += away_s
        self.model.now_us = self.world.now_us
        self.portal.call(self.world.restart)
        self.model.begin()

    @invariant()
    def the_same_is_true_of_every_job(self) -> None:
        """Every job and attempt is in the database as in the model, and timelines have no gaps."""
        jobs, attempts, timelines = self.portal.call(self.world.read, everything)
        for job_id, job in self.model.jobs.items():
            seqs, words = zip(*timelines[job_id], strict=True)
            assert seqs == tuple(range(1, len(seqs) + 1))
            assert words.count("finished") == (1 if job.state in TERMINAL else 0)
        assert jobs == {
            job_id: (
                job.state,
                job.reason,
                job.attempt,
                job.session,
                job.rules.failures,
                job.rules.lost,
                job.due_us,
                job.rank,
            )
            for job_id, job in self.model.jobs.items()
        }
        assert attempts == {
            pair: (one.session, one.claim, one.started, one.outcome, one.reason, one.late)
            for pair, one in self.model.attempts.items()
        }


EXAMPLES = {"sqlite": 60, "postgresql": 20}
"""Each step is a dozen statements, and every one of them crosses to another process and back."""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_database_does_what_the_rules_say(
    database: str, request: pytest.FixtureRequest
) -> None:
    """Whatever happens in whatever order, the database and the model agree."""
    with opener(database, request) as make:
        run_state_machine_as_test(
            type("Compared", (Comparison,), {"make": staticmethod(make)}),
            settings=settings(
                max_examples=EXAMPLES[database],
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
