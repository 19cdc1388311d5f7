"""A person at a terminal who reads questions and types answers."""

import contextlib
import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

PATIENCE_S = 15.0


class Startable(Protocol):
    """A command line."""

    def start(self, *arguments: str, **more: Any) -> "subprocess.Popen[bytes]":
        """Start it."""
        ...


@dataclass(frozen=True)
class Shell:
    """Starts whatever it is told, in a folder and with an environment."""

    cwd: Path
    env: Mapping[str, str]

    def start(self, *arguments: str, **more: Any) -> "subprocess.Popen[bytes]":
        """Start it."""
        return subprocess.Popen(arguments, cwd=self.cwd, env=self.env, **more)


class Conversation:
    """One program on a pseudo-terminal; everything that it shows is kept in `seen`."""

    def __init__(self, cli: Startable, *arguments: str, patience_s: float = PATIENCE_S) -> None:
        self.seen = ""
        self._patience_s = patience_s
        self._read = 0
        self._ours, theirs = pty.openpty()
        self._process = cli.start(
            *arguments,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)

    def expect(self, text: str) -> None:
        """Wait until a text has been shown that was not read before."""
        deadline = time.monotonic() + self._patience_s
        while text not in self.seen[self._read :]:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} was not shown: {self.seen[self._read :]!r}"
            assert self._more(left), f"it ended before {text!r}: {self.seen[self._read :]!r}"
        self._read = self.seen.index(text, self._read) + len(text)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and for the end of what is shown with it; then type a line.

        What is typed earlier may be shown, or forgotten: a program that asks for something secret
        begins by throwing away what was typed before.
        """
        self.expect(question)
        deadline = time.monotonic() + self._patience_s
        while not self.seen.endswith(": "):
            assert self._more(deadline - time.monotonic()), f"no question: {self.seen!r}"
        self._read = len(self.seen)
        os.write(self._ours, f"{text}\n".encode())

    def leave(self) -> int:
        """Press Ctrl-C, and return the exit code.

        It is pressed again as people do: Python does not hear of one that comes in the moment
        between the question and its waiting for an answer.
        """
        deadline = time.monotonic() + self._patience_s
        while "interrupted" not in self.seen and time.monotonic() < deadline:
            os.write(self._ours, b"\x03")
            again = time.monotonic() + 2
            while "interrupted" not in self.seen and time.monotonic() < again:
                self._more(0.2)
        return self.end()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._ours, b"\x03")

    def end(self) -> int:
        """Return its exit code."""
        while self._more(self._patience_s):
            pass
        return self._process.wait(self._patience_s)

    def _more(self, timeout_s: float) -> bool:
        """Read what is there within that time; tell whether anything may still come."""
        if select.select([self._ours], [], [], timeout_s)[0]:
            with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
                self.seen += os.read(self._ours, 65_536).decode(errors="replace")
                return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if error else self._patience_s)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)


def _take_terminal() -> None:
    """Make standard input the terminal of this session, so that Ctrl-C reaches it."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))
