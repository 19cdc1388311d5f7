"""Planted bugs: each undoes one protection, and the simulation must find each within 2,000 seeds.

A simulation that finds nothing may be good or blind; these tell which. Each says what it is that a
tired person might have written, and plants exactly that in the programs' own modules.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Final

import orchestrator.core.job
import orchestrator.server.operations.changes
import orchestrator.server.operations.claim
import orchestrator.server.operations.heartbeat
import orchestrator.server.operations.losses
import orchestrator.server.operations.output
import orchestrator.server.operations.records
import orchestrator.server.operations.report
import orchestrator.server.operations.sessions
import orchestrator.server.operations.upkeep
import tests.simulation.parts.server
import tests.simulation.parts.shim
import worker.agent
import worker.attempts
import worker.runner
import worker.shim.journal
import worker.spool.remains
import worker.spool.spool
import worker.spool.tail
from orchestrator.core.job import Job
from orchestrator.protocol.words import Execution
from orchestrator.server.operations.idempotency import IdempotencyKey
from tests.simulation.world.syscalls import Patches
from worker.logic.attempt import Withdrawn
from worker.moment import now_us

operations = orchestrator.server.operations
server: Any = tests.simulation.parts.server
spool = worker.spool
Plant = Callable[[Patches], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug, and the first seed that is known to find it."""

    what: str
    plant: Plant
    seed: int


def _without_guards(patches: Patches) -> None:
    """Let statements apply what was decided, whatever has happened since."""
    changes = operations.changes
    for name, guard in (
        ("_UPDATE_JOB", "AND attempt = :attempt AND state = :was_state AND event_seq = :was_seq"),
        ("_UPDATE_JOB", "AND coalesce(session_id, '') = :was_session"),
        ("_UPDATE_ATTEMPT", "AND session_id = :was_session AND outcome IS NULL"),
    ):
        text = getattr(changes, name)
        assert guard in text, guard
        patches.set(changes, name, text.replace(guard, ""))


def _unfenced(*kinds: str) -> Plant:
    """Believe some kinds of reports of whoever makes them."""

    def plant(patches: Patches) -> None:
        _without_guards(patches)
        real: Any = operations.report._Batch._take
        held: Any = operations.records.Held
        fence = held.is_entitled

        def take(batch: Any, pair: Any, reported: Any, events: list[Any]) -> Any:
            open_to = all(event.type in kinds for event in events)
            held.is_entitled = (lambda _held, _session: True) if open_to else fence
            try:
                return real(batch, pair, reported, events)
            finally:
                held.is_entitled = fence

        patches.set(operations.report._Batch, "_take", take)
        save: str = operations.output._SAVE
        guard = "AND session_id = :session_id AND outcome IS NULL"
        assert guard in save
        patches.set(operations.output, "_SAVE", save.replace(guard, ""))

    return plant


def _replaced(owner: Any, name: str, old: str, new: str) -> Plant:
    """Change a statement."""

    def plant(patches: Patches) -> None:
        text = getattr(owner, name)
        assert old in text, (name, old)
        patches.set(owner, name, text.replace(old, new))

    return plant


def _set(owner: Any, name: str, value: Any) -> Plant:
    def plant(patches: Patches) -> None:
        patches.set(owner, name, value)

    return plant


def _runs_while_down(patches: Patches) -> None:
    """Let leases run out while no server is there."""

    def begin(tx: Any) -> None:
        tx.execute("UPDATE lease_clock SET now_lease_us = now_lease_us + 60000000 WHERE one = 1")

    patches.set(server, "begin", begin)


def _revived(patches: Patches) -> None:
    real = server.wait_for_orders

    async def wait(store: Any, bus: Any, request: Any, receive: Any, *, worker_id: str) -> Any:
        def revive(tx: Any) -> None:
            for one in request.attempts:
                tx.execute(
                    "UPDATE job SET state = 'running', finished_us = NULL, session_id = :session "
                    "WHERE id = :id AND attempt = :attempt AND finished_us IS NOT NULL",
                    session=request.session_id,
                    id=one.job_id,
                    attempt=one.attempt,
                )

        await store.write(revive)
        return await real(store, bus, request, receive, worker_id=worker_id)

    patches.set(server, "wait_for_orders", wait)


def _early(*names: str) -> Plant:
    return _set(server, "EARLY", frozenset(names))


def _keyless(patches: Patches) -> None:
    real = server.once

    def once(tx: Any, key: IdempotencyKey, make: Any) -> Any:
        known = tx.row("SELECT count(*) AS n FROM idempotency")["n"]
        another = IdempotencyKey(key.principal, key.route, f"{key.key} {known}", key.body_sha256)
        return real(tx, another, make)

    patches.set(server, "once", once)


def _any_body(patches: Patches) -> None:
    real = server.once

    def once(tx: Any, key: IdempotencyKey, make: Any) -> Any:
        return real(tx, IdempotencyKey(key.principal, key.route, key.key, "any"), make)

    patches.set(server, "once", once)


def _marked_later(patches: Patches) -> None:
    """Start the command, and only then write down that it was to be started."""
    attempt: Any = tests.simulation.parts.shim._Attempt

    def begin(self: Any) -> None:
        self._shim.later(0.001, self._start)

    real = attempt._start

    def start(self: Any) -> None:
        grant, shim = self._grant, self._shim
        real_began = shim.journal.began

        def began(pid: int, at_us: int) -> None:
            about = grant.job, grant.attempt, grant.grace_s, grant.timeout_s
            shim.later(0.05, shim.journal.grant, *about)
            shim.later(0.05, real_began, pid, at_us)

        shim.journal.began = began
        real(self)
        del shim.journal.began

    patches.set(attempt, "begin", begin)
    patches.set(attempt, "_start", start)


def _given_back(patches: Patches) -> None:
    def vanished(self: Any, _record: Any) -> Withdrawn:
        return Withdrawn(now_us(self._tools.clock), "nobody has seen it run")

    real = worker.runner.Runner._vanished

    def choose(self: Any, record: Any) -> Any:
        began = self.phase == "running"
        return real(self, record) if began else vanished(self, record)

    patches.set(worker.runner.Runner, "_vanished", choose)


def _once_more(name: str) -> Plant:
    """Treat a job that may be started only once as any other, when its attempt ends so."""

    def plant(patches: Patches) -> None:
        real = getattr(orchestrator.core.job, name)

        def rule(job: Job, *args: Any, **keys: Any) -> Any:
            any_job = replace(job, execution=Execution.AT_LEAST_ONCE, max_lost=3)
            return real(any_job, *args, **keys)

        patches.set(orchestrator.core.job, name, rule)

    return plant


def _any_process(patches: Patches) -> None:
    """Take whoever has a pid for the one who had it."""
    real = getattr(spool.remains, "linux")  # noqa: B009 - what the world has put there
    patches.set(spool.remains, "linux", SimpleNamespace(**{**vars(real), "start_time": _Any}))


class _Any:
    """A start time that is like every other."""

    def __init__(self, _pid: int) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def _soon_gone(patches: Patches) -> None:
    """Say good-bye though the server has not heard how everything ended."""
    patches.set(worker.attempts.Attempts, "unsettled", property(lambda _self: False))


def _counted_by_what_is_there(patches: Patches) -> None:
    """Count frames, and let the shim's own counts be."""

    def told(_tail: object, record: dict[str, Any]) -> None:
        record.pop("stdout", None)
        record.pop("stderr", None)

    patches.set(spool.tail.Tail, "_told", told)


def _never_synced(patches: Patches) -> None:
    patches.set(spool.spool.Spool, "_sync_by", lambda *_: None)


MUTANTS: Final = {
    "result unfenced": Mutant("no attempt check on a result", _unfenced("ended"), 22),
    "output unfenced": Mutant("no attempt check on output", _unfenced("output"), 60),
    "heartbeat unfenced": Mutant(
        "a heartbeat gives back what is still on its way",
        _set(
            operations.heartbeat,
            "_give_back_what_never_arrived",
            lambda _tx, changes, _request, live, listed: _give_back_all(changes, live, listed),
        ),
        275,
    ),
    "stale reaper": Mutant(
        "the reaper looks at the claim, and not at the renewals since",
        _replaced(
            operations.upkeep, "_SELECT_OVER", "session.renewed_lease_us + job.reattach_us", "0"
        ),
        2,
    ),
    "leases run while down": Mutant("no grace when a server starts", _runs_while_down, 8),
    "heartbeat revives": Mutant("a heartbeat revives a finished job", _revived, 186),
    "attempt not raised": Mutant(
        "a claim keeps the number of the last one",
        _replaced(
            operations.claim,
            "_CLAIM",
            "1 + CASE WHEN attempt_floor > attempt THEN attempt_floor ELSE attempt END",
            "max(attempt, coalesce(attempt_floor, 0), 1)",
        ),
        0,
    ),
    "submit acked early": Mutant("a submit is answered before it is durable", _early("submit"), 0),
    "claim acked early": Mutant("a claim is answered before it is durable", _early("claim"), 0),
    "report acked early": Mutant("a report is answered before it is durable", _early("report"), 0),
    "keys not unique": Mutant("a key makes another job each time", _keyless, 0),
    "any body": Mutant("a key is taken with any body", _any_body, 0),
    "marked after exec": Mutant("the grant is written after the start", _marked_later, 0),
    "intent given back": Mutant("a grant without news is given back as unstarted", _given_back, 42),
    "spool unheard": Mutant(
        "a new session is told nothing of what the spool holds",
        _set(worker.attempts.Attempts, "held", lambda _self: []),
        9,
    ),
    "openings repeated": Mutant(
        "a repeated request opens a session once more",
        _set(operations.sessions, "_refuse_what_is_old", lambda *_: None),
        31,
    ),
    "pid alone": Mutant("remains are known by their pid alone", _any_process, 23),
    "good-bye too soon": Mutant("a worker leaves before all is settled", _soon_gone, 186),
    "exit not synced": Mutant("nobody syncs what was not acknowledged", _never_synced, 275),
    "end not compared": Mutant(
        "an end is believed without a look at what came of its output",
        _set(operations.report, "_missing_bytes", lambda *_: 0),
        45,
    ),
    "counts forgotten": Mutant(
        "what a command wrote is counted by what is found of it",
        _counted_by_what_is_there,
        34,
    ),
    "late overwrites": Mutant(
        "a late result replaces what was decided",
        _replaced(
            operations.report,
            "_KEEP_LATE",
            "SET late_result = :late_result",
            "SET late_result = :late_result, outcome = 'succeeded'",
        ),
        60,
    ),
    "late not kept": Mutant(
        "a late result is thrown away",
        _replaced(operations.report, "_KEEP_LATE", "late_result IS NULL", "1 = 0"),
        60,
    ),
    "lost twice": Mutant("an at_most_once job is tried again when lost", _once_more("_lost"), 109),
    "interrupted twice": Mutant(
        "an at_most_once job is tried again when interrupted", _once_more("_preempted"), 275
    ),
}


def _give_back_all(changes: Any, live: Any, listed: Any) -> None:
    for pair, held in live.items():
        if pair not in listed and held.attempt.started_us is None:
            operations.losses.give_back(changes._tx, changes, [held])
