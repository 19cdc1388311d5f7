"""What becomes of an attempt when something happens to it, and what is to be done then.

It knows no process, no connection and no clock: what came of acting comes back as a happening.
*Wanted* (`stop`) is not *actual* (`state`): an order changes what is wanted, and only news of the
process changes what is.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from orchestrator.protocol.wire import Ended, Released, Started
from orchestrator.protocol.words import Outcome, Reason
from worker.logic.lifecycle import PHASES, AttemptEvent, AttemptState, next_state
from worker.logic.outcome import End
from worker.records import PREEMPT_GRACE_S, Cause, Log, Phase

S = AttemptState
E = AttemptEvent

_STOPPABLE: Final = frozenset({S.PREPARING, S.ANNOUNCED, S.STARTING, S.RUNNING})
_NOT_BEGUN: Final = {
    None: (Outcome.FAILED, Reason.SPAWN_ERROR),
    Cause.CANCELLED: (Outcome.CANCELLED, Reason.CANCELLED_BY_USER),
    Cause.PREEMPTED: (Outcome.PREEMPTED, Reason.PREEMPTED),
}
"""How something ends that was announced and did not begin, by who stopped it."""


class Key(NamedTuple):
    """Which attempt: the pair that every statement about it carries."""

    job_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the rules need to know. `cancelling` is what the server is told that we know.

    What may be started only `once` is started when the server has its start, and never before: so a
    start that the server does not know of cannot have happened.
    """

    key: Key
    grace_s: float
    once: bool = False
    state: AttemptState = S.PREPARING
    stop: Cause | None = None
    cancelling: bool = False
    end: Ended | None = None
    """What was said of its end, as long as the server may not have it."""

    @property
    def phase(self) -> Phase:
        """Return how far it is, in the words that the server is told at the next session."""
        return PHASES[self.state]

    @property
    def is_ours(self) -> bool:
        """Tell whether the server is told of it: neither abandoned nor settled."""
        return self.state not in {S.ABANDONED, S.LATE, S.SETTLED}


@dataclass(frozen=True, slots=True)
class Prepared:
    """All is there that the command needs; what follows may run it."""

    at_us: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """The server has the start, and wants it."""


@dataclass(frozen=True, slots=True)
class Unprepared:
    """It will not run here: the inputs, the params or the machine are at fault."""

    reason: Reason
    message: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """It was stopped before anything of it ran."""

    at_us: int = 0
    message: str = "the command was not started"


@dataclass(frozen=True, slots=True)
class Alive:
    """The command runs; a handler in this process has no pid of its own."""

    at_us: int
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing of it is left; `log` is all that it wrote."""

    end: End
    log: Log


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """Nobody can say how it ended: who watched it was killed."""

    at_us: int
    log: Log


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants it to end: a person, or this worker, which must go."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Abandon:
    """It is not ours any more: end it and say nothing."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The server has its end, for good."""


Happening = (
    Prepared
    | Recorded
    | Unprepared
    | Withdrawn
    | Alive
    | Over
    | Unaccounted
    | StopAsked
    | Abandon
    | Acknowledged
)


@dataclass(frozen=True, slots=True)
class Start:
    """Have it run."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Stop preparing it, or waiting for its start to be recorded."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """End its processes: the signal now, the end after the grace."""

    cause: Cause
    grace_s: float


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the server, in the order of the effects."""

    event: Started | Ended | Released


@dataclass(frozen=True, slots=True)
class Settle:
    """Forget it."""


Effect = Start | Withdraw | Interrupt | Say | Settle
Decision = tuple[Attempt, tuple[Effect, ...]]


def decide(attempt: Attempt, happened: Happening) -> Decision:  # noqa: C901 - a case for each
    """Return what the attempt is now and what is to be done, or raise `IllegalTransition`."""
    match happened:
        case Prepared():
            return _prepared(attempt, happened)
        case Recorded():
            return _recorded(attempt)
        case Unprepared():
            return _last_word(attempt, E.REFUSED, _unprepared(attempt.key, happened))
        case Withdrawn():
            return _last_word(attempt, E.WITHDRAWN, _withdrawn(attempt, happened))
        case Alive():
            return _began(attempt, happened)
        case Over():
            return _last_word(attempt, E.OVER, _over(attempt, happened))
        case Unaccounted():
            return _last_word(attempt, E.VANISHED, _vanished(attempt, happened))
        case StopAsked():
            return _stop(attempt, happened.cause)
        case Abandon():
            return _abandon(attempt)
        case Acknowledged():
            return _moved(attempt, E.ACKNOWLEDGED, Settle())


def _moved(attempt: Attempt, event: AttemptEvent, *effects: Effect) -> Decision:
    return replace(attempt, state=next_state(attempt.state, event)), effects


def _prepared(attempt: Attempt, prepared: Prepared) -> Decision:
    """Start it, unless somebody stopped it while it was made ready."""
    if attempt.stop is not None:
        return decide(attempt, Withdrawn(prepared.at_us))
    if attempt.once:
        key = attempt.key
        announced = Started(job_id=key.job_id, attempt=key.number, at_us=prepared.at_us)
        return _moved(attempt, E.ANNOUNCED, Say(announced))
    return _moved(attempt, E.PREPARED, Start())


def _recorded(attempt: Attempt) -> Decision:
    """Start what waited for it, unless somebody stopped it meanwhile."""
    moved = _moved(attempt, E.RECORDED, Start())
    return moved if attempt.stop is None else (attempt, ())


def _last_word(attempt: Attempt, event: AttemptEvent, word: Ended | Released) -> Decision:
    """It is over: say so, unless there is nothing that anybody could learn from it."""
    moved, _ = _moved(attempt, event)
    if moved.state is S.SETTLED:
        return moved, (Settle(),)
    return replace(moved, end=word if isinstance(word, Ended) else None), (Say(word),)


def _began(attempt: Attempt, alive: Alive) -> Decision:
    if attempt.state is S.ABANDONED:
        return _moved(attempt, E.BEGAN)
    key = attempt.key
    started = Started(job_id=key.job_id, attempt=key.number, at_us=alive.at_us, pid=alive.pid)
    return _moved(attempt, E.BEGAN, Say(started))


def _stop(attempt: Attempt, cause: Cause) -> Decision:
    """The first order ends it; a later one changes only what we say that we know."""
    cancelling = attempt.cancelling or cause is Cause.CANCELLED
    if attempt.stop is not None or attempt.state not in _STOPPABLE:
        return replace(attempt, cancelling=cancelling), ()
    stopped = replace(attempt, stop=cause, cancelling=cancelling)
    return stopped, (_ending(attempt, cause),)


def _ending(attempt: Attempt, cause: Cause) -> Effect:
    if attempt.state in {S.PREPARING, S.ANNOUNCED}:
        return Withdraw()
    # Whoever stops a worker waits for it, and runs the job again: that need not take an hour.
    longest_s = PREEMPT_GRACE_S if cause is Cause.PREEMPTED else attempt.grace_s
    return Interrupt(cause, min(attempt.grace_s, longest_s))


def _abandon(attempt: Attempt) -> Decision:
    """End it. An end that was on its way is said once more, without all that stood before it."""
    if attempt.state is S.ENDED:
        if attempt.end is None:
            return _moved(attempt, E.ACKNOWLEDGED, Settle())
        end = attempt.end.model_copy(update={"output_final": True})
        return _moved(attempt, E.ABANDON, Say(end))
    moved, _ = _moved(attempt, E.ABANDON)
    if moved.state is S.SETTLED:
        return moved, (Settle(),)
    if attempt.state is S.ABANDONED or attempt.stop is not None:
        return moved, ()
    return replace(moved, stop=Cause.CANCELLED), (_ending(attempt, Cause.CANCELLED),)


def _unprepared(key: Key, why: Unprepared) -> Ended:
    return Ended(
        job_id=key.job_id,
        attempt=key.number,
        at_us=why.at_us,
        outcome=Outcome.FAILED,
        reason=why.reason,
        message=why.message,
    )


def _withdrawn(attempt: Attempt, withdrawn: Withdrawn) -> Ended | Released:
    """Nothing ran: give it back; but what was announced has begun for the server, and is ended."""
    key = attempt.key
    if attempt.state is S.PREPARING or not attempt.once:
        return Released(job_id=key.job_id, attempt=key.number)
    outcome, reason = _NOT_BEGUN[attempt.stop]
    return Ended(
        job_id=key.job_id,
        attempt=key.number,
        at_us=withdrawn.at_us,
        outcome=outcome,
        reason=reason,
        message=withdrawn.message,
    )


def _over(attempt: Attempt, over: Over) -> Ended:
    end, key = over.end, attempt.key
    # Nobody asked for the end of what was only taken from us.
    ours = end.outcome is Outcome.CANCELLED and not attempt.cancelling
    return Ended(
        job_id=key.job_id,
        attempt=key.number,
        at_us=end.at_us,
        started_at_us=end.started_us,
        outcome=end.outcome,
        reason=Reason.CANCELLED_BY_POLICY if ours else end.reason,
        message=end.message,
        exit_code=end.exit_code,
        signal=end.signal,
        result=end.result,
        leftovers=end.leftovers,
        output_length=over.log.length,
        output_digest=over.log.digest_hex,
        stdout_bytes=over.log.stdout_bytes,
        stderr_bytes=over.log.stderr_bytes,
        output_final=attempt.state is S.ABANDONED,
    )


def _vanished(attempt: Attempt, gone: Unaccounted) -> Ended:
    """A command that was seen to run is lost; of one that was only granted nobody knows."""
    ran = attempt.state is S.RUNNING
    return Ended(
        job_id=attempt.key.job_id,
        attempt=attempt.key.number,
        at_us=gone.at_us,
        outcome=Outcome.LOST if ran else Outcome.INDETERMINATE,
        reason=Reason.WORKER_LOST if ran else Reason.OUTCOME_UNKNOWN,
        message="the process that watched the command was killed"
        + (", and the command with it" if ran else " before it could say whether the command ran"),
        output_length=gone.log.length,
        output_digest=gone.log.digest_hex,
        stdout_bytes=gone.log.stdout_bytes,
        stderr_bytes=gone.log.stderr_bytes,
        output_final=attempt.state is S.ABANDONED,
    )
