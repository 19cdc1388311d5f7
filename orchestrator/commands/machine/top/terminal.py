"""A terminal as a full screen: drawn as a whole, asked for keys, and given back as it was.

It is given back on every way out that a process can see: the end of the block, an error, Ctrl-C, a
SIGTERM or a closed window. It knows nothing of what is drawn.
"""

import contextlib
import os
import select
import signal
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Final

STDIN: Final = 0
STDOUT: Final = 1
_ENTER: Final = b"\x1b[?1049h\x1b[?25l"
"""Another screen, so that what was there before is there afterwards; no cursor."""
_LEAVE: Final = b"\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_CLEAR_LINE: Final = "\x1b[K"
_CLEAR_BELOW: Final = "\x1b[J"
_BEGIN: Final = "\x1b[?2026h"
_END: Final = "\x1b[?2026l"
"""Terminals that know these show a frame as a whole; the others pass over them."""
_KEYS: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"k": "up",
    b"j": "down",
}
_KEY_BYTES: Final = 64
_SIZE: Final = (80, 24)


class Killed(Exception):
    """Somebody wants this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def is_one(environ: Mapping[str, str]) -> bool:
    """Tell whether a person sits at both ends, at a terminal that can move its cursor."""
    return os.isatty(STDIN) and os.isatty(STDOUT) and environ.get("TERM", "dumb") != "dumb"


def has_colour(environ: Mapping[str, str]) -> bool:
    """Tell whether colours are welcome (https://no-color.org)."""
    return not environ.get("NO_COLOR")


class Screen:
    """The screen, while it is ours."""

    def __init__(self, woken: int) -> None:
        self._woken = woken

    def size(self) -> tuple[int, int]:
        """Return columns and rows."""
        try:
            columns, rows = os.get_terminal_size(STDOUT)
        except OSError:
            return _SIZE
        return (columns or _SIZE[0], rows or _SIZE[1])

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, and nothing else."""
        frame = f"{_CLEAR_LINE}\r\n".join(lines)
        _write(f"{_BEGIN}{_HOME}{frame}{_CLEAR_LINE}{_CLEAR_BELOW}{_END}".encode())

    def keys(self, timeout_s: float) -> list[str]:
        """Return what was pressed; earlier than in time if something woke us."""
        ready, _, _ = select.select([STDIN, self._woken], [], [], max(0.0, timeout_s))
        if self._woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
        if STDIN not in ready:
            return []
        data = os.read(STDIN, _KEY_BYTES)
        if not data:
            raise Killed(signal.SIGHUP)  # the window was closed
        return list(_parsed(data))


def _parsed(data: bytes) -> Iterator[str]:
    while data:
        for code, name in _KEYS.items():
            if data.startswith(code):
                yield name
                data = data[len(code) :]
                break
        else:
            yield data[:1].decode("ascii", "replace")
            data = data[1:]


@contextlib.contextmanager
def full_screen(woken: int, wake: int) -> Iterator[Screen]:
    """Give the whole screen; `woken` becomes readable when it is to be drawn anew."""
    before = termios.tcgetattr(STDIN)
    with _signals(wake):
        try:
            tty.setcbreak(STDIN)
            ours = termios.tcgetattr(STDIN)
            # A process that is suspended would leave its screen to the shell.
            ours[6][termios.VSUSP] = b"\x00"
            termios.tcsetattr(STDIN, termios.TCSANOW, ours)
            _write(_ENTER)
            yield Screen(woken)
        finally:
            with contextlib.suppress(OSError):
                _write(_LEAVE)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals(wake: int) -> Iterator[None]:
    """Let signals that would end us raise, and a new size wake us."""

    def killed(number: int, _frame: FrameType | None) -> None:
        raise Killed(number)

    def resized(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(wake, b".")

    handlers = {signal.SIGTERM: killed, signal.SIGHUP: killed, signal.SIGWINCH: resized}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(STDOUT, data) :]
