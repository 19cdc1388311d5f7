"""How an attempt ended: every fact of a shim has its words."""

import pytest

from orchestrator.protocol.frames import EMPTY_DIGEST
from orchestrator.protocol.words import Outcome, Reason
from worker.logic.outcome import MESSAGE_CHARS, end_of, shortened
from worker.records import Cause, Exited, Log

FACTS = {
    "success": (Cause.EXITED, 0, Outcome.SUCCEEDED, None),
    "failure": (Cause.EXITED, 7, Outcome.FAILED, Reason.EXIT_NONZERO),
    "highest code": (Cause.EXITED, 255, Outcome.FAILED, Reason.EXIT_NONZERO),
    "signal": (Cause.EXITED, -11, Outcome.FAILED, Reason.SIGNAL),
    "no executable": (Cause.SPAWN_ERROR, None, Outcome.FAILED, Reason.SPAWN_ERROR),
    "run timeout": (Cause.TIMEOUT_RUN, -15, Outcome.TIMED_OUT, Reason.TIMEOUT_RUN),
    "silence": (Cause.TIMEOUT_SILENCE, 0, Outcome.TIMED_OUT, Reason.TIMEOUT_SILENCE),
    "cancel": (Cause.CANCELLED, -9, Outcome.CANCELLED, Reason.CANCELLED_BY_USER),
    "preemption": (Cause.PREEMPTED, -15, Outcome.PREEMPTED, Reason.PREEMPTED),
    "too much memory": (Cause.OOM, -9, Outcome.FAILED, Reason.OOM),
    "full disk": (Cause.DISK_FULL, 0, Outcome.FAILED, Reason.DISK_FULL),
}


def _exited(cause: Cause, status: int | None, message: str | None = None) -> Exited:
    return Exited(
        cause=cause,
        message=message,
        code=status if status is not None and status >= 0 else None,
        signal=-status if status is not None and status < 0 else None,
        leftovers=0,
        started_us=3,
        ended_us=9,
        wall_s=0.1,
        user_s=0.0,
        sys_s=0.0,
        max_rss_kib=1,
        log=Log(0, EMPTY_DIGEST),
    )


@pytest.mark.parametrize("case", FACTS)
def test_every_fact_has_its_words(case: str) -> None:
    """Outcome and reason follow from the cause; code and signal are passed on as they are."""
    cause, status, outcome, reason = FACTS[case]
    exited = _exited(cause, status, "why")

    end = end_of(exited)

    assert (end.outcome, end.reason) == (outcome, reason)
    assert (end.exit_code, end.signal) == (exited.code, exited.signal)
    assert (end.started_us, end.at_us, end.message) == (3, 9, "why")


def test_every_cause_is_covered() -> None:
    """No cause of a shim is without words."""
    assert {case[0] for case in FACTS.values()} == set(Cause)


def test_a_message_fits_the_wire() -> None:
    """Too long a message is cut, and NUL is shown as text."""
    assert shortened("short") == "short"
    assert shortened("a\0b") == "a\\0b"
    assert len(shortened("x" * 9000)) == MESSAGE_CHARS
    assert shortened("x" * 9000).endswith("…")


def test_a_message_is_text_whatever_a_name_is_made_of() -> None:
    """A byte that is not UTF-8 is shown by its number, so that everything can be sent."""
    name = b"/opt/caf\xe9".decode(errors="surrogateescape")

    message = end_of(_exited(Cause.SPAWN_ERROR, None, f"not in {name}")).message

    assert message == r"not in /opt/caf\udce9"
