"""Random bytes of the system, fetched in bulk.

Each fetch lets go of the interpreter, and whoever lets go of it beside a busy writer waits until
the writer does the same: that made an id cost as much as the transaction that stores it.
"""

import secrets
from typing import Final

_BULK: Final = 4096


class Chance:
    """A store of random bytes; none is given out twice."""

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return that many fresh random bytes (a few; for more ask the system)."""
        if self._at + count > len(self._bytes):
            self._bytes, self._at = secrets.token_bytes(max(_BULK, count)), 0
        self._at += count
        return self._bytes[self._at - count : self._at]
