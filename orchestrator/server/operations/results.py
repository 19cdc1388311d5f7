"""Which ends are accepted as they were said: a result must have the size and the form it promises.

A worker is believed about what happened, never about whether its result is one.
"""

from pydantic_core import to_json

from orchestrator.protocol.limits import RAW_RESULT_BYTES, RESULT_BYTES
from orchestrator.protocol.results import fault_of
from orchestrator.protocol.wire import Ended, ReportEvent
from orchestrator.protocol.words import Outcome, Reason


def acceptable(event: ReportEvent, kind: str) -> ReportEvent:
    """Return the event as it is accepted: an end with a result that is none is a failure.

    Also when it is said again: what is accepted is what it is then compared with. A result that is
    not what its kind promises stays in it, if it is not too large for those who will look at it.
    """
    if event.type != "ended":
        return event
    size = 0 if event.result is None else len(to_json(event.result))
    if size > RESULT_BYTES:
        return _failed(event, Reason.RESULT_TOO_LARGE, f"the result has {size} bytes")
    if event.outcome is not Outcome.SUCCEEDED:
        return event
    fault = fault_of(kind, event.result)
    if fault is None:
        return event
    if size > RAW_RESULT_BYTES:
        return _failed(event, Reason.INVALID_RESULT, f"{fault} ({size} bytes, not kept)")
    told = _failed(event, Reason.INVALID_RESULT, fault)
    return told.model_copy(update={"result": event.result})


def _failed(event: Ended, reason: Reason, message: str) -> Ended:
    said = f"{message}; {event.message}"[:4096] if event.message else message
    words = {"outcome": Outcome.FAILED, "reason": reason, "message": said, "result": None}
    return event.model_copy(update=words)
