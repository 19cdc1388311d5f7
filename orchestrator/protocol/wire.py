"""What a worker and the server say to each other.

Every statement about an attempt carries (job, attempt); the server believes it only for attempts
that the named session holds. A worker numbers its claims from 1 in each session: repeating a number
returns the same attempts, and a heartbeat names the last number whose answer arrived, so a grant
that was lost on the way back can be told from one that is still under way.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.protocol import limits
from orchestrator.protocol.base import JobId, Label, Reply, Request, Text
from orchestrator.protocol.jobs import Input
from orchestrator.protocol.requirements import Tag
from orchestrator.protocol.words import (
    PLAIN_NAME,
    Directive,
    Execution,
    Outcome,
    Reason,
    Verdict,
)

AttemptNumber = Annotated[int, Field(ge=1, le=2**53)]
"""Exact in every JSON parser; after a restore they count on from its moment, in milliseconds."""
Time = Annotated[int, Field(ge=0, lt=2**62)]
"""Microseconds since the epoch, by the worker's own clock."""
SessionId = Annotated[str, Field(pattern=r"^session_[0-9a-z]{26}$")]


class Host(Request):
    """What a worker says about its machine."""

    hostname: Label = Field(max_length=255)
    platform: Literal["linux", "macos", "windows"]
    arch: Label = Field(max_length=64)
    cpu_count: int = Field(ge=1, le=65_536)
    memory_bytes: int = Field(ge=0, lt=2**62)
    python: Label = Field(max_length=64)


class EnrolRequest(Request):
    """A new worker introduces itself. The same fingerprint and name is the same worker."""

    name: Label = Field(min_length=1, max_length=64, pattern=f"^{PLAIN_NAME}$")
    fingerprint: Label = Field(min_length=16, max_length=200)
    host: Host


class EnrolReply(Reply):
    """Its credential, shown this once: `machine_…:worker_…:secret_…`."""

    token: str
    worker_id: str
    machine_id: str


class RenewTokenRequest(Request):
    """A worker, or somebody who has its token, wants another one for it.

    The one that it has is accepted for `overlap_s` more; any older one is not.
    """

    overlap_s: float = Field(default=600, ge=0, le=limits.OVERLAP_MAX_S)


class RenewTokenReply(Reply):
    """The new token, shown this once, and until when the old one is accepted."""

    token: str
    old_until: datetime


class HeldAttempt(Request):
    """An attempt that the worker's spool still holds when a session opens."""

    job_id: JobId
    attempt: AttemptNumber
    phase: Literal["granted", "running", "ended"]


class SessionRequest(Request):
    """A worker process begins. `spool_id` names its memory on disk, not the process.

    `number` rises with each request that a spool asks with, over all its processes: one that comes
    late, or again, is known by it. A request with 0 is believed whenever it comes.
    """

    version: Label = Field(max_length=64)
    spool_id: Label = Field(min_length=8, max_length=64)
    number: int = Field(default=0, ge=0, lt=2**62)
    slots: int = Field(ge=0, le=limits.SLOTS_MAX)
    kinds: list[Text] = Field(max_length=256)
    tags: list[Tag] = Field(default=[], max_length=limits.TAGS)
    host: Host
    held: list[HeldAttempt] = Field(default=[], max_length=10_000)
    takeover: bool = False


class HeldVerdict(Reply):
    """What to do with one held attempt, and how much of its output the server has."""

    job_id: str
    attempt: int
    verdict: Verdict
    output_offset: int = 0


class SessionReply(Reply):
    """The new session, its rhythm in seconds, and a verdict for each held attempt.

    A server that says no `progress_s` is older than progress, and would not understand any.
    """

    session_id: str
    server_time_us: int
    heartbeat_s: float
    lease_s: float
    progress_s: float | None = None
    verdicts: list[HeldVerdict] = []


class ClaimRequest(Request):
    """Ask for up to `slots` attempts, waiting up to `wait_s` for the first.

    With `job_id` only that job is given. If it will not come (it is over, held, somebody else's, or
    not for this worker), that is told at once, as `not_claimable`.
    """

    session_id: SessionId
    number: int = Field(ge=1, lt=2**62)
    slots: int = Field(ge=1, le=limits.CLAIM_BATCH)
    wait_s: float = Field(default=0, ge=0, le=limits.CLAIM_WAIT_S)
    job_id: JobId | None = None


class Grant(Reply):
    """An attempt to run: everything that the worker needs to know of the job.

    With `at_most_once` nothing of it may run before an `Ack` says that its start is recorded.
    """

    job_id: str
    attempt: int
    kind: str
    params: dict[str, Any]
    name: str | None = None
    env: dict[str, str] = {}
    timeout_s: float
    silence_s: float | None = None
    grace_s: float | None
    inputs: list[Input] = []
    execution: Execution = Execution.AT_LEAST_ONCE


class ClaimReply(Reply):
    """The attempts that are now this session's; none when nothing came up in time."""

    grants: list[Grant] = []


class Started(Request):
    """The command runs: its process exists (or the handler was entered).

    Of an `at_most_once` job it is said before, without `pid`, and once more with it.
    """

    type: Literal["started"] = "started"
    job_id: JobId
    attempt: AttemptNumber
    at_us: Time
    pid: int | None = Field(default=None, ge=1, lt=2**31)


class Output(Request):
    """Encoded output frames that begin at `offset` of the attempt's output log."""

    type: Literal["output"] = "output"
    job_id: JobId
    attempt: AttemptNumber
    offset: int = Field(ge=0, lt=2**62)
    frames: bytes = Field(max_length=limits.OUTPUT_INLINE_BYTES * 2)


class Progress(Request):
    """How far the attempt is, in its own words. The one with the highest `seq` counts."""

    type: Literal["progress"] = "progress"
    job_id: JobId
    attempt: AttemptNumber
    seq: int = Field(ge=1, lt=2**62)
    at_us: Time
    percent: float | None = Field(default=None, ge=0, le=100)
    message: Text | None = Field(default=None, max_length=limits.PROGRESS_CHARS)
    counters: dict[Label, Annotated[int, Field(ge=0, lt=2**62)]] = Field(
        default={}, max_length=limits.PROGRESS_COUNTERS
    )


class Ended(Request):
    """The attempt is over, and no process of it is left.

    `leftovers` counts the processes that the command had left behind and that had to be killed.
    `output_length` and `output_digest` (see `frames.chain`, hexadecimal) are of the whole log. A
    worker that lost a part of it, which the server may have, knows no digest and says `null`. An
    end is not settled before the server has all of it, unless `output_final` says that the worker
    has no more to send: then the rest is shown as missing. `stdout_bytes` and `stderr_bytes` are
    the command's own, kept by its worker or not: what of them the server has not is shown as well.
    """

    type: Literal["ended"] = "ended"
    job_id: JobId
    attempt: AttemptNumber
    at_us: Time
    started_at_us: Time | None = None
    outcome: Outcome
    reason: Reason | None = None
    message: Text | None = Field(default=None, max_length=4096)
    exit_code: int | None = Field(default=None, ge=0, le=255)
    signal: int | None = Field(default=None, ge=1, le=64)
    result: dict[str, Any] | None = None
    leftovers: int = Field(default=0, ge=0, lt=2**31)
    output_length: int = Field(default=0, ge=0, lt=2**62)
    output_digest: str | None = Field(default="0" * 64, pattern=r"^[0-9a-f]{64}$")
    stdout_bytes: int = Field(default=0, ge=0, lt=2**62)
    stderr_bytes: int = Field(default=0, ge=0, lt=2**62)
    output_final: bool = False


class Released(Request):
    """The attempt is given back before anything of it ran."""

    type: Literal["released"] = "released"
    job_id: JobId
    attempt: AttemptNumber


ReportEvent = Annotated[Started | Output | Progress | Ended | Released, Field(discriminator="type")]


class ReportRequest(Request):
    """A batch of facts, in the order in which they happened for each attempt."""

    session_id: SessionId
    events: list[ReportEvent] = Field(max_length=limits.REPORT_EVENTS)


class Ack(Reply):
    """What the server has of one attempt after this call.

    `started` means that the start is recorded, that the session may speak for the attempt, and that
    nobody wants its end: what had to wait for that may run. `settled` means that the end is
    recorded and the worker may forget the attempt. `abandon` means that it is not this session's
    any more: end its processes, say once how it ended, and forget it.
    """

    job_id: str
    attempt: int
    output_offset: int = 0
    started: bool = False
    settled: bool = False
    directive: Directive | None = None


class ReportReply(Reply):
    """One ack for each attempt of the batch."""

    acks: list[Ack] = []


class LiveAttempt(Request):
    """An attempt that the worker has, in a heartbeat; `cancelling` once it knows of a cancel."""

    job_id: JobId
    attempt: AttemptNumber
    cancelling: bool = False


class Offer(Request):
    """What a worker has to offer now: it may change while its session and its attempts go on.

    One that is paused offers no slots; what it has goes on.
    """

    slots: int = Field(ge=0, le=limits.SLOTS_MAX)
    kinds: list[Text] = Field(max_length=256)
    tags: list[Tag] = Field(default=[], max_length=limits.TAGS)


class HeartbeatRequest(Request):
    """Renew the session; wait up to `wait_s` for an order that the worker does not know yet.

    The offer comes with each one, so that one that was lost or overtaken does no harm for long.
    """

    session_id: SessionId
    claim_seen: int = Field(ge=0, lt=2**62)
    offer: Offer | None = None
    attempts: list[LiveAttempt] = Field(default=[], max_length=10_000)
    wait_s: float = Field(default=0, ge=0, le=limits.CLAIM_WAIT_S)


class Order(Reply):
    """A directive about one attempt."""

    job_id: str
    attempt: int
    directive: Directive


class HeartbeatReply(Reply):
    """Orders that the heartbeat did not show as known."""

    server_time_us: int
    orders: list[Order] = []


class GoodbyeRequest(Request):
    """The worker process ends in order: what it was granted and never started is given back."""

    session_id: SessionId
