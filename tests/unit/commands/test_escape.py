"""Hostile text on a terminal does nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.commands.escape import TerminalText, one_line


def _shown(*pieces: bytes) -> str:
    text = TerminalText()
    return "".join(text.feed(piece) for piece in pieces) + text.feed(b"", final=True)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"plain\ttext\n", "plain\ttext\n"),
        ("grüße 🎉\n".encode(), "grüße 🎉\n"),
        (b"dos\r\n", "dos\r\n"),
        (b"hidden\rshown\n", "hidden\\rshown\n"),
        (b"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        (b"\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        (b"a\x00b\x7fc\x08", "a\\x00b\\x7fc\\x08"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\x9b31m".encode(), "\\x9b31m"),
        ("\u202eevil\u2069\u200f".encode(), "\\u202eevil\\u2069\\u200f"),
        ("line\u2028line".encode(), "line\\u2028line"),
        (b"cut \xf0\x9f", "cut \\xf0\\x9f"),
        (b"last\r", "last\\r"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(written: bytes, shown: str) -> None:
    """Text and line ends stay; whatever could act on a terminal becomes visible."""
    assert _shown(written) == shown


@given(st.binary(max_size=60), st.integers(0, 60))
def test_it_does_not_matter_where_the_pieces_are_cut(written: bytes, at: int) -> None:
    """A character or line end that arrives in two pieces is shown as if it came in one."""
    assert _shown(written[:at], written[at:]) == _shown(written)


@given(st.binary(max_size=60))
def test_nothing_that_acts_is_left(written: bytes) -> None:
    """After escaping, everything is printable, or a tab, or the end of a line."""
    shown = _shown(written).replace("\r\n", "\n")

    assert all(char >= " " or char in "\t\n" for char in shown)
    assert "\x7f" not in shown
    assert not any("\x80" <= char <= "\x9f" for char in shown)


def test_a_line_of_ours_stays_one_line() -> None:
    """A message with line breaks in it cannot look like two."""
    assert one_line("a\nb\r\n\x1b[2Jc") == "a\\nb\r\\n\\x1b[2Jc".replace("\r", "\\r")
