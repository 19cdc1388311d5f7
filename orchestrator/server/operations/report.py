"""Believe a worker, as far as it is entitled: what started, what was printed, how it ended.

A whole batch is one lookup, decisions by the core in memory, and a handful of statements. Repeating
a report changes nothing and gives the same answer. What comes from a session that is not entitled
(any more) changes nothing either: an end is kept as the attempt's late result for people to read,
and the worker is told to abandon the attempt.

What cannot be (an end that the lifecycle has no row for, output that is damaged) is refused for its
attempt alone: nothing that the batch says of that attempt counts, and the worker is told to abandon
it, for to say the same again would be refused for ever. The rest of the batch is recorded.
"""

import logging
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import to_json

from orchestrator.core import job as core
from orchestrator.kernel import logs
from orchestrator.kernel.errors import IllegalTransition, RequestInvalid
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.limits import OUTPUT_INLINE_BYTES, RESULT_BYTES
from orchestrator.protocol.wire import (
    Ack,
    Ended,
    Output,
    Progress,
    Released,
    ReportEvent,
    ReportReply,
    ReportRequest,
    Started,
)
from orchestrator.protocol.words import Directive, JobEventType, JobState, Outcome, Reason
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.dead_letters import last_line
from orchestrator.server.operations.losses import STATED
from orchestrator.server.operations.output import (
    OUTPUT_COLUMNS,
    log_of,
    save_output,
)
from orchestrator.server.operations.output_plan import Growth, OutputLog, grown
from orchestrator.server.operations.ownership import AttemptKey, own_session
from orchestrator.server.operations.progress import save_progress
from orchestrator.server.operations.records import (
    ATTEMPT_COLUMNS,
    ATTEMPT_WIDTH,
    JOB_COLUMNS,
    JOB_WIDTH,
    AttemptRecord,
    Held,
    JobRecord,
)
from orchestrator.server.operations.restoration import note_unknown
from orchestrator.server.operations.results import acceptable
from orchestrator.server.store.interface import Transaction
from orchestrator.server.store.pairs import Pair, tuples_of_pairs

_LOGGER: Final = logging.getLogger(__name__)
_SELECT: Final = f"""
    SELECT {JOB_COLUMNS}, {ATTEMPT_COLUMNS}, {OUTPUT_COLUMNS}, job.kind
    FROM {{pairs}}
    JOIN attempt ON attempt.job_id = column1 AND attempt.number = column2
    JOIN job ON job.id = attempt.job_id
    LEFT JOIN output ON output.job_id = attempt.job_id AND output.attempt = attempt.number
    WHERE attempt.worker_id = :worker_id
"""
_KEEP_LATE: Final = """
    UPDATE attempt SET late_result = :late_result
    WHERE job_id = :job_id AND number = :number AND worker_id = :worker_id
        AND outcome IS NOT NULL AND late_result IS NULL
"""


@dataclass(slots=True, eq=False)
class _Reported:
    """An attempt of the batch, and what the batch does to its output."""

    held: Held
    log: OutputLog
    kind: str
    before: OutputLog = field(init=False)
    tail: bytes = b""
    """The last frames that the batch brings of it."""

    def __post_init__(self) -> None:
        self.before = self.log


def report(tx: Transaction, request: ReportRequest, *, worker_id: str) -> ReportReply:
    """Apply a batch of events, in order for each attempt, and acknowledge each attempt once."""
    own_session(tx, request.session_id, worker_id)
    batch = _Batch(tx, request.session_id, worker_id, set())
    grouped: dict[Pair, list[ReportEvent]] = {}
    for event in request.events:
        grouped.setdefault((event.job_id, event.attempt), []).append(event)
    acks = batch.take_all(grouped)
    if batch.refused:
        # Half of what was refused may be done already, so begin again from the rows, without it.
        # One more pass is enough: what is said of one attempt decides nothing about another.
        batch = _Batch(tx, request.session_id, worker_id, batch.refused)
        acks = batch.take_all(grouped)
    batch.save()
    reached("report.before_commit")
    return ReportReply(acks=acks)


class _Batch:
    """One report while it is being applied. Nothing is written before `save`.

    `refused` are attempts of which nothing is believed; `take_all` adds those that it finds.
    """

    def __init__(
        self, tx: Transaction, session_id: str, worker_id: str, refused: set[Pair]
    ) -> None:
        self.refused = refused
        self._tx = tx
        self._session_id = session_id
        self._worker_id = worker_id
        self._changes = Changes(tx)
        self._growths: list[tuple[AttemptKey, Growth]] = []
        self._late: list[tuple[Held, Ended]] = []
        self._progress: list[tuple[Held, Progress]] = []

    def take_all(self, grouped: dict[Pair, list[ReportEvent]]) -> list[Ack]:
        """Apply the events of all attempts and return one answer for each of them."""
        known = self._load(list(grouped))
        return [self._answer(pair, known.get(pair), events) for pair, events in grouped.items()]

    def _load(self, pairs: list[Pair]) -> dict[Pair, _Reported]:
        """Return those of the attempts that are, or were, this worker's.

        One that a restore took back may be told by a session of before: its worker was stopped just
        as it was granted something, and does not know yet that it has to say anew what it holds.
        """
        found = self._find(pairs)
        unknown = [pair for pair in pairs if pair not in found]
        if unknown and note_unknown(
            self._tx, unknown, worker_id=self._worker_id, session_id=self._session_id
        ):
            found |= self._find(unknown)
        return found

    def _find(self, pairs: list[Pair]) -> dict[Pair, _Reported]:
        jobs: dict[str, JobRecord] = {}
        found = {}
        for values in tuples_of_pairs(self._tx, _SELECT, pairs, worker_id=self._worker_id):
            job = jobs.get(values[0]) or jobs.setdefault(values[0], JobRecord.of(values))
            attempt = AttemptRecord.of(values[JOB_WIDTH:])
            log = log_of(values[JOB_WIDTH + ATTEMPT_WIDTH :])
            found[job.id, attempt.number] = _Reported(Held(job, attempt), log, values[-1])
        return found

    def _answer(self, pair: Pair, reported: _Reported | None, events: list[ReportEvent]) -> Ack:
        """Apply the events of one attempt, unless they are refused, and return the answer."""
        job_id, attempt = pair
        if reported is not None and pair not in self.refused:
            try:
                return self._take(pair, reported, events)
            except (IllegalTransition, RequestInvalid) as error:
                self.refused.add(pair)
                why = str(error)
                logs.event(
                    _LOGGER, logging.WARNING, "report.refused", job=job_id, attempt=attempt, why=why
                )
        return Ack(job_id=job_id, attempt=attempt, directive=Directive.ABANDON)

    def _take(self, pair: Pair, reported: _Reported, events: list[ReportEvent]) -> Ack:
        """Apply the events of one attempt and return what the server has of it now."""
        job_id, attempt = pair
        held = reported.held
        settled = abandon = False
        for event in events:
            accepted = acceptable(event, reported.kind)
            if held.is_entitled(self._session_id):
                settled = self._apply(reported, accepted)
            elif _is_repeated(held.attempt, accepted):
                settled = True
            elif self._is_abandoned(held, event):
                abandon = True
        self._note_growth(reported)
        return Ack(
            job_id=job_id,
            attempt=attempt,
            output_offset=reported.log.length,
            started=held.may_run(self._session_id),
            settled=settled,
            directive=Directive.ABANDON if abandon and not settled else None,
        )

    def save(self) -> None:
        """Write the batch: the output first, while its sessions are still entitled."""
        if self._growths:
            save_output(self._tx, self._growths)
        save_progress(self._tx, self._session_id, self._progress)
        for held, event in self._late:
            self._keep_late(held, event)
        self._changes.save()

    def _apply(self, reported: _Reported, event: ReportEvent) -> bool:
        """Apply one event of an entitled session; tell whether the attempt is settled by it."""
        # By its word, not its class: asking pydantic's classes is a tenth of a report's time.
        if event.type == "ended":
            return self._ended(reported, event)
        if event.type == "started":
            self._started(reported.held, event)
        elif event.type == "output":
            self._output(reported, event)
        elif event.type == "progress":
            self._progress.append((reported.held, event))
        else:
            self._released(reported.held)
            return True
        return False

    def _started(self, held: Held, event: Started) -> None:
        """Note the start; one that was said before its process existed gets its pid later."""
        attempt = held.attempt
        if attempt.started_us is None:
            attempt.pid = event.pid
            self._begin(held, event.at_us)
            change = core.decide(held.job.rules(), core.Started(), now_us=self._tx.now_us)
            self._changes.become(held.job, change)
        elif attempt.pid is None and event.pid is not None:
            attempt.pid = event.pid
            self._changes.update_attempt(held.job, attempt)

    def _begin(self, held: Held, at_us: int) -> None:
        """Note the moment of the start, in the attempt, the job and the timeline."""
        started_us = held.believed(at_us, now_us=self._tx.now_us)
        held.attempt.started_us = held.job.started_us = started_us
        self._changes.update_attempt(held.job, held.attempt)
        pid = held.attempt.pid
        words = None if pid is None else encoded({"pid": pid})
        self._changes.tell(held.job, JobEventType.STARTED, attempt=held.attempt.number, data=words)

    def _output(self, reported: _Reported, event: Output) -> None:
        """Keep small output in the row. What is larger was stored before this (`output_intake`).

        Unless it could not be: then it is looked at once more, so that its attempt is refused.
        """
        reported.tail = event.frames
        growth = grown(reported.log, event.offset, event.frames)
        if growth is not None and event.offset + len(event.frames) <= OUTPUT_INLINE_BYTES:
            reported.log = growth.after

    def _note_growth(self, reported: _Reported) -> None:
        if reported.log is not reported.before:
            held = reported.held
            key = AttemptKey(held.job.id, held.attempt.number, self._session_id)
            self._growths.append((key, Growth(reported.before, reported.log)))

    def _released(self, held: Held) -> None:
        change = core.decide(held.job.rules(), core.Released(), now_us=self._tx.now_us)
        self._changes.end(held, Outcome.RELEASED, change)

    def _ended(self, reported: _Reported, event: Ended) -> bool:
        """Accept the end if its output is complete, or if no more of it will ever come."""
        held, log = reported.held, reported.log
        if log.length < event.output_length and not event.output_final:
            return False
        if held.attempt.started_us is None and event.started_at_us is not None:
            self._begin(held, event.started_at_us)
        change = core.decide(
            held.job.rules(),
            core.Ended(event.outcome, event.reason, event.exit_code),
            now_us=self._tx.now_us,
            draw=held.job.draw(),
        )
        _describe(held.attempt, event, log)
        held.attempt.finished_us = held.believed(event.at_us, now_us=self._tx.now_us)
        if change.state is JobState.FAILED:
            held.job.last_line = last_line(log.inline or reported.tail)
        result = None if event.result is None else to_json(event.result).decode()
        if event.reason is Reason.INVALID_RESULT:
            held.attempt.raw_result = result
        elif change.finished:
            held.job.result = result
        self._changes.end(held, event.outcome, change)
        return True

    def _is_abandoned(self, held: Held, event: ReportEvent) -> bool:
        """Tell whether the attempt is not the session's any more; keep an end that came late."""
        if isinstance(event, Ended) and held.attempt.outcome is not None:
            self._late.append((held, event))
            return True
        return (
            held.attempt.outcome is None
            or held.attempt.outcome in STATED
            or held.attempt.session_id != self._session_id
        )

    def _keep_late(self, held: Held, event: Ended) -> None:
        told = event.model_dump(
            mode="json", exclude={"type", "job_id", "attempt"}, exclude_none=True
        )
        if len(to_json(told)) > RESULT_BYTES:
            told["result"] = None
        kept = self._tx.execute(
            _KEEP_LATE,
            job_id=held.job.id,
            number=held.attempt.number,
            worker_id=self._worker_id,
            late_result=to_json(told).decode(),
        )
        if kept:
            words = encoded({"outcome": event.outcome, "reason": event.reason})
            self._changes.tell(
                held.job, JobEventType.LATE_RESULT, attempt=held.attempt.number, data=words
            )


def _describe(attempt: AttemptRecord, event: Ended, log: OutputLog) -> None:
    attempt.reason = event.reason
    attempt.message = event.message
    attempt.exit_code = event.exit_code
    attempt.signal = event.signal
    attempt.leftovers = event.leftovers
    attempt.declared_stdout = event.stdout_bytes
    attempt.declared_stderr = event.stderr_bytes
    attempt.missing_bytes = _missing_bytes(log, event)


def _missing_bytes(log: OutputLog, event: Ended) -> int:
    """Return how many of the command's own bytes the server cannot vouch for.

    A log of the right length but with another digest was altered somewhere, and nobody knows where,
    so none of it is vouched for. More than the worker has left is no fault: the server kept what a
    power cut took from the worker, also where that was a part in the middle, so that the worker
    knows no digest. What is over the cap was here, and is counted as such.
    """
    digest = event.output_digest
    if log.length == event.output_length and digest is not None and log.digest.hex() != digest:
        return max(log.stdout_bytes, event.stdout_bytes) + max(log.stderr_bytes, event.stderr_bytes)
    out = event.stdout_bytes - log.stdout_bytes
    err = event.stderr_bytes - log.stderr_bytes
    return max(0, out) + max(0, err)


def _is_repeated(attempt: AttemptRecord, event: ReportEvent) -> bool:
    """Tell whether this is the very end that was accepted before.

    Who asked for the end of a cancelled attempt a worker may have forgotten over a restart.
    """
    match event:
        case Ended():
            told = (event.outcome, event.exit_code, event.signal)
            same = told == (attempt.outcome, attempt.exit_code, attempt.signal)
            return same and (event.outcome is Outcome.CANCELLED or event.reason == attempt.reason)
        case Released():
            return attempt.outcome is Outcome.RELEASED
        case _:
            return False
