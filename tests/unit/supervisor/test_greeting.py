"""What a person reads when everything is up."""

import pytest

from orchestrator.supervisor.logic.greeting import greeting


@pytest.mark.parametrize(("slots", "words"), [(1, "one job at a time"), (8, "up to 8 jobs")])
def test_it_says_where_and_what_next(slots: int, words: str) -> None:
    """The address, the folder, how many jobs, commands that can be typed, and how to stop."""
    text = greeting(
        "http://127.0.0.1:8700",
        directory="/home/me",
        slots=slots,
        program=[".venv/bin/orchestrator"],
    )

    assert "http://127.0.0.1:8700" in text
    assert f"{words}" in text
    assert "/home/me" in text
    assert "  .venv/bin/orchestrator jobs submit --follow -- echo hello\n" in text
    assert "Ctrl-C" in text
