r"""Make foreign text harmless on a terminal.

A job's output may hold sequences that move the cursor, rename the window, write to the clipboard
or reverse the direction of reading, so that a log shows what was never printed. On a terminal each
such character is shown as an escape (`\x1b`) and does nothing. Files and pipes get the bytes as
they are: this module is not asked there.
"""

import codecs
import re
from typing import Final

_CONTROLS: Final = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # C0 without tab and newline, DEL, and C1
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # marks and overrides of direction
    "\\u2028\\u2029\\ud800-\\udfff"  # line separators; halves of characters
)
_IN_TEXT: Final = re.compile(rf"\r(?=\n)|([{_CONTROLS}])")
_IN_LINE: Final = re.compile(rf"([{_CONTROLS}\t\n])")


def one_line(text: str) -> str:
    """Return foreign text for a line of our own: nothing in it can begin another line."""
    return _IN_LINE.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    return match[1].encode("unicode_escape").decode() if match[1] else match[0]


class TerminalText:
    """Escapes a stream of bytes piece by piece: a character may arrive in two pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""

    def feed(self, data: bytes, *, final: bool = False) -> str:
        r"""Return what can be shown now. A final `\r` waits to see whether it begins a `\r\n`."""
        text = self._held + self._decoder.decode(data, final)
        self._held = ""
        if text.endswith("\r") and not final:
            text, self._held = text[:-1], "\r"
        return _IN_TEXT.sub(_shown, text)
