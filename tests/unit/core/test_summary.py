"""What a job runs, in a line."""

from typing import Any

import pytest

from orchestrator.core.summary import CHARS, summary


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"argv": ["make", "a b"]}, "make 'a b'"),
        ({"script": "\n  set -e\nmake\n", "shell": True}, "set -e"),
        ({"ms": 1500}, "ms 1500"),
        ({}, ""),
        ({"argv": ["printf", "a\tb\x1b[31m\n"]}, "printf 'a b [31m '"),
        ({"argv": ["x" * 500]}, "x" * (CHARS - 1) + "…"),
        ({"argv": ["x"] * 10_000}, "x " * 79 + "x…"),
    ],
)
def test_a_job_is_told_in_a_line(params: dict[str, Any], line: str) -> None:
    """A command as it could be typed, a script's first line, never longer than a row may hold."""
    assert summary(params) == line
    assert len(line) <= CHARS
