"""How an attempt ended: every fact of a shim has its words."""

import pytest

from orchestrator.protocol.words import Outcome, Reason
from worker.logic.outcome import MESSAGE_CHARS, ExitFacts, end_of, shortened

FACTS = {
    "success": (ExitFacts("exited", code=0), Outcome.SUCCEEDED, None),
    "failure": (ExitFacts("exited", code=7), Outcome.FAILED, Reason.EXIT_NONZERO),
    "highest code": (ExitFacts("exited", code=255), Outcome.FAILED, Reason.EXIT_NONZERO),
    "signal": (ExitFacts("exited", signal=11), Outcome.FAILED, Reason.SIGNAL),
    "no executable": (ExitFacts("spawn_error", message="x"), Outcome.FAILED, Reason.SPAWN_ERROR),
    "run timeout": (ExitFacts("timeout_run", signal=15), Outcome.TIMED_OUT, Reason.TIMEOUT_RUN),
    "silence": (ExitFacts("timeout_silence", code=0), Outcome.TIMED_OUT, Reason.TIMEOUT_SILENCE),
    "cancel": (ExitFacts("cancelled", signal=9), Outcome.CANCELLED, Reason.CANCELLED_BY_USER),
    "preemption": (ExitFacts("preempted", signal=15), Outcome.PREEMPTED, Reason.PREEMPTED),
    "full disk": (ExitFacts("disk_full", code=0), Outcome.FAILED, Reason.DISK_FULL),
    "a newer word": (ExitFacts("eaten"), Outcome.INDETERMINATE, Reason.OUTCOME_UNKNOWN),
}


@pytest.mark.parametrize("case", FACTS)
def test_every_fact_has_its_words(case: str) -> None:
    """Outcome and reason follow from the cause; code and signal are passed on as they are."""
    facts, outcome, reason = FACTS[case]

    end = end_of(facts)

    assert (end.outcome, end.reason) == (outcome, reason)
    assert (end.exit_code, end.signal) == (facts.code, facts.signal)


def test_an_unknown_cause_is_named() -> None:
    """A word of a newer shim is shown, not interpreted."""
    assert "'eaten'" in (end_of(ExitFacts("eaten")).message or "")


def test_a_message_fits_the_wire() -> None:
    """Too long a message is cut, and NUL is shown as text."""
    assert shortened("short") == "short"
    assert shortened("a\0b") == "a\\0b"
    assert len(shortened("x" * 9000)) == MESSAGE_CHARS
    assert shortened("x" * 9000).endswith("…")
