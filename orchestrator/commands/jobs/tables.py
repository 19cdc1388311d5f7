"""Jobs and attempts as cells of text.

Pure: it is given views and the time, and prints nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from orchestrator.commands.jobs import asked, ending, far
from orchestrator.commands.moments import ago, duration, moment
from orchestrator.core.line import DEFAULT_QUEUE
from orchestrator.protocol.views import AttemptView, DeadLetters, JobDetail, JobView
from orchestrator.protocol.words import JobState

JOB_HEADERS: Final = ("ID", "STATE", "AGE", "TOOK", "NAME", "WORKER", "TRY", "KIND", "COMMAND")
ATTEMPT_HEADERS: Final = (
    *("TRY", "WORKER", "OUTCOME", "STARTED", "TOOK", "LINES", "STDOUT", "STDERR", "NOTE"),
)
DEAD_HEADERS: Final = ("JOBS", "WHY", "LAST", "NEWEST", "GROUP", "KIND", "LAST WORDS", "COMMAND")
_STYLES: Final = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.EXPIRED: "red",
    JobState.CANCELLED: "dim",
    JobState.CANCELLING: "yellow",
    JobState.RUNNING: "cyan",
    JobState.LEASED: "cyan",
}


def style(state: JobState) -> str:
    """Return the colour of a state; it repeats the word, and never stands for it."""
    return _STYLES.get(state, "")


def job_rows(jobs: Sequence[JobView], *, now: float) -> list[tuple[str, ...]]:
    """Return a row for each job, below `JOB_HEADERS`."""
    today = datetime.fromtimestamp(now, UTC)
    return [
        (
            job.id,
            f"{ending.short(job)} {far.percent(job.progress)}".rstrip(),
            ago(job.created_at, now=today),
            duration(job.started_at, job.finished_at),
            job.name or "",
            job.worker or "",
            str(job.attempt) if job.attempt else "",
            job.kind,
            job.summary,
        )
        for job in jobs
    ]


def attempt_rows(
    attempts: Sequence[AttemptView], *, offline: bool = False
) -> list[tuple[str, ...]]:
    """Return a row for each attempt, below `ATTEMPT_HEADERS`; `offline` is of the live one."""
    return [
        (
            str(attempt.number),
            attempt.worker or "",
            _outcome(attempt, offline=offline),
            moment(attempt.started_at),
            duration(attempt.started_at, attempt.finished_at),
            "" if attempt.lines is None else str(attempt.lines),
            str(attempt.stdout_bytes),
            str(attempt.stderr_bytes),
            _note(attempt),
        )
        for attempt in attempts
    ]


def dead_rows(groups: Sequence[DeadLetters], *, now: datetime) -> list[tuple[str, ...]]:
    """Return a row for each group of failed jobs, below `DEAD_HEADERS`."""
    return [
        (
            str(group.jobs),
            f"exit {group.exit_code}" if group.exit_code else str(group.reason or ""),
            ago(group.last_at, now=now),
            group.newest_id,
            group.fingerprint,
            group.kind,
            group.last_words,
            group.summary,
        )
        for group in groups
    ]


def job_facts(job: JobDetail) -> list[tuple[str, str]]:
    """Return names and values of what is known of a job; empty ones are left to be skipped."""
    return [
        ("id", job.id),
        ("name", job.name or ""),
        ("state", ending.short(job)),
        ("progress", "" if job.progress is None else far.words(job.progress)),
        ("message", job.message or ""),
        ("kind", job.kind),
        *(
            (f"  {name}", asked.in_words(value))
            for name, value in job.spec.get("params", {}).items()
        ),
        ("labels", ", ".join(f"{name}={text}" for name, text in job.labels.items())),
        ("queue", "" if job.queue == DEFAULT_QUEUE else job.queue),
        ("priority", str(job.priority) if job.priority else ""),
        *asked.facts(job.spec),
        ("owner", job.owner),
        ("worker", f"{job.worker} (offline)" if job.worker_offline else job.worker or ""),
        ("repeats", job.retry_of or ""),
        ("batch", job.batch_id or ""),
        ("schedule", job.schedule_id or ""),
        ("exit code", "" if job.exit_code is None else str(job.exit_code)),
        ("signal", "" if job.signal is None else str(job.signal)),
        ("result", "" if job.result is None else asked.in_words(job.result)),
        ("created", moment(job.created_at)),
        ("due", moment(job.run_at)),
        ("expires", moment(job.expires_at) or _moment_of(job, "expires_at")),
        ("too late at", moment(job.deadline_at)),
        ("started", moment(job.started_at)),
        ("finished", moment(job.finished_at)),
        ("took", duration(job.started_at, job.finished_at)),
    ]


def _moment_of(job: JobDetail, name: str) -> str:
    """Return a moment that was asked for, also when it does not matter any more."""
    said = job.spec.get(name)
    return "" if said is None else moment(datetime.fromisoformat(said))


def _outcome(attempt: AttemptView, *, offline: bool) -> str:
    if attempt.outcome is None:
        state = "running" if attempt.started_at else "starting"
        return f"{state}, worker offline" if offline else state
    why = attempt.reason or ""
    if attempt.signal is not None:
        why = f"signal {attempt.signal}"
    elif attempt.exit_code:
        why = f"exit {attempt.exit_code}"
    return f"{attempt.outcome} ({why})" if why else str(attempt.outcome)


def _note(attempt: AttemptView) -> str:
    notes = [attempt.message or ""]
    if attempt.late_result is not None:
        notes.append(f"late result: {_late(attempt.late_result)}")
    if attempt.raw_result is not None:
        notes.append(f"its result was {asked.in_words(attempt.raw_result)}")
    if attempt.output_dropped_bytes:
        notes.append(f"{attempt.output_dropped_bytes} bytes of output over the limit")
    if attempt.output_missing_bytes:
        notes.append(ending.incomplete(attempt.output_missing_bytes))
    return "; ".join(note for note in notes if note)


def _late(told: Mapping[str, object]) -> str:
    why = told.get("reason")
    if told.get("signal") is not None:
        why = f"signal {told['signal']}"
    elif told.get("exit_code"):
        why = f"exit {told['exit_code']}"
    return f"{told.get('outcome')} ({why})" if why else str(told.get("outcome"))
