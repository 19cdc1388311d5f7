"""The journal of systemd, told what a line is about in fields of its own.

    journalctl WORKER=web JOB=job_… EVENT=attempt.ended

A line that goes to standard error is one text there, whatever is in it. Whoever is connected to the
journal anyway may hand it the same text as a datagram with fields, which `journalctl` finds without
reading every line. It knows no event, and never waits: what the journal does not take at once goes
the usual way.

Which of them we are connected to, its socket's own name says: no variable is needed, so a child
that inherits the descriptor finds it as well.
"""

import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

FIELDS: Final = ("machine", "worker", "job", "attempt", "session", "child", "pid")
"""The keys that are told as fields: what somebody looks for. The others are in the text alone."""
STDERR: Final = 2
IDENTIFIER: Final = "orchestrator"
_STREAM: Final = "stdout"
"""What the journal calls the socket to which standard error is connected."""
_DATAGRAMS: Final = "socket"
_PRIORITIES: Final[Mapping[int, int]] = MappingProxyType(
    {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
)
"""As syslog numbers them."""
_OWN: Final = {"pid": "CHILD_PID"}
"""What has another meaning there: the journal notes by itself who sends."""


class Journal:
    """The way to the journal that keeps what we write to standard error."""

    def __init__(self, address: Path) -> None:
        self._address = str(address)
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.setblocking(False)

    @classmethod
    def behind(cls, descriptor: int = STDERR) -> Self | None:
        """Return the journal that a descriptor leads to, if it leads to one."""
        try:
            with socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM) as stream:
                peer = stream.getpeername()
        except OSError:
            return None  # a file, a pipe, a terminal
        path = Path(peer) if isinstance(peer, str) and peer.startswith("/") else None
        if path is None or path.name != _STREAM or not path.parent.name.startswith("journal"):
            return None
        return cls(path.with_name(_DATAGRAMS))

    def take(self, text: str, level: int, name: str, keys: Mapping[str, object]) -> bool:
        """Hand over a line and what it is about; tell whether it was taken."""
        priority = next((told for least, told in _PRIORITIES.items() if level >= least), 7)
        fields = {
            "MESSAGE": text,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "EVENT": name,
            **{_OWN.get(key, key.upper()): str(keys[key]) for key in FIELDS if key in keys},
        }
        try:
            self._line.sendto(b"".join(map(_field, fields.items())), self._address)
        except OSError:
            # It is being started anew, reads too slowly, or the line is longer than it takes.
            return False
        return True


def _field(field: tuple[str, str]) -> bytes:
    """Return a field as the journal reads it: with its length, so that it may have line ends."""
    name, value = field
    raw = value.encode(errors="surrogateescape")
    return b"%s\n%s%s\n" % (name.encode(), len(raw).to_bytes(8, "little"), raw)
