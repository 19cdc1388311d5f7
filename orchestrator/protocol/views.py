"""What people and programs are shown: jobs, attempts, events, output, workers, problems."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from orchestrator.protocol.base import Reply
from orchestrator.protocol.words import (
    BreakerState,
    JobEventType,
    JobState,
    OnFailure,
    Outcome,
    PendingReason,
    Reason,
    WaitsFor,
)

T = TypeVar("T")


class Page(Reply, Generic[T]):
    """One page of a list; `next_cursor` is `None` on the last one."""

    items: list[T]
    next_cursor: str | None = None


class ProgressView(Reply):
    """How far a try said that it was, and when."""

    percent: float | None = None
    message: str | None = None
    counters: dict[str, int] = {}
    at: datetime


class JobView(Reply):
    """A job as lists show it. Times are UTC; `attempt` is 0 before the first claim.

    `worker_offline` says that nobody has heard of the worker for a while. `confirmed` is of
    cancelled jobs alone: whether somebody saw that nothing of it runs any more. `summary` is what
    it runs, shortened to a line. `version` rises with everything that happens to it. `expires_at`
    is there as long as the job may expire, `deadline_at` as long as it may run out of time. Of a
    job that a schedule has submitted `schedule_id` is that schedule, be it there still or not.
    `existing` is of answers to a submit alone: the job was there already, and no other may be
    beside it.
    """

    id: str
    kind: str
    name: str | None = None
    state: JobState
    reason: Reason | None = None
    pending_reason: PendingReason | None = None
    message: str | None = None
    queue: str = "default"
    priority: int = 0
    attempt: int = 0
    exit_code: int | None = None
    signal: int | None = None
    result: Any = None
    owner: str = ""
    labels: dict[str, str] = {}
    created_at: datetime
    run_at: datetime | None = None
    expires_at: datetime | None = None
    deadline_at: datetime | None = None
    batch_id: str | None = None
    schedule_id: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str | None = None
    worker_offline: bool = False
    confirmed: bool | None = None
    progress: ProgressView | None = None
    retry_of: str | None = None
    summary: str = ""
    version: int = 1
    existing: bool = False


class AttemptView(Reply):
    """One try: who ran it, when, and how it ended. Sizes are the command's own bytes.

    `stdout_bytes` and `stderr_bytes` came here, `output_dropped_bytes` of them were over the limit.
    What the worker declared at the end that the command wrote has `declared` in its name; where the
    output is not that, `output_missing_bytes` says how much is missing or cannot be vouched for.
    `leftovers` counts processes that the command had left behind and that were killed. `lines` are
    the line ends that it wrote, to both streams; nobody counted those of older versions. A result
    that was not what its kind promises is `raw_result`.
    """

    number: int
    worker: str | None = None
    host: str | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    message: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    pid: int | None = None
    claimed_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    output_dropped_bytes: int = 0
    output_missing_bytes: int = 0
    declared_stdout_bytes: int | None = None
    declared_stderr_bytes: int | None = None
    lines: int | None = None
    leftovers: int = 0
    late_result: dict[str, Any] | None = None
    raw_result: dict[str, Any] | None = None
    progress: ProgressView | None = None


class JobDetail(JobView):
    """A job with everything that was asked for and every attempt."""

    spec: dict[str, Any]
    attempts: list[AttemptView] = []


class DeadLetters(Reply):
    """Failed jobs that have one thing in common; the words are of the newest of them.

    `last_words` is the last line that it wrote, and empty where none is at hand.
    """

    fingerprint: str
    jobs: int
    newest_id: str
    kind: str
    name: str | None = None
    reason: Reason | None = None
    exit_code: int | None = None
    last_words: str
    summary: str = ""
    first_at: datetime
    last_at: datetime


class Refusal(Reply):
    """Why something was not done to one job of many."""

    id: str
    code: str
    detail: str


class HoldReply(Reply):
    """The jobs as they are now, and those that could not be held or let go."""

    items: list[JobView]
    refused: list[Refusal] = []


class Miss(Reply):
    """Something that workers lack, and how many of them."""

    constraint: str
    workers: int


class NearestMiss(Reply):
    """The worker that lacks least of what the job needs."""

    worker: str
    lacks: list[str]


class OpenDependency(Reply):
    """A job that another one waits for; without a state it is not there any more."""

    job: str
    name: str | None = None
    state: JobState | None = None
    on: WaitsFor
    on_failure: OnFailure


class QueueView(Reply):
    """A queue: how it is served, whether and why it is paused, what waits and runs in it."""

    name: str
    weight: int
    max_running: int | None = None
    paused: bool = False
    paused_at: datetime | None = None
    paused_by: str | None = None
    paused_why: str | None = None
    defaults: dict[str, Any] = {}
    queued: int = 0
    running: int = 0


class GateView(Reply):
    """A closed gate: a queue that is paused or full, a key that is taken, a rate that is used up.

    `name` is the queue or the key; `holders` are some of the jobs that keep it closed. `by`, `at`
    and `why` tell who paused a queue.
    """

    reason: PendingReason
    name: str
    words: str
    limit: int | None = None
    taken: int = 0
    per_s: float | None = None
    until: datetime | None = None
    holders: list[str] = []
    by: str | None = None
    at: datetime | None = None
    why: str | None = None


class Explanation(Reply):
    """Why a job is where it is, in words, and who fails what.

    The counts and the gate are there for queued jobs alone. `until` is when it goes on by itself,
    and `dependencies` are those that are still open.
    """

    id: str
    state: JobState
    pending_reason: PendingReason | None = None
    words: str
    until: datetime | None = None
    workers: int | None = None
    workers_online: int | None = None
    workers_matching: int | None = None
    workers_free: int | None = None
    failing: list[Miss] = []
    nearest: NearestMiss | None = None
    dependencies: list[OpenDependency] = []
    gate: GateView | None = None


class EventView(Reply):
    """One committed fact of a job's timeline; `seq` counts from 1 without gaps."""

    seq: int
    at: datetime
    type: JobEventType
    attempt: int | None = None
    data: dict[str, Any] = {}


class OutputFrame(Reply):
    """A piece of output; exactly one of `text` (valid UTF-8) and `base64` is set.

    `cursor` is `attempt.offset`: what to give as `after` to read on strictly behind this piece.
    """

    cursor: str
    at: datetime
    stream: str
    text: str | None = None
    base64: str | None = None


class OutputPage(Reply):
    """A page of output; `next_cursor` continues it; `eof` says that no more will ever come.

    `missing_bytes` of the command's own are not here and never will be.
    """

    items: list[OutputFrame]
    next_cursor: str
    eof: bool = False
    missing_bytes: int = 0


class FileView(Reply):
    """A stored file: its content's SHA-256 is its name."""

    sha256: str
    size: int
    created_at: datetime


class FaultView(Reply):
    """A try that speaks against the machine that it failed on."""

    job_id: str
    attempt: int
    reason: Reason
    at: datetime
    succeeded_elsewhere: bool = False


class QuarantineView(Reply):
    """Why a worker is given nothing, or only one job, and what comes next.

    `until` is when it gets its canary. `by` is who wants it so, if it was a person. With `serves`
    it goes on with what no other worker could do, however suspect it is.
    """

    state: BreakerState
    since: datetime
    why: str
    until: datetime | None = None
    by: str | None = None
    times: int = 0
    serves: bool = False
    canary: str | None = None
    faults: list[FaultView] = []


class WorkerView(Reply):
    """A worker as it was last seen. `quarantine` is there while it is not trusted with all jobs."""

    id: str
    name: str
    machine_id: str
    hostname: str
    platform: str
    version: str | None = None
    online: bool
    slots: int = 0
    busy: int = 0
    tags: list[str] = []
    kinds: list[str] = []
    cpu_count: int = 0
    memory_bytes: int = 0
    registered_at: datetime
    last_seen_at: datetime | None = None
    quarantine: QuarantineView | None = None


class Prunable(Reply):
    """Jobs that ended in one state and are older than they are kept."""

    state: JobState
    kept_days: float
    jobs: int
    output_bytes: int


class PruneReply(Reply):
    """What can be forgotten; `forgotten` is how many jobs were, and `None` if nobody asked."""

    items: list[Prunable]
    forgotten: int | None = None


class FieldFault(Reply):
    """A place in a request and what is wrong there."""

    field: str
    fault: str


class Problem(Reply):
    """An error as RFC 9457 says, with a stable `code`, a `hint`, and the faults by field."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    request_id: str | None = None
    fields: list[FieldFault] = []
