"""What a program tells the service manager that started it: ready, reloading, stopping, alive.

It is systemd's protocol, which others speak as well: one datagram of `NAME=value` lines to the
socket that the environment names. Without such a socket nothing is said and nothing is missing. It
knows no unit and never waits: a manager that does not read must not stop a supervisor.

The variables are taken out of the environment when they are read. Whatever else is started must not
be able to speak in this program's name, nor believe that somebody counts its heartbeats.
"""

import contextlib
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final, Self

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"
VARIABLES: Final = (SOCKET, WATCHDOG, WATCHDOG_PID)
STATUS_CHARS: Final = 300
"""One line in `systemctl status`."""
_USEC: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Notifier:
    """The line to the manager."""

    address: str | None = None
    """A path, or `@` and the name of an abstract socket."""
    watchdog_s: float | None = None
    """How long the manager believes that this program lives without hearing of it."""

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str], pid: int) -> Self:
        """Return the line that the environment names, and let nobody else find it there."""
        address, watchdog, of_pid = (environ.pop(name, "").strip() for name in VARIABLES)
        if not address.startswith(("/", "@")):
            return cls()
        ours = of_pid in {"", str(pid)}
        counted = ours and watchdog.isascii() and watchdog.isdigit() and int(watchdog) > 0
        return cls(address, int(watchdog) / _USEC if counted else None)

    def variables(self, pid: int) -> dict[str, str]:
        """Return the environment from which another program in this process takes the line over."""
        if self.address is None:
            return {}
        counted = self.watchdog_s is not None
        watchdog = {WATCHDOG: str(int((self.watchdog_s or 0) * _USEC)), WATCHDOG_PID: str(pid)}
        return {SOCKET: self.address, **(watchdog if counted else {})}

    @property
    def is_heard(self) -> bool:
        """Tell whether there is a manager."""
        return self.address is not None

    @property
    def ping_s(self) -> float | None:
        """Return how often to say that one is alive: two pings may be lost."""
        return None if self.watchdog_s is None else self.watchdog_s / 3

    def ready(self, status: str = "") -> None:
        """Say that what was asked for, a start or a reload, is done."""
        self._say("READY=1", *_status(status))

    def reloading(self) -> None:
        """Say that a reload begins; the next `ready` ends it."""
        moment = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say("RELOADING=1", f"MONOTONIC_USEC={moment}")

    def stopping(self, status: str = "") -> None:
        """Say that this program ends by itself or because it was told to."""
        self._say("STOPPING=1", *_status(status))

    def status(self, text: str) -> None:
        """Say how things are, for people."""
        self._say(*_status(text))

    def alive(self, status: str = "") -> None:
        """Say that this program lives."""
        self._say("WATCHDOG=1", *_status(status))

    def extend(self, seconds: float, status: str = "") -> None:
        """Ask for so much more time, from now on, for the start or stop that is under way."""
        self._say(f"EXTEND_TIMEOUT_USEC={int(seconds * _USEC)}", *_status(status))

    def _say(self, *lines: str) -> None:
        if self.address is None:
            return
        name = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        # Lost words are said again with the next ping; whoever needs them for sure repeats them.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto("\n".join(lines).encode(), name)


def _status(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return (f"STATUS={plain[:STATUS_CHARS]}",)
