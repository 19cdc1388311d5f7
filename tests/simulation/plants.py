"""How each planted bug is put into the programs' own modules."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anyio

import orchestrator.core.job
import orchestrator.server.operations.admission
import orchestrator.server.operations.changes
import orchestrator.server.operations.claim
import orchestrator.server.operations.dependencies
import orchestrator.server.operations.dependents
import orchestrator.server.operations.fires
import orchestrator.server.operations.heartbeat
import orchestrator.server.operations.losses
import orchestrator.server.operations.output
import orchestrator.server.operations.output_plan
import orchestrator.server.operations.ownership
import orchestrator.server.operations.records
import orchestrator.server.operations.report
import orchestrator.server.operations.restoration
import orchestrator.server.operations.sessions
import orchestrator.server.operations.unique
import orchestrator.server.operations.upkeep
import orchestrator.server.operations.walk
import orchestrator.server.output_intake
import orchestrator.server.output_log
import tests.simulation.parts.server
import tests.simulation.parts.shim
import tests.simulation.parts.store
import worker.agent
import worker.attempts
import worker.logic.attempt
import worker.runner
import worker.services.heartbeat
import worker.shim.journal
import worker.spool.remains
import worker.spool.spool
import worker.spool.tail
from orchestrator.core.job import Job
from orchestrator.protocol.frames import EMPTY_DIGEST
from orchestrator.protocol.words import Execution
from orchestrator.server.operations.idempotency import IdempotencyKey
from tests.simulation.world.syscalls import Patches
from worker.logic.attempt import Withdrawn
from worker.moment import now_us

operations = orchestrator.server.operations
server: Any = tests.simulation.parts.server
spool = worker.spool
Plant = Callable[[Patches], None]


def without_guards(patches: Patches) -> None:
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


def unfenced(*kinds: str) -> Plant:
    """Believe some kinds of reports of whoever makes them."""

    def plant(patches: Patches) -> None:
        without_guards(patches)
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


def replaced(owner: Any, name: str, old: str, new: str) -> Plant:
    """Change a statement."""

    def plant(patches: Patches) -> None:
        text = getattr(owner, name)
        assert old in text, (name, old)
        patches.set(owner, name, text.replace(old, new))

    return plant


def put(owner: Any, name: str, value: Any) -> Plant:
    def plant(patches: Patches) -> None:
        patches.set(owner, name, value)

    return plant


def runs_while_down(patches: Patches) -> None:
    """Let leases run out while no server is there."""

    def begin(tx: Any) -> None:
        tx.execute("UPDATE lease_clock SET now_lease_us = now_lease_us + 60000000 WHERE one = 1")

    patches.set(server, "begin", begin)


def revived(patches: Patches) -> None:
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


def early(*names: str) -> Plant:
    return put(tests.simulation.parts.store, "EARLY", frozenset(names))


def keyless(patches: Patches) -> None:
    real = server.once

    def once(tx: Any, key: IdempotencyKey, make: Any) -> Any:
        known = tx.row("SELECT count(*) AS n FROM idempotency")["n"]
        another = IdempotencyKey(key.principal, key.route, f"{key.key} {known}", key.body_sha256)
        return real(tx, another, make)

    patches.set(server, "once", once)


def any_body(patches: Patches) -> None:
    real = server.once

    def once(tx: Any, key: IdempotencyKey, make: Any) -> Any:
        return real(tx, IdempotencyKey(key.principal, key.route, key.key, "any"), make)

    patches.set(server, "once", once)


def marked_later(patches: Patches) -> None:
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


def given_back(patches: Patches) -> None:
    def vanished(self: Any, _record: Any) -> Withdrawn:
        return Withdrawn(now_us(self._tools.clock), "nobody has seen it run")

    real = worker.runner.Runner._vanished

    def choose(self: Any, record: Any) -> Any:
        began = self.phase == "running"
        return real(self, record) if began else vanished(self, record)

    patches.set(worker.runner.Runner, "_vanished", choose)


def once_more(name: str) -> Plant:
    """Treat a job that may be started only once as any other, when its attempt ends so."""

    def plant(patches: Patches) -> None:
        real = getattr(orchestrator.core.job, name)

        def rule(job: Job, *args: Any, **keys: Any) -> Any:
            any_job = replace(job, execution=Execution.AT_LEAST_ONCE, max_lost=3)
            return real(any_job, *args, **keys)

        patches.set(orchestrator.core.job, name, rule)

    return plant


def any_process(patches: Patches) -> None:
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


def soon_gone(patches: Patches) -> None:
    """Say good-bye though the server has not heard how everything ended."""
    patches.set(worker.attempts.Attempts, "unsettled", property(lambda _self: False))


def silent(patches: Patches) -> None:
    """Say nothing more to the server from the moment on at which a drain is ordered."""
    heart: Any = worker.services.heartbeat.Heart
    real = heart.beat

    async def silence(_request: Any) -> Any:
        await anyio.sleep_forever()

    def beat(self: Any) -> None:
        self._link = SimpleNamespace(heartbeat=silence)
        real(self)

    patches.set(heart, "beat", beat)


def misplaced(patches: Patches) -> None:
    """Put output behind what is there, wherever its place is."""
    real = operations.output_plan.grown
    for module in (operations.report, orchestrator.server.output_intake):
        patches.set(module, "grown", lambda log, _offset, data: real(log, log.length, data))


def closed_up(patches: Patches) -> None:
    """Go on behind a hole in a log as if there were none."""
    tail: Any = spool.tail.Tail
    real = tail._granted
    patches.set(
        tail, "_granted", lambda self, record: real(self, {**record, "offset": self._length})
    )


def sessionless(patches: Patches) -> None:
    """Take the word of a session that is over."""
    for module in (operations.claim, operations.heartbeat):
        patches.set(module, "open_session_of", operations.ownership.own_session)


def unnamed(patches: Patches) -> None:
    """Sync what is in a segment, and not the folder in which it has its name."""
    journal: Any = worker.shim.journal.Journal
    real = journal._begin

    def begin(self: Any, name: str) -> None:
        real(self, name)
        self._named_durably = True

    patches.set(journal, "_begin", begin)
    patches.set(spool.spool, "sync_dir", lambda _path: None)


def any_attempt(patches: Patches) -> None:
    """Obey an order about one attempt of a job in whatever attempt of it is here."""
    attempts: Any = worker.attempts.Attempts
    real = attempts.order

    def order(self: Any, key: Any, directive: Any) -> bool:
        here = [one for one in self._runners if one.job_id == key.job_id]
        return bool(sum(real(self, one, directive) for one in here))

    patches.set(attempts, "order", order)


def unsynced_parts(patches: Patches) -> None:
    """Commit the length of output that is not on the disk."""
    output_log: Any = orchestrator.server.output_log
    system = output_log.os

    class Careless:
        fsync = staticmethod(lambda _fd: None)

        def __getattr__(self, name: str) -> Any:
            return getattr(system, name)

    patches.set(output_log, "os", Careless())


def counted_by_what_is_there(patches: Patches) -> None:
    """Count frames, and let the shim's own counts be."""

    def told(_tail: object, record: dict[str, Any]) -> None:
        record.pop("stdout", None)
        record.pop("stderr", None)

    patches.set(spool.tail.Tail, "_told", told)


def known_digest(patches: Patches) -> None:
    """Tell the digest of what is left of a log as that of all of it."""
    tail: Any = spool.tail.Tail
    begin, granted = tail.__init__, tail._granted

    def begun(self: Any, *args: Any) -> None:
        begin(self, *args)
        self._digest = self._digest or EMPTY_DIGEST

    def goes_on(self: Any, record: Any) -> None:
        digest = self._digest
        granted(self, record)
        self._digest = digest

    patches.set(tail, "__init__", begun)
    patches.set(tail, "_granted", goes_on)


async def only_sessions(store: Any, _manifest: Any, *, leap: int) -> int:
    """Bring a backup back, and let its jobs go on by themselves."""
    await store.write(operations.restoration.end_sessions)
    return 0


def held_as_any(patches: Patches) -> None:
    """Give away what is kept back."""
    claim, walk = operations.claim, operations.walk
    for module, name in ((claim, "_WAITING"), (walk, "_JOBS"), (claim, "_TAKE")):
        text: str = getattr(module, name)
        assert "state = 'queued'" in text
        held = text.replace("state = 'queued'", "state IN ('queued', 'held')")
        patches.set(module, name, held)


def not_awaited(patches: Patches) -> None:
    """Start what may be started only once before the server has its start."""
    rules: Any = worker.logic.attempt
    real = rules._prepared
    patches.set(rules, "_prepared", lambda attempt, done: real(replace(attempt, once=False), done))


def never_synced(patches: Patches) -> None:
    patches.set(spool.spool.Spool, "_sync_by", lambda *_: None)


def give_back_all(changes: Any, live: Any, listed: Any) -> None:
    for pair, held in live.items():
        if pair not in listed and held.attempt.started_us is None:
            operations.losses.give_back(changes._tx, changes, [held])
