"""The bytes of an archive, read by position.

A read behind the end is a refusal, never a short answer that somebody forgets to look at.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.kernel.ziparchive.problem import unsafe


class Source:
    """An open archive of a size that is looked up once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from `start`."""
        inside = 0 <= start <= start + length <= self.size
        data = os.pread(self._descriptor, length, start) if inside else b""
        if len(data) != length:
            raise unsafe("is truncated", hint="send the whole file again")
        return data


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Give the archive at `path` for the length of a block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Source(descriptor)
    finally:
        os.close(descriptor)
