"""How an attempt ended, out of what its shim wrote down.

A shim states facts (a code, a signal, why it stopped the command); this is the one place that turns
them into the words of the protocol. It knows no attempt and no server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from orchestrator.protocol.wire import Ended
from orchestrator.protocol.words import Outcome, Reason
from worker.records import Cause, Exited

_TIMED_OUT: Final = 124
"""As `timeout(1)` does."""
_CANCELLED: Final = 130
_SIGNAL_BASE: Final = 128
MESSAGE_CHARS: Final = 4096
"""What the wire takes; a longer message is cut at its end."""
_OF_CAUSE: Final[Mapping[Cause, tuple[Outcome, Reason]]] = MappingProxyType(
    {
        Cause.SPAWN_ERROR: (Outcome.FAILED, Reason.SPAWN_ERROR),
        Cause.DISK_FULL: (Outcome.FAILED, Reason.DISK_FULL),
        Cause.OOM: (Outcome.FAILED, Reason.OOM),
        Cause.TIMEOUT_RUN: (Outcome.TIMED_OUT, Reason.TIMEOUT_RUN),
        Cause.TIMEOUT_SILENCE: (Outcome.TIMED_OUT, Reason.TIMEOUT_SILENCE),
        Cause.CANCELLED: (Outcome.CANCELLED, Reason.CANCELLED_BY_USER),
        Cause.PREEMPTED: (Outcome.PREEMPTED, Reason.PREEMPTED),
    }
)
"""How it ended if somebody stopped it, or it never began."""
Result = dict[str, object]


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
    leftovers: int = 0


def end_of(exited: Exited) -> End:
    """Return the end that an exit record stands for."""
    outcome, reason = _outcome(exited)
    return End(
        outcome=outcome,
        at_us=exited.ended_us,
        reason=reason,
        message=_message(exited),
        exit_code=exited.code,
        signal=exited.signal,
        started_us=exited.started_us,
        leftovers=exited.leftovers,
    )


def _message(exited: Exited) -> str | None:
    """Return what there is to say, also about those who were killed after the command itself."""
    parts = [exited.message] if exited.message else []
    if exited.leftovers == 1:
        parts.append("1 process that the command had left behind was killed")
    elif exited.leftovers:
        parts.append(f"{exited.leftovers} processes that the command had left behind were killed")
    return shortened("; ".join(parts)) or None


def _outcome(exited: Exited) -> tuple[Outcome, Reason | None]:
    if exited.cause is not Cause.EXITED:
        return _OF_CAUSE[exited.cause]
    if exited.signal is not None:
        return Outcome.FAILED, Reason.SIGNAL
    if exited.code == 0:
        return Outcome.SUCCEEDED, None
    return Outcome.FAILED, Reason.EXIT_NONZERO


def shortened(message: str) -> str:
    """Return a message that the wire takes: without NUL, not too long, and text throughout.

    A name of the machine's need not be UTF-8. Python keeps such a byte as a lone surrogate, which
    nothing can encode; it is shown by its number.
    """
    text = message.encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return text if len(text) <= MESSAGE_CHARS else text[: MESSAGE_CHARS - 1] + "…"


def exit_status(ended: Ended) -> int:
    """Return what a program returns that stands for this end, as a shell would say it."""
    if ended.outcome is Outcome.SUCCEEDED:
        return 0
    if ended.outcome is Outcome.TIMED_OUT:
        return _TIMED_OUT
    if ended.outcome in {Outcome.CANCELLED, Outcome.PREEMPTED}:
        return _CANCELLED
    if ended.signal is not None:
        return _SIGNAL_BASE + ended.signal
    return ended.exit_code or 1
