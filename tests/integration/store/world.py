"""A server's database with people and workers around it, in the shortest words.

Everything goes through the real operations and the real store; only the clock is the test's own, so
that an hour passes when the test says so.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from orchestrator.kernel.clock import Clock
from orchestrator.protocol import frames
from orchestrator.protocol.ids import make_id
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.tokens import make_token
from orchestrator.protocol.views import EventView, JobDetail, JobView
from orchestrator.protocol.wire import (
    Ack,
    ClaimRequest,
    Ended,
    EnrolRequest,
    GoodbyeRequest,
    Grant,
    HeartbeatReply,
    HeartbeatRequest,
    HeldAttempt,
    Host,
    LiveAttempt,
    Offer,
    Output,
    Released,
    ReportEvent,
    ReportRequest,
    SessionReply,
    SessionRequest,
    Started,
)
from orchestrator.protocol.words import Outcome, Reason
from orchestrator.server.facts import Fact
from orchestrator.server.operations.cancel import cancel
from orchestrator.server.operations.claim import claim
from orchestrator.server.operations.jobs import get_job, list_events
from orchestrator.server.operations.report import report
from orchestrator.server.operations.ring import ring
from orchestrator.server.operations.sessions import goodbye, heartbeat, open_session
from orchestrator.server.operations.submit import submit
from orchestrator.server.operations.upkeep import begin, tick
from orchestrator.server.operations.workers import EnrolIds, enrol
from orchestrator.server.store.interface import Operation, Query, Store
from tests.support.builders import command

T = TypeVar("T")
Phase = Literal["granted", "running", "ended"]
TICK_S = 5.0
EPOCH_S = 1_800_000_000.0
HOST = Host(
    hostname="oak", platform="linux", arch="x86_64", cpu_count=8, memory_bytes=1, python="3.11"
)


class TestClock:
    """Both clocks, moved by hand."""

    __test__ = False

    def __init__(self) -> None:
        self.seconds = EPOCH_S

    def now(self) -> float:
        """Return wall time."""
        return self.seconds

    def monotonic(self) -> float:
        """Return the same: nobody compares the two."""
        return self.seconds


class World:
    """One database, its clock, and the facts that it announced."""

    def __init__(self, make: Callable[[Path, Clock], Store], folder: Path) -> None:
        self._make = make
        self.folder = folder
        self.clock = TestClock()
        self.facts: list[Fact] = []
        self._ids = 0
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """Return the open store."""
        assert self._store is not None
        return self._store

    def open(self) -> None:
        """Start the server's database."""
        self._store = self._make(self.folder, self.clock)
        self._store.subscribe(self.facts.extend)

    async def close(self) -> None:
        """Stop it."""
        await self.store.aclose()

    async def restart(self) -> None:
        """Stop and start as a server does."""
        await self.close()
        self.open()
        await self.write(begin)

    def id(self, prefix: str) -> str:
        """Return a new id; later ones sort behind earlier ones."""
        self._ids += 1
        at_ms = round(self.clock.now() * 1000)
        return make_id(prefix, at_ms=at_ms, random=self._ids.to_bytes(10, "big"))

    @property
    def now_us(self) -> int:
        """Return what a transaction would see."""
        return round(self.clock.now() * 1_000_000)

    async def write(self, operation: Operation[T]) -> T:
        """Run an operation."""
        return await self.store.write(operation)

    async def read(self, query: Query[T]) -> T:
        """Run a query."""
        return await self.store.read(query)

    async def submit(self, job: dict[str, Any] | None = None, **fields: Any) -> JobView:
        """Submit a job (by default `true`), with a millisecond between any two."""
        self.clock.seconds += 0.001
        spec = JobSpec.model_validate_json(json.dumps({**(job or command()), **fields}))
        new = self.id("job")
        return await self.write(lambda tx: submit(tx, job_id=new, owner="ada", spec=spec))

    async def cancel(self, job_id: str) -> JobView:
        """Cancel a job."""
        return await self.write(lambda tx: cancel(tx, job_id, by="ada", comment="enough"))

    async def job(self, job_id: str) -> JobDetail:
        """Return a job that must be there."""
        found = await self.read(lambda reader: get_job(reader, job_id))
        assert found is not None
        return found

    async def events(self, job_id: str) -> list[EventView]:
        """Return a job's timeline."""
        return await self.read(lambda reader: list_events(reader, job_id, after=0, limit=1000))

    async def told(self, job_id: str) -> list[str]:
        """Return the words of a job's timeline."""
        return [event.type.value for event in await self.events(job_id)]

    async def pass_time(self, seconds: float) -> int:
        """Let time go by with the upkeep at work; return how many attempts were lost."""
        lost = 0
        while seconds > 0:
            step = min(TICK_S, seconds)
            seconds -= step
            self.clock.seconds += step
            done = await self.write(partial(tick, elapsed_us=round(step * 1_000_000)))
            lost += done.lost
            while await self.write(ring):
                pass
        return lost

    async def worker(self, name: str = "w1", **session: Any) -> "Worker":
        """Enrol a worker and open its first session."""
        worker = Worker(self, name)
        await worker.enrol()
        await worker.connect(**session)
        return worker


class Worker:
    """A worker's side of the conversation, without any process."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.id = ""
        self.session = ""
        self.number = 0

    async def enrol(self) -> str:
        """Introduce the worker; return its token."""
        world = self.world
        ids = EnrolIds(
            machine_id=world.id("machine"),
            worker_id=world.id("worker"),
            secret=make_token("secret", world.id("x").encode().ljust(32)[-32:]),
        )
        asked = EnrolRequest(name=self.name, fingerprint=f"fingerprint-of-{self.name}", host=HOST)
        reply = await world.write(lambda tx: enrol(tx, asked, ids=ids))
        self.id = reply.worker_id
        return reply.token

    async def connect(self, *held: HeldAttempt, **fields: Any) -> SessionReply:
        """Open a session, by default with the same spool as before."""
        asked = SessionRequest(
            **{
                "version": "1",
                "spool_id": f"spool-of-{self.name}",
                "slots": 8,
                "kinds": ["command", "delay"],
                "host": HOST,
                "held": list(held),
                **fields,
            }
        )
        new = self.world.id("session")
        reply = await self.world.write(
            lambda tx: open_session(tx, asked, worker_id=self.id, session_id=new)
        )
        self.session, self.number = new, 0
        return reply

    async def claim(
        self, slots: int = 1, *, number: int | None = None, job_id: str | None = None
    ) -> list[Grant]:
        """Ask for work, or for one job."""
        self.number = self.number + 1 if number is None else number
        asked = ClaimRequest(
            session_id=self.session, number=self.number, slots=slots, job_id=job_id
        )
        return (await self.world.write(lambda tx: claim(tx, asked, worker_id=self.id))).grants

    async def claim_one(self) -> Grant:
        """Ask for one attempt, and get it."""
        (grant,) = await self.claim()
        return grant

    async def report(self, *events: ReportEvent) -> list[Ack]:
        """Say what happened."""
        asked = ReportRequest(session_id=self.session, events=list(events))
        return (await self.world.write(lambda tx: report(tx, asked, worker_id=self.id))).acks

    async def tell(self, *events: ReportEvent) -> Ack:
        """Say what happened to one attempt."""
        (ack,) = await self.report(*events)
        return ack

    async def heartbeat(
        self, *attempts: LiveAttempt, claim_seen: int | None = None, offer: Offer | None = None
    ) -> HeartbeatReply:
        """Renew the session."""
        seen = self.number if claim_seen is None else claim_seen
        asked = HeartbeatRequest(
            session_id=self.session, claim_seen=seen, offer=offer, attempts=list(attempts)
        )
        return await self.world.write(lambda tx: heartbeat(tx, asked, worker_id=self.id))

    async def goodbye(self) -> None:
        """End in order."""
        asked = GoodbyeRequest(session_id=self.session)
        await self.world.write(lambda tx: goodbye(tx, asked, worker_id=self.id))

    async def running(self, **job: Any) -> Grant:
        """Submit a job, take it and start it."""
        await self.world.submit(**job)
        grant = await self.claim_one()
        await self.report(started(grant))
        return grant


def key(grant: Grant) -> dict[str, Any]:
    """Return the words by which everybody names an attempt."""
    return {"job_id": grant.job_id, "attempt": grant.attempt}


def started(grant: Grant, *, at_us: int = 2**60, pid: int | None = 4711) -> Started:
    """Say that an attempt began: as late as the server believes, unless told otherwise."""
    return Started(**key(grant), at_us=at_us, pid=pid)


def ended(grant: Grant, outcome: Outcome = Outcome.SUCCEEDED, **fields: Any) -> Ended:
    """Say that an attempt is over, with the result that its kind promises."""
    if grant.kind == "delay" and outcome is Outcome.SUCCEEDED:
        fields = {"result": {"ok": True, "took_ms": 0}, **fields}
    return Ended(**key(grant), **{"at_us": 2**60, "outcome": outcome, **fields})


def failed(grant: Grant, exit_code: int = 1, **fields: Any) -> Ended:
    """Say that a command failed."""
    return ended(grant, Outcome.FAILED, reason=Reason.EXIT_NONZERO, exit_code=exit_code, **fields)


def released(grant: Grant) -> Released:
    """Give an attempt back."""
    return Released(**key(grant))


def live(grant: Grant, *, cancelling: bool = False) -> LiveAttempt:
    """List an attempt in a heartbeat."""
    return LiveAttempt(**key(grant), cancelling=cancelling)


def held(grant: Grant, phase: Phase = "running") -> HeldAttempt:
    """List an attempt in a new session."""
    return HeldAttempt(**key(grant), phase=phase)


def printed(*pieces: bytes, stream: int = frames.FrameType.OUT) -> bytes:
    """Return the frames of what a command printed."""
    return b"".join(frames.encode(stream, 1_000_000 + i, data) for i, data in enumerate(pieces))


def digest(data: bytes) -> str:
    """Return the digest of a log, as the worker would compute it."""
    so_far = frames.EMPTY_DIGEST
    for frame in frames.decode(data):
        so_far = frames.chain(so_far, data[frame.end - frame.size : frame.end])
    return so_far.hex()


def output(grant: Grant, data: bytes, *, offset: int = 0) -> Output:
    """Send frames with a report."""
    return Output(**key(grant), offset=offset, frames=data)
