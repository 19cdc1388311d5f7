"""What a person may ask for: the spec of a job, and the params of each built-in kind."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from orchestrator.protocol import limits
from orchestrator.protocol.base import JobId, Label, Name, Request, Sha256, Text, Why, without_nul
from orchestrator.protocol.company import Unique
from orchestrator.protocol.requirements import Requirements
from orchestrator.protocol.waiting import ConcurrencyKeys, QueueName, RateLimits
from orchestrator.protocol.words import Execution, IfTaken, OnConflict, OnFailure, Reason, WaitsFor

Kind = Annotated[
    str, Field(min_length=1, max_length=limits.NAME_CHARS), AfterValidator(without_nul)
]
Folder = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(without_nul)]
Script = Annotated[str, Field(min_length=1), AfterValidator(without_nul)]
Comment = Annotated[str, Field(max_length=limits.LABEL_CHARS), AfterValidator(without_nul)]
FileName = Annotated[
    str, Field(min_length=1, max_length=limits.ZIP_PART_BYTES), AfterValidator(without_nul)
]


def _encoded_within(text: str, limit: int, what: str) -> str:
    size = len(text.encode())
    if size > limit:
        msg = f"{what} is {size} bytes long; at most {limit} are allowed"
        raise ValueError(msg)
    return text


def _argument(text: str) -> str:
    return _encoded_within(text, limits.ARG_BYTES, "an argument")


Argument = Annotated[Text, AfterValidator(_argument)]


def short(value: dict[str, str | None], info: ValidationInfo) -> dict[str, str | None]:
    """Refuse labels that are no words to look for."""
    for key, text in value.items():
        if not key or len(key) > limits.TAG_CHARS or len(text or "") > limits.LABEL_CHARS:
            msg = (
                f"{info.field_name}: keys hold 1 to {limits.TAG_CHARS} characters, "
                f"values at most {limits.LABEL_CHARS}"
            )
            raise ValueError(msg)
    return value


class CommandParams(Request):
    """A command: either `argv`, run as it is, or a `script` for `/bin/sh` with `shell: true`.

    `shell` must be said out loud, so that no text is ever interpreted by a shell by accident.
    """

    argv: list[Argument] | None = Field(default=None, min_length=1, max_length=limits.ARGV_ITEMS)
    script: Script | None = None
    shell: bool = False
    cwd: Folder | None = None
    stdin: Text | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "CommandParams":
        if (self.argv is None) == (self.script is None):
            msg = "give either argv (a list) or script (a text) with shell: true"
            raise ValueError(msg)
        if self.script is not None and not self.shell:
            msg = "a script is run by a shell: say shell: true"
            raise ValueError(msg)
        if self.argv is not None and self.shell:
            msg = "argv is never given to a shell: use script with shell: true"
            raise ValueError(msg)
        if self.argv is not None and not self.argv[0]:
            msg = "the first item of argv names the program and must not be empty"
            raise ValueError(msg)
        if self.script is not None:
            _encoded_within(self.script, limits.SCRIPT_BYTES, "script")
        if self.stdin is not None:
            _encoded_within(self.stdin, limits.STDIN_BYTES, "stdin")
        return self


class DelayParams(Request):
    """Wait for `ms` milliseconds, then succeed with `{"ok": true, "took_ms": …}`."""

    ms: int = Field(ge=0, le=limits.TIMEOUT_MAX_S * 1000)


class RetryBackoff(Request):
    """The pauses before a job is tried again: drawn below a ceiling that grows up to `max_s`."""

    initial_s: float = Field(default=2.0, ge=0, le=limits.TIMEOUT_MAX_S)
    factor: float = Field(default=2.0, ge=1, le=10)
    max_s: float = Field(default=300.0, ge=0, le=limits.TIMEOUT_MAX_S)


RETRY_REASONS: Final = frozenset(
    {
        Reason.SIGNAL,
        Reason.OOM,
        Reason.DISK_FULL,
        Reason.SPAWN_ERROR,
        Reason.INPUT_UNAVAILABLE,
        Reason.INVALID_RESULT,
        Reason.RESULT_TOO_LARGE,
        Reason.HANDLER_ERROR,
        Reason.TIMEOUT_RUN,
        Reason.TIMEOUT_SILENCE,
    }
)
"""Reasons of a failure that a retry policy may name, beside exit codes, `timeout` and `any`."""
_EXIT: Final = re.compile(r"exit:(?P<first>\d{1,3})(?:-(?P<last>\d{1,3}))?", re.ASCII)


def _retry_word(word: str) -> str:
    match = _EXIT.fullmatch(word)
    if match is not None:
        first = int(match["first"])
        if not 1 <= first <= int(match["last"] or first) <= 255:
            msg = (
                f"{word!r} names no exit codes of a failure: they go from 1 to 255, the lower first"
            )
            raise ValueError(msg)
    elif word not in {"any", "timeout", *RETRY_REASONS}:
        known = ", ".join(["any", "exit:75", "exit:1-5", "timeout", *sorted(RETRY_REASONS)])
        msg = f"{word!r} is no failure that can be tried again; there are: {known}"
        raise ValueError(msg)
    return word


RetryWord = Annotated[str, AfterValidator(_retry_word)]


class Retry(Request):
    """How often the job's own failures are tried again, and which. Lost attempts count elsewhere.

    `on` names failures: `any`, `exit:75`, `exit:1-5`, `timeout`, `signal`, or another reason.
    """

    max_attempts: int = Field(default=1, ge=1, le=limits.ATTEMPTS_MAX)
    # A tuple, so that the whole can be shared as a default.
    on: tuple[RetryWord, ...] = Field(default=("any",), min_length=1, max_length=limits.RETRY_WORDS)
    backoff: RetryBackoff = RetryBackoff()


class Input(Request):
    """A file for the job's fresh workspace: unpacked there, or put there under `name`."""

    file: Sha256
    unpack: Literal["zip"] | None = None
    name: FileName | None = None

    @model_validator(mode="after")
    def _placed(self) -> "Input":
        if (self.unpack is None) == (self.name is None):
            msg = "say either unpack: zip, or the name that the file gets in the workspace"
            raise ValueError(msg)
        if self.name is not None and ("/" in self.name or self.name in {".", ".."}):
            msg = "name is a file name, without folders"
            raise ValueError(msg)
        return self


def _environment(env: dict[str, str]) -> dict[str, str]:
    if len(env) > limits.ENV_ENTRIES:
        msg = f"{len(env)} variables; at most {limits.ENV_ENTRIES} are allowed"
        raise ValueError(msg)
    for name in env:
        if not name or "=" in name:
            msg = f"{name!r} cannot be the name of a variable"
            raise ValueError(msg)
        if name.startswith("ORCHESTRATOR_"):
            msg = f"{name} is reserved: names that begin with ORCHESTRATOR_ are set by the worker"
            raise ValueError(msg)
    total = sum(len(name.encode()) + len(value.encode()) + 2 for name, value in env.items())
    if total > limits.ENV_BYTES:
        msg = f"the environment is {total} bytes long; at most {limits.ENV_BYTES} are allowed"
        raise ValueError(msg)
    return env


Environment = Annotated[dict[Text, Argument], AfterValidator(_environment)]


class Dependency(Request):
    """A job that must succeed, or be over, before this one may begin.

    `on_failure` says what becomes of this one when the success that it waits for will never come:
    it fails as well, goes on regardless, or is held for somebody to look at it.
    """

    job: JobId
    on: WaitsFor = WaitsFor.SUCCESS
    on_failure: OnFailure = OnFailure.FAIL


def _each_once(wanted: list[Dependency]) -> list[Dependency]:
    seen: set[str] = set()
    for one in wanted:
        if one.job in seen:
            msg = f"{one.job} stands here twice"
            raise ValueError(msg)
        seen.add(one.job)
    return wanted


Dependencies = Annotated[
    list[Dependency], Field(max_length=limits.DEPENDENCIES), AfterValidator(_each_once)
]


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        msg = "give a time zone, for example 2026-01-31T09:00:00Z"
        raise ValueError(msg)
    # The zone may carry a date over either end of the calendar, where nothing can be computed.
    if not 1970 < value.year < 9999:
        msg = "the year must lie between 1971 and 9998"
        raise ValueError(msg)
    return value


Moment = Annotated[datetime, AfterValidator(_aware)]
PARAMS: dict[str, type[Request]] = {"command": CommandParams, "delay": DelayParams}
"""The params model of each built-in kind."""


class JobFields(Request):
    """What somebody asks of one job, but for the jobs that it depends on."""

    kind: Kind
    params: dict[str, Any] = Field(default={})
    name: Name | None = None
    queue: QueueName = "default"
    fairness_key: Name | None = None
    priority: int = Field(default=0, ge=limits.PRIORITY_MIN, le=limits.PRIORITY_MAX)
    run_at: Moment | None = None
    expires_at: Moment | None = None
    queue_ttl_s: float | None = Field(default=None, gt=0, le=limits.TIMEOUT_MAX_S)
    deadline_s: float | None = Field(default=None, gt=0, le=limits.TIMEOUT_MAX_S)
    # A factory, because pydantic copies a default that holds a list deeply: 11 µs of every submit.
    requires: Requirements = Field(default_factory=Requirements)
    timeout_s: float = Field(default=limits.TIMEOUT_DEFAULT_S, gt=0, le=limits.TIMEOUT_MAX_S)
    silence_s: float | None = Field(default=None, gt=0, le=limits.TIMEOUT_MAX_S)
    grace_s: float | None = Field(default=None, ge=0, le=limits.GRACE_MAX_S)
    retry: Retry = Retry()
    execution: Execution = Execution.AT_LEAST_ONCE
    max_lost: int | None = Field(default=None, ge=0, le=limits.ATTEMPTS_MAX)
    # Tuples, so that the default can be shared.
    concurrency: ConcurrencyKeys = ()
    rate_limit: RateLimits = ()
    reattach_window_s: float = Field(
        default=limits.REATTACH_DEFAULT_S, ge=limits.LEASE_S, le=limits.TIMEOUT_MAX_S
    )
    unique: Unique | None = None
    inputs: list[Input] = Field(default=[], max_length=limits.INPUTS)
    env: Environment = Field(default={})
    labels: dict[Label, Label] = Field(default={}, max_length=limits.LABELS)

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.execution is Execution.AT_MOST_ONCE:
            if self.retry.max_attempts > 1:
                msg = "an at_most_once job is never started again: leave retry out"
                raise ValueError(msg)
            if self.max_lost:
                msg = "an at_most_once job is never started again: leave max_lost out, or say 0"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if self.expires_at is not None and self.queue_ttl_s is not None:
            msg = "give either expires_at (a moment) or queue_ttl_s (from the submit on)"
            raise ValueError(msg)
        if self.expires_at is not None and self.run_at and self.run_at >= self.expires_at:
            msg = "expires_at must come after run_at, or the job could never be started"
            raise ValueError(msg)
        return self

    @property
    def losses_allowed(self) -> int:
        """Return how many attempts may be lost before the job is given up."""
        if self.execution is Execution.AT_MOST_ONCE:
            return 0
        return limits.LOST_DEFAULT if self.max_lost is None else self.max_lost

    @property
    def ends_others(self) -> bool:
        """Tell whether other jobs may have to end so that this one is taken in."""
        replaces = self.unique is not None and self.unique.on_conflict is OnConflict.REPLACE
        return replaces or any(one.strategy is IfTaken.CANCEL_RUNNING for one in self.concurrency)

    _short = field_validator("labels")(short)


class JobSpec(JobFields):
    """What somebody asked for. It never changes once it is accepted."""

    depends_on: Dependencies = Field(default=[])


class HoldJobsRequest(Request):
    """Which jobs are kept back, or let go, and why."""

    ids: list[JobId] = Field(min_length=1, max_length=limits.IDS)
    comment: Comment | None = None


class AmendRequest(Request):
    """What is to be different about a job that has not begun; what is not said stays.

    `run_at: null` is as soon as possible. Of `labels`, `null` takes one away.
    """

    priority: int | None = Field(default=None, ge=limits.PRIORITY_MIN, le=limits.PRIORITY_MAX)
    queue: QueueName | None = None
    run_at: Moment | None = None
    labels: dict[Label, Label | None] = Field(default={}, max_length=limits.LABELS)
    comment: Comment | None = None

    _short = field_validator("labels")(short)

    @model_validator(mode="after")
    def _something(self) -> "AmendRequest":
        if not self.model_fields_set - {"comment"}:
            msg = "say what is to be different: priority, queue, run_at or labels"
            raise ValueError(msg)
        if "priority" in self.model_fields_set and self.priority is None:
            msg = "priority is a number"
            raise ValueError(msg)
        if "queue" in self.model_fields_set and self.queue is None:
            msg = "queue is the name of a queue"
            raise ValueError(msg)
        return self


class TrustRequest(Request):
    """Why a worker is to be given no jobs, or all that fit it again."""

    reason: Why


class RetryRequest(Request):
    """What the new job asks for; without it, what the old one did."""

    spec: JobSpec | None = None


class CancelRequest(Request):
    """Why a job is cancelled, for the people who look at it later.

    `force` does not wait until its processes are gone: the job is cancelled at once, unconfirmed.
    """

    comment: Comment | None = None
    force: bool = False
