"""The closed lists of words that SQL, wire, logs and people see, and the shape of those they make.

Adding a word is a change of the protocol: old peers must be able to show it, so it needs a line in
CHANGELOG.md. What each state *means* is in `core/job_lifecycle.py`.
"""

from enum import StrEnum
from typing import Final

PLAIN_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""The shape of a name that people type and that stands in an address: of a queue, a worker."""


class JobState(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    HELD = "held"
    QUEUED = "queued"
    LEASED = "leased"
    RUNNING = "running"
    WAITING = "waiting"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    INDETERMINATE = "indeterminate"
    RELEASED = "released"
    PREEMPTED = "preempted"
    SUSPENDED = "suspended"


class Reason(StrEnum):
    """Why an attempt or a job ended as it did. A metric label, so the list is closed."""

    EXIT_NONZERO = "exit_nonzero"
    SIGNAL = "signal"
    OOM = "oom"
    DISK_FULL = "disk_full"
    SPAWN_ERROR = "spawn_error"
    INPUT_UNAVAILABLE = "input_unavailable"
    INVALID_PARAMS = "invalid_params"
    INVALID_RESULT = "invalid_result"
    RESULT_TOO_LARGE = "result_too_large"
    HANDLER_ERROR = "handler_error"
    TIMEOUT_RUN = "timeout_run"
    TIMEOUT_SILENCE = "timeout_silence"
    TIMEOUT_TOTAL = "timeout_total"
    WORKER_LOST = "worker_lost"
    OUTCOME_UNKNOWN = "outcome_unknown"
    POISON = "poison"
    PREEMPTED = "preempted"
    INTERRUPTED = "interrupted"
    DEPENDENCY_FAILED = "dependency_failed"
    CHECKPOINT_REJECTED = "checkpoint_rejected"
    CHECKPOINT_EXPIRED = "checkpoint_expired"
    CANCELLED_BY_USER = "cancelled_by_user"
    CANCELLED_BY_POLICY = "cancelled_by_policy"
    QUEUE_TTL = "queue_ttl"
    RESTORED = "restored"


class PendingReason(StrEnum):
    """Why a job that is not running is not running."""

    NOT_BEFORE = "not_before"
    BACKOFF = "backoff"
    DEPENDENCIES = "dependencies"
    HELD = "held"
    QUEUE_PAUSED = "queue_paused"
    QUEUE_LIMIT = "queue_limit"
    CONCURRENCY_KEY = "concurrency_key"
    RATE_LIMIT = "rate_limit"
    NO_WORKER_ONLINE = "no_worker_online"
    NO_WORKER_MATCHES = "no_worker_matches"
    ALL_SLOTS_BUSY = "all_slots_busy"
    WORKERS_QUARANTINED = "workers_quarantined"
    APPROVAL_REQUIRED = "approval_required"
    CHECKPOINT_OPEN = "checkpoint_open"
    STARTING = "starting"


class ScheduleState(StrEnum):
    """Whether a schedule will fire."""

    ACTIVE = "active"
    PAUSED = "paused"
    FINISHED = "finished"


class DstPolicy(StrEnum):
    """What a cron expression means where the clocks of its zone are changed."""

    ONCE = "skip_gap_run_once_overlap"
    STRICT = "wall_clock_strict"
    UTC = "utc"


class Misfire(StrEnum):
    """Which of the moments that nobody was there for are made up for."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What a schedule does while a job of its own is not over."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    CANCEL_RUNNING = "cancel_running"


class FireOutcome(StrEnum):
    """What became of a moment of a schedule."""

    FIRED = "fired"
    SKIPPED = "skipped"
    MISSED = "missed"
    FAILED = "failed"


class FireReason(StrEnum):
    """Why a moment of a schedule brought no job."""

    LATE = "late"
    EDITED = "edited"
    RESTORED = "restored"
    PAUSED = "paused"
    OVERLAP = "overlap"
    DST_GAP = "dst_gap"
    DST_OVERLAP = "dst_overlap"
    REFUSED = "refused"


class FireOrigin(StrEnum):
    """Where a moment of a schedule comes from: its rule, a gap in local time, or a person."""

    RULE = "rule"
    GAP = "gap"
    PERSON = "person"


class BulkAction(StrEnum):
    """An order for many jobs."""

    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    PRIORITY = "priority"
    QUEUE = "queue"
    DELETE = "delete"


class Execution(StrEnum):
    """What may happen to a job whose worker was lost."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


class BatchState(StrEnum):
    """Whether a batch takes more jobs, or was ended."""

    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class WaitsFor(StrEnum):
    """What a dependency waits for: that a job succeeds, or that it is over in whatever way."""

    SUCCESS = "success"
    FINISH = "finish"


class OnFailure(StrEnum):
    """What becomes of a job when the success that it waits for will never come."""

    FAIL = "fail"
    CONTINUE = "continue"
    HOLD = "hold"


class OnConflict(StrEnum):
    """What becomes of a unique job for which there is no room."""

    RETURN = "return"
    REFUSE = "refuse"
    REPLACE = "replace"


class IfTaken(StrEnum):
    """What a new job does about a key that others hold."""

    WAIT = "wait"
    REFUSE = "refuse"
    CANCEL_RUNNING = "cancel_running"


class BreakerState(StrEnum):
    """How far a worker is trusted with jobs: the words of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED = "forced"


class Directive(StrEnum):
    """An order in the server's answer to a worker."""

    CANCEL = "cancel"
    ABANDON = "abandon"


class Verdict(StrEnum):
    """What a new session is told about an attempt that its spool still holds."""

    KEEP = "keep"
    REPORT = "report"
    ABANDON = "abandon"


class Scope(StrEnum):
    """What a credential may do. `admin` stands for all of them but the worker's own."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    JOBS_CANCEL = "jobs:cancel"
    OUTPUT_READ = "output:read"
    FILES_WRITE = "files:write"
    WORKERS_READ = "workers:read"
    WORKERS_WRITE = "workers:write"
    WORKER_ENROL = "worker:enrol"
    ADMIN = "admin"
    WORKER = "worker"


class JobEventType(StrEnum):
    """What a job's own timeline records. Past tense: each is a committed fact."""

    SUBMITTED = "submitted"
    FELL_DUE = "fell_due"
    DEPENDENCIES_MET = "dependencies_met"
    CLAIMED = "claimed"
    STARTED = "started"
    ENDED = "ended"
    RELEASED = "released"
    LOST = "lost"
    PREEMPTED = "preempted"
    RETRY_PLANNED = "retry_planned"
    CANCEL_REQUESTED = "cancel_requested"
    REATTACHED = "reattached"
    WORKER_OFFLINE = "worker_offline"
    WORKER_BACK = "worker_back"
    SERVER_RESTARTED = "server_restarted"
    HELD = "held"
    RELEASED_BY_USER = "released_by_user"
    AMENDED = "amended"
    RESTORED = "restored"
    LATE_RESULT = "late_result"
    FINISHED = "finished"
