"""What a person reads while everything ends."""

import pytest

from orchestrator.supervisor.logic.farewell import farewell
from orchestrator.supervisor.logic.shutdown import Phase


@pytest.mark.parametrize(
    ("since", "words"),
    [
        ([60.0], "1 job running (40s)"),
        ([100.0, 100.0 - 240.0], "2 jobs running (oldest 4m)"),
        ([100.0 - 7300.0], "(2h)"),
        ([100.0 - 200_000.0], "(2d)"),
        ([], "Stopping when the running jobs are done"),
    ],
)
def test_it_says_what_it_waits_for(since: list[float], words: str) -> None:
    """How many jobs, how long the oldest has run, and what another Ctrl-C does."""
    text = farewell(Phase.DRAINING, since, now=100.0)

    assert words in text
    assert "Ctrl-C again interrupts" in text


def test_kept_jobs_are_told_of() -> None:
    """Nobody has to fear for them."""
    assert "2 jobs running (oldest 5s) and go on" in farewell(Phase.KEEPING, [1.0, 3.0], now=6.0)
    assert "no jobs run and go on" not in farewell(Phase.KEEPING, [], now=6.0)


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.LEAVING])
def test_nothing_is_said_before_and_after(phase: Phase) -> None:
    """Nobody leaves yet, or everybody has."""
    assert farewell(phase, [1.0], now=6.0) == ""


def test_interrupting_says_what_is_left_to_do() -> None:
    """The third time leaves."""
    assert "Ctrl-C again leaves at once" in farewell(Phase.INTERRUPTING, [1.0], now=6.0)
