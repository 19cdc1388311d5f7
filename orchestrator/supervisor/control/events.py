"""The last events of this process, for whoever asks: what the log says, with a number each.

It is one more handler of the log, so nothing is told here that is not logged, and nothing has to be
told twice. It keeps a bounded number, and nobody who reads is waited for.
"""

import collections
import json
import logging
import threading
from collections.abc import AsyncGenerator
from typing import Final

import anyio

from orchestrator.kernel import logs
from orchestrator.kernel.bell import Bell

KEPT: Final = 1000
_LOOK_S: Final = 1.0
"""A record of another thread cannot wake the loop, so that looks, too."""


class Events(logging.Handler):
    """Keeps the last events."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._kept: collections.deque[tuple[int, str]] = collections.deque(maxlen=KEPT)
        self._count = 0
        self._came = Bell()
        self._loop_thread = threading.get_ident()
        logs.prepare(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one; what cannot be formatted is not worth an error here."""
        try:
            line = self.format(record)
        except (TypeError, ValueError):
            return
        self._count += 1
        self._kept.append((self._count, line))
        if threading.get_ident() == self._loop_thread:
            self._came.ring()

    def since(self, number: int) -> list[bytes]:
        """Return those after a number, each as a line of JSON with its own number."""
        return [
            json.dumps({"seq": seq, **json.loads(line)}).encode() + b"\n"
            for seq, line in list(self._kept)
            if seq > number
        ]

    async def follow(self, number: int) -> AsyncGenerator[bytes, None]:
        """Yield those after a number, and then each that comes."""
        while True:
            for line in self.since(number):
                yield line
                number = json.loads(line)["seq"]
            if self._count <= number:
                await self._came.next(deadline=anyio.current_time() + _LOOK_S)
