"""How an attempt ended, out of what its shim wrote down.

A shim states facts (a code, a signal, why it stopped the command); this is the one place that turns
them into the words of the protocol. It knows no attempt and no server.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.protocol.words import Outcome, Reason

MESSAGE_CHARS: Final = 4096
"""What the wire takes; a longer message is cut at its end."""
Result = dict[str, object]


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """An exit record: what the shim knows when no process is left."""

    cause: str
    code: int | None = None
    signal: int | None = None
    message: str | None = None
    started_us: int | None = None
    ended_us: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """An end in the words of the protocol."""

    outcome: Outcome
    at_us: int
    reason: Reason | None = None
    message: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    result: Result | None = None
    started_us: int | None = None


_STOPPED: Final[dict[str, tuple[Outcome, Reason]]] = {
    "spawn_error": (Outcome.FAILED, Reason.SPAWN_ERROR),
    "timeout_run": (Outcome.TIMED_OUT, Reason.TIMEOUT_RUN),
    "timeout_silence": (Outcome.TIMED_OUT, Reason.TIMEOUT_SILENCE),
    "cancelled": (Outcome.CANCELLED, Reason.CANCELLED_BY_USER),
    "preempted": (Outcome.PREEMPTED, Reason.PREEMPTED),
    "disk_full": (Outcome.FAILED, Reason.DISK_FULL),
}


def end_of(facts: ExitFacts) -> End:
    """Return the end that an exit record stands for.

    A cause that this version does not know is not guessed at: the outcome is unknown, and the
    message says which word it was.
    """
    outcome, reason = _outcome(facts)
    message = facts.message
    if outcome is Outcome.INDETERMINATE:
        message = f"the shim ended with {facts.cause!r}, which this worker does not know"
    return End(
        outcome=outcome,
        at_us=facts.ended_us,
        reason=reason,
        message=None if message is None else shortened(message),
        exit_code=facts.code,
        signal=facts.signal,
        started_us=facts.started_us,
    )


def _outcome(facts: ExitFacts) -> tuple[Outcome, Reason | None]:
    if facts.cause != "exited":
        return _STOPPED.get(facts.cause, (Outcome.INDETERMINATE, Reason.OUTCOME_UNKNOWN))
    if facts.signal is not None:
        return Outcome.FAILED, Reason.SIGNAL
    if facts.code == 0:
        return Outcome.SUCCEEDED, None
    return Outcome.FAILED, Reason.EXIT_NONZERO


def shortened(message: str) -> str:
    """Return a message that the wire takes: without NUL, and not too long."""
    text = message.replace("\0", "\\0")
    return text if len(text) <= MESSAGE_CHARS else text[: MESSAGE_CHARS - 1] + "…"
