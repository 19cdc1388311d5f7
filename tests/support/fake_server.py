"""A small control server at a real socket, for the worker's tests: obedient, forgetful on request.

It speaks the worker's protocol with the real models and keeps the little state that a worker can
notice. Tests submit jobs, look at attempts, and order faults. It is no model of the real server:
one lock, no database, nothing durable but what the test holds.
"""

import contextlib
import hashlib
import itertools
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from orchestrator.protocol.tokens import WorkerToken, make_token
from orchestrator.protocol.wire import (
    Ack,
    ClaimReply,
    ClaimRequest,
    Ended,
    GoodbyeRequest,
    Grant,
    HeartbeatReply,
    HeartbeatRequest,
    HeldVerdict,
    LiveAttempt,
    Order,
    Output,
    Progress,
    Released,
    ReportEvent,
    ReportReply,
    ReportRequest,
    SessionReply,
    SessionRequest,
    Started,
)
from orchestrator.protocol.words import Directive, Verdict
from tests.support.fake_attempt import FakeAttempt
from tests.support.fake_http import Call, Fault, Http, Problem
from tests.support.waiting import wait_until


class FakeServer:
    """The server and its state. Use `serving()` to get one."""

    def __init__(self) -> None:
        self.token = str(
            WorkerToken(
                "machine_" + "0" * 26, "worker_" + "0" * 26, make_token("secret", b"k" * 32)
            )
        )
        self.tokens = {self.token}
        """Who may call, besides."""
        self.by_token: Counter[str] = Counter()
        """How often each of them did."""
        self.answering = threading.Event()
        """While it is not set, claims are decided and their answers stay here."""
        self.answering.set()
        self.changed = threading.Condition()
        self.calls: list[Call] = []
        self.errors: list[str] = []
        self.faults: dict[str, list[Fault]] = {}
        self.queue: list[dict[str, Any]] = []
        self.attempts: dict[tuple[str, int], FakeAttempt] = {}
        self.files: dict[str, bytes] = {}
        self.session: SessionRequest | None = None
        self.session_id = ""
        self.spool_id = ""
        self.left = False
        self.claim_seen = 0
        self.unclaimable: set[str] = set()
        """Jobs that nobody gets who asks for them."""
        self.max_slots = 1000
        self.lease_s = 60.0
        self.progress_s: float | None = 1.0
        self.ahead_s = 0.0
        """How far its clock is before everybody else's."""
        self._grants: dict[tuple[str, int], list[Grant]] = {}
        self._again: list[Grant] = []
        # Nobody else's: what a dead attempt left behind is looked for by the id of its job, on the
        # whole machine, and other tests run there.
        self._numbers = itertools.count(secrets.randbelow(10**15) * 1_000_000)
        self._http: Http | None = None
        self._life = 0
        self.port = 0
        self.start()

    def now_us(self) -> int:
        """Return what time it is here."""
        return int((time.time() + self.ahead_s) * 1_000_000)

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._http = Http(("127.0.0.1", self.port), self)
        self.port = self._http.server_address[1]

    def stop(self) -> None:
        """Be gone: nobody listens, every connection is cut, and nobody is waited for any more."""
        with self.changed:
            self._life += 1
            self.changed.notify_all()
        if self._http is not None:
            self._http.cut()
            self._http = None

    # --- what a test says

    def submit(self, kind: str = "command", **fields: Any) -> str:
        """Queue a job; `argv=[…]` and the like are its params, unless `params` are given."""
        own = {"name", "params", "env", "timeout_s", "silence_s", "grace_s", "inputs", "execution"}
        spec = {name: fields.pop(name) for name in own & fields.keys()}
        job = {"kind": kind, "timeout_s": 60.0, "grace_s": 1.0, "params": fields, **spec}
        job["job_id"] = f"job_{next(self._numbers):026}"
        with self.changed:
            self.queue.append(job)
            self.changed.notify_all()
        return str(job["job_id"])

    def sh(self, script: str, **fields: Any) -> str:
        """Queue a shell script."""
        return self.submit(script=script, shell=True, **fields)

    def replay(self, job_id: str) -> None:
        """Grant an attempt once more that was granted, as a server should never do."""
        with self.changed:
            grants = [grant for given in self._grants.values() for grant in given]
            self._again += [grant for grant in grants if grant.job_id == job_id]
            self.changed.notify_all()

    def store(self, content: bytes) -> str:
        """Keep a file; return its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.files[sha256] = content
        return sha256

    def attempt(self, job_id: str, number: int = 1, *, timeout_s: float = 15.0) -> FakeAttempt:
        """Return an attempt as soon as it is granted."""
        key = (job_id, number)
        wait_until(lambda: key in self.attempts, timeout_s=timeout_s, what=f"{key} was granted")
        return self.attempts[key]

    def running(self, job_id: str, number: int = 1, *, timeout_s: float = 15.0) -> FakeAttempt:
        """Return an attempt as soon as it runs."""
        attempt = self.attempt(job_id, number, timeout_s=timeout_s)
        wait_until(lambda: attempt.started, timeout_s=timeout_s, what=f"{job_id} started")
        return attempt

    def end(self, job_id: str, number: int = 1, *, timeout_s: float = 15.0) -> Ended:
        """Return how an attempt ended, as soon as it has."""
        return self.attempt(job_id, number, timeout_s=timeout_s).end(timeout_s=timeout_s)

    def cancel(self, job_id: str, number: int = 1) -> None:
        """Order the end of an attempt."""
        with self.changed:
            self.attempts[job_id, number].cancelling = True
            self.changed.notify_all()

    def take_away(self, job_id: str, number: int = 1) -> None:
        """Let the worker lose its right to an attempt."""
        with self.changed:
            self.attempts[job_id, number].ours = False
            self.changed.notify_all()

    def forget_session(self) -> None:
        """Refuse the present session from now on."""
        with self.changed:
            self.session_id = "session_" + "9" * 26
            self.changed.notify_all()

    def fault(self, name: str, *faults: Fault | Problem | str) -> None:
        """Have the next calls of that name go wrong, one after the other."""
        for fault in faults:
            ready: Fault = fault if callable(fault) else lambda _, it=fault: it  # type: ignore[misc]  # a default binds it
            self.faults.setdefault(name, []).append(ready)

    def named(self, name: str) -> list[Call]:
        """Return the calls of that name."""
        return [call for call in list(self.calls) if call.name == name]

    # --- what a worker hears

    def sessions(self, request: SessionRequest) -> SessionReply:
        """Begin a session."""
        same = request.spool_id == self.spool_id
        self.session, self.spool_id, self.left = request, request.spool_id, False
        self.claim_seen = 0
        self.session_id = f"session_{next(self._numbers):026}"
        held = {(one.job_id, one.attempt): one for one in request.held}
        for key, attempt in self.attempts.items():
            if key in held and attempt.ours and not attempt.over and same:
                attempt.session_id = self.session_id
        return SessionReply(
            session_id=self.session_id,
            server_time_us=self.now_us(),
            heartbeat_s=1.0,
            lease_s=self.lease_s,
            progress_s=self.progress_s,
            verdicts=[self._verdict(key, one.phase) for key, one in held.items()],
        )

    def _verdict(self, key: tuple[str, int], phase: str) -> HeldVerdict:
        attempt = self.attempts.get(key)
        verdict = Verdict.ABANDON
        if attempt is not None and attempt.session_id == self.session_id:
            verdict = Verdict.REPORT if phase == "ended" else Verdict.KEEP
        offset = len(attempt.output) if attempt is not None else 0
        return HeldVerdict(job_id=key[0], attempt=key[1], verdict=verdict, output_offset=offset)

    def claim(self, request: ClaimRequest) -> ClaimReply | Problem:
        """Grant what is queued, waiting for it."""
        deadline, life = time.monotonic() + request.wait_s, self._life
        known = (request.session_id, request.number)
        while known not in self._grants:
            if request.session_id != self.session_id or life != self._life:
                return Problem(409, "session_ended")
            if request.number <= self.claim_seen:
                return ClaimReply()  # its worker has taken it back
            if self._again:
                self._grants[known] = [self._again.pop()]
            elif request.job_id is not None and request.job_id in self.unclaimable:
                return Problem(409, "not_claimable")
            elif request.job_id is not None and self._queued(request.job_id):
                [job] = self._queued(request.job_id)
                self.queue.remove(job)
                self._grants[known] = [self._grant(job, request)]
            elif self.queue and request.job_id is None:
                count = min(request.slots, self.max_slots)
                taken, self.queue = self.queue[:count], self.queue[count:]
                self._grants[known] = [self._grant(job, request) for job in taken]
            elif not self.changed.wait(max(0, deadline - time.monotonic())):
                return ClaimReply()
        return ClaimReply(grants=self._grants[known])

    def _queued(self, job_id: str) -> list[dict[str, Any]]:
        return [job for job in self.queue if job["job_id"] == job_id]

    def _grant(self, job: dict[str, Any], request: ClaimRequest) -> Grant:
        number = 1 + max((n for j, n in self.attempts if j == job["job_id"]), default=0)
        attempt = FakeAttempt(job["job_id"], number, request.session_id, request.number)
        self.attempts[job["job_id"], number] = attempt
        return Grant.model_validate({**job, "attempt": number})

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply | Problem:
        """Return orders, waiting for one."""
        deadline, life = time.monotonic() + request.wait_s, self._life
        if request.claim_seen > self.claim_seen and request.session_id == self.session_id:
            self.claim_seen = request.claim_seen
            self.changed.notify_all()
        listed = {(one.job_id, one.attempt): one for one in request.attempts}
        while True:
            if request.session_id != self.session_id or life != self._life:
                return Problem(409, "session_ended")
            for key, attempt in list(self.attempts.items()):
                lost = attempt.claim <= request.claim_seen and key not in listed
                if lost and attempt.session_id == self.session_id and attempt.started is None:
                    attempt.released = attempt.released or not attempt.over
            orders = [
                order
                for key in [*listed, *(self.attempts.keys() - listed)]
                if (order := self._order(key, listed.get(key)))
            ]
            if orders or not self.changed.wait(max(0, deadline - time.monotonic())):
                return HeartbeatReply(server_time_us=self.now_us(), orders=orders)

    def _order(self, key: tuple[str, int], one: LiveAttempt | None) -> Order | None:
        attempt = self.attempts.get(key)
        if attempt is None or not attempt.ours or attempt.session_id != self.session_id:
            known = one is None  # what it does not list it has left
            return None if known else _ordered(key, Directive.ABANDON)
        if attempt.cancelling and not attempt.over and not (one and one.cancelling):
            return _ordered(key, Directive.CANCEL)
        return None

    def report(self, request: ReportRequest) -> ReportReply | Problem:
        """Believe what is said about attempts of the session."""
        if request.session_id != self.session_id:
            return Problem(409, "session_ended")
        acks: dict[tuple[str, int], Ack] = {}
        for event in request.events:
            key = (event.job_id, event.attempt)
            acks[key] = self._take(self.attempts.get(key), event)
        return ReportReply(acks=list(acks.values()))

    def _take(self, attempt: FakeAttempt | None, event: ReportEvent) -> Ack:
        known: dict[str, Any] = {"job_id": event.job_id, "attempt": event.attempt}
        if attempt is None or not attempt.ours or attempt.session_id != self.session_id:
            return Ack(**known, directive=Directive.ABANDON)
        match event:
            case Started():
                attempt.started = attempt.started or event
                if attempt.started.pid is None:
                    attempt.started = event
            case Output():
                self._append(attempt, event.offset, event.frames)
            case Progress():
                attempt.progress.append(event)
            case Released():
                attempt.released = True
            case Ended():
                attempt.ends_heard += 1
                if event.output_length <= len(attempt.output) or event.output_final:
                    attempt.ended = attempt.ended or event
        recorded = attempt.started is not None and not attempt.cancelling and not attempt.over
        offset = len(attempt.output)
        return Ack(**known, output_offset=offset, started=recorded, settled=attempt.over)

    def _append(self, attempt: FakeAttempt, offset: int, frames: bytes) -> None:
        if offset <= len(attempt.output):
            new = frames[len(attempt.output) - offset :]
            attempt.output += new
            attempt.arrivals.append(time.time())

    def output(self, params: dict[str, str], body: bytes) -> Ack | Problem:
        """Take much output."""
        attempt = self.attempts.get((params["job_id"], int(params["attempt"])))
        known: dict[str, Any] = {
            "job_id": params["job_id"],
            "attempt": int(params["attempt"]),
        }
        if params["session_id"] != self.session_id:
            return Problem(409, "session_ended")
        if attempt is None or not attempt.ours or attempt.session_id != self.session_id:
            return Ack(**known, directive=Directive.ABANDON)
        self._append(attempt, int(params["offset"]), body)
        return Ack(**known, output_offset=len(attempt.output))

    def goodbye(self, request: GoodbyeRequest) -> BaseModel:
        """Note that the worker has left."""
        self.left = request.session_id == self.session_id
        return BaseModel()


def _ordered(key: tuple[str, int], directive: Directive) -> Order:
    return Order(job_id=key[0], attempt=key[1], directive=directive)


@contextlib.contextmanager
def serving() -> Iterator[FakeServer]:
    """Give a fake server; afterwards nothing that it did not understand may have come."""
    fake = FakeServer()
    try:
        yield fake
    finally:
        fake.stop()
    assert not fake.errors, fake.errors
