"""What failed jobs have in common, and what is left out of the comparison."""

import pytest

from orchestrator.core.fingerprint import LOOKED_AT_CHARS, WORDS_CHARS, fingerprint, normalised
from orchestrator.protocol.words import Reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("connection to 10.0.0.7:5432 refused", "connection to 10.1.2.3:80 refused"),
        ("2026-01-31 09:14:03 ERROR job 4711 failed", "2027-12-01 10:00:59 ERROR job 5 failed"),
        ("no file /tmp/a1/b/data.csv", "no file /var/lib/other/data.csv"),
        ("object 0x7f3e10 leaked", "object 0xABC leaked"),
        (
            "request 1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
            "request 00000000-0000-0000-0000-000000000000",
        ),
        ("\x1b[31mbroken\x1b[0m   pipe", "broken pipe"),
    ],
)
def test_what_varies_from_run_to_run_makes_no_difference(one: str, other: str) -> None:
    """Numbers, addresses, ids, folders, colours and spaces are not what went wrong."""
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no file data.csv", "no file other.csv"),
        ("connection refused", "connection reset"),
        ("KeyError: 'name'", "KeyError: 'id'"),
    ],
)
def test_what_went_wrong_makes_a_difference(one: str, other: str) -> None:
    """Words are compared as they are."""
    assert normalised(one) != normalised(other)


def test_words_are_short_and_printable() -> None:
    """A line of data without end, or of control characters, is no name."""
    assert len(normalised("word " * 1000)) <= WORDS_CHARS
    assert normalised("a\x00\x07b") == "a b"


def test_only_the_beginning_of_a_long_line_is_looked_at() -> None:
    """Whoever waits for the database does not wait for half a megabyte to be compared."""
    number = "7" * (LOOKED_AT_CHARS - 5)

    assert normalised(f"{number} seen {'never seen ' * 50_000}") == "# seen"


def test_every_part_of_a_failure_counts() -> None:
    """Kind, reason, exit code and words: a difference in one of them is another failure."""
    base = fingerprint("command", Reason.EXIT_NONZERO, 1, "no space")

    assert base == fingerprint("command", Reason.EXIT_NONZERO, 1, "no space")
    assert (
        len(
            {
                base,
                fingerprint("delay", Reason.EXIT_NONZERO, 1, "no space"),
                fingerprint("command", Reason.SIGNAL, 1, "no space"),
                fingerprint("command", Reason.EXIT_NONZERO, 2, "no space"),
                fingerprint("command", Reason.EXIT_NONZERO, 1, "no time"),
            }
        )
        == 5
    )
