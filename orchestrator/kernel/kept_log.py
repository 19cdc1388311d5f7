"""The log in files of one's own: begun anew by size and by age, so many of them, and no older.

Each file is for its owner alone. A disk without room costs lines, and nothing else. It reads no
clock: how old a line is, the next one says.
"""

import contextlib
import logging
import logging.handlers
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Final

from orchestrator.kernel import logs

LOGGER: Final = logging.getLogger(__name__)
FILE_BYTES: Final = 10 * 1024 * 1024
FILES: Final = 5
"""With the one that is written: weeks of a busy worker, and at most 50 MiB."""
KEEP_S: Final = 14 * 24 * 3600.0
_APPENDED: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_MOMENT_AT: Final = len('{"time": "')
_MOMENT_CHARS: Final = len("2026-08-21T09:14:03.118Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Where a log is kept, and how much of it."""

    path: Path
    file_bytes: int = FILE_BYTES
    files: int = FILES
    """With the one that is written, at least two."""
    keep_s: float = KEEP_S
    """What is older goes, as soon as there is something newer to say."""


def keep(keeping: Keeping) -> None:
    """Write the log to a file as well, instead of the file that it was kept in before."""
    root = logging.getLogger()
    before = [handler for handler in root.handlers if isinstance(handler, _Kept)]
    if any(handler.keeping == keeping for handler in before):
        return
    handler = _Kept(keeping)  # first, so that one that cannot be opened changes nothing
    logs.prepare(handler)
    for old in before:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)


def keep_in(folder: Path, name: str) -> None:
    """Keep the log in a folder that may not be there yet; if that cannot be, the log says why."""
    path = folder / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keep(Keeping(path=path))
    except OSError as error:
        logs.event(LOGGER, logging.WARNING, "log.not_kept", path=str(path), why=str(error))


class _Kept(logging.handlers.RotatingFileHandler):
    """A log in files."""

    def __init__(self, keeping: Keeping) -> None:
        self.keeping = keeping
        self._began: float | None = None
        """When the first line of the file was written; `None` while it is empty."""
        super().__init__(
            keeping.path,
            maxBytes=keeping.file_bytes,
            backupCount=keeping.files - 1,
            encoding="utf-8",
        )
        self._is_tidy = False

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, _APPENDED, 0o600)
        self._began = _first_moment(Path(self.baseFilename))
        file = BufferedWriter(FileIO(descriptor, "a"))
        return TextIOWrapper(file, encoding=self.encoding, errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, after whatever has become too old was put away."""
        if not self._is_tidy:
            self._is_tidy = True
            self._tidy(record.created)
        super().emit(record)
        if self._began is None:
            self._began = record.created

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802 - logging's name
        """Begin anew what is long, and what is so old that its file would be kept beyond its time.

        A file spans at most its share of the time, so that whole files can go when they are old.
        """
        span_s = self.keeping.keep_s / self.keeping.files
        aged = self._began is not None and record.created - self._began > span_s
        if aged or super().shouldRollover(record):
            self._is_tidy = False
            return 1
        return 0

    def _tidy(self, now: float) -> None:
        """Remove what is older than it is kept, and what is more than is kept."""
        for number, path in self._older():
            with contextlib.suppress(OSError):
                if number > self.backupCount or now - path.stat().st_mtime > self.keeping.keep_s:
                    path.unlink()

    def _older(self) -> Iterator[tuple[int, Path]]:
        base = Path(self.baseFilename)
        with contextlib.suppress(OSError):
            for path in base.parent.iterdir():
                name, _, number = path.name.rpartition(".")
                if name == base.name and number.isdigit():
                    yield int(number), path


def _first_moment(path: Path) -> float | None:
    """Return when the first line of a log was written, as it says; nothing, if it does not."""
    try:
        with path.open("rb") as file:
            head = file.read(_MOMENT_AT + _MOMENT_CHARS)
        return datetime.fromisoformat(head[_MOMENT_AT:].decode("ascii")).timestamp()
    except (OSError, ValueError):
        return None
