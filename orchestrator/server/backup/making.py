"""Make a backup of a data directory, whether or not its server runs.

The database is copied first, as it is at one moment. What it names of uploads and long output never
changes from then on, but for two things: housekeeping, which stays away while a backup is made, and
the middle of a very long output, whose loss is then told in the copy as it is told in the original.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from orchestrator import __version__
from orchestrator.kernel.errors import NotFound, RequestInvalid, StateUnavailable
from orchestrator.kernel.files import Lock
from orchestrator.server.backup.containers import Advance, Writer, writer
from orchestrator.server.backup.manifest import (
    CHECKSUM,
    DATABASE,
    FORM,
    MANIFEST,
    Entry,
    Manifest,
)
from orchestrator.server.output_log import OutputFiles
from orchestrator.server.store.sqlite_snapshot import snapshot

LOCK: Final = "backup.lock"
"""Held while a backup is made, and while housekeeping removes what is old."""
Progress = Callable[[str, int], AbstractContextManager[Advance]]
_FILES: Final = "SELECT sha256, size FROM file ORDER BY sha256"
# What still grows comes first: the earlier it is copied, the less falls out of it.
_PARTS: Final = """
    SELECT part.job_id, part.attempt, part.start, part.length
    FROM output_part AS part
    JOIN attempt ON attempt.job_id = part.job_id AND attempt.number = part.attempt
    ORDER BY attempt.outcome IS NOT NULL, part.job_id, part.attempt, part.start
"""


@contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """Give a folder beside the target: that is where there has to be room.

    Its name is always the same, so that one which was left by a killed backup is removed.
    """
    folder = target.with_name(f".{target.name}.working")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file that the copied database names."""

    name: str
    path: Path
    size: int
    part: tuple[str, int, int] | None = None


def make(data_dir: Path, target: Path, progress: Progress, *, made_at: datetime) -> Manifest:
    """Make a backup of `data_dir` at `target`; return its manifest. Blocks."""
    database = data_dir / DATABASE
    if not database.is_file():
        raise NotFound(
            f"there is no database in {data_dir}",
            hint="name the server's folder with --data-dir; a database on PostgreSQL is saved with "
            "pg_dump, see ORCHESTRATOR.md",
        )
    if target.resolve().is_relative_to(data_dir.resolve()):
        raise RequestInvalid(
            f"{target} lies in the folder that is saved",
            hint="choose a place outside of it, best on another disk",
        )
    with Lock(data_dir / LOCK).take("a backup or a clean-up", wait=True):
        making = writer(target)
        try:
            with _workshop(target) as folder:
                made = _Making(data_dir, making, folder, progress).run(made_at)
            making.finish()
        except OSError as error:
            making.discard()
            raise StateUnavailable(
                f"the backup {target} cannot be written: {error.strerror or error}",
                hint="nothing is left of it; check the disk's room and the folder's permissions",
            ) from error
        except BaseException:
            making.discard()
            raise
    return made


class _Making:
    """One backup in the making."""

    def __init__(self, data_dir: Path, making: Writer, folder: Path, progress: Progress) -> None:
        self._data_dir = data_dir
        self._making = making
        self._folder = folder
        self._progress = progress
        self._entries: list[Entry] = []
        self._lost: list[str] = []

    def run(self, made_at: datetime) -> Manifest:
        """Copy everything, the manifest last."""
        source, copied = self._data_dir / DATABASE, self._folder / DATABASE
        with (
            self._progress("database", source.stat().st_size) as advance,
            snapshot(source, copied, advance) as copy,
        ):
            (schema,) = copy.execute("SELECT max(number) FROM migration").fetchone()
            (jobs,) = copy.execute("SELECT count(*) FROM job").fetchone()
            self._save_files(copy)
        size = copied.stat().st_size
        with self._progress("saving", size) as advance:
            self._entries.append(self._making.link(DATABASE, copied, size, advance))
        manifest = Manifest(
            form=FORM,
            program=__version__,
            schema_version=schema,
            made_at=made_at,
            jobs=jobs,
            entries=self._entries,
            lost=self._lost,
        )
        self._put_manifest(manifest)
        return manifest

    def _save_files(self, copy: sqlite3.Connection) -> None:
        wanted = [*self._parts(copy), *self._uploads(copy)]
        with self._progress("files", sum(one.size for one in wanted)) as advance:
            for one in wanted:
                self._save(copy, one, advance)

    def _uploads(self, copy: sqlite3.Connection) -> Iterator[_Wanted]:
        for name, size in copy.execute(_FILES):
            place = f"files/objects/{name[:2]}/{name}"
            yield _Wanted(place, self._data_dir / place, size)

    def _parts(self, copy: sqlite3.Connection) -> Iterator[_Wanted]:
        outputs = OutputFiles(self._data_dir / "output")
        for job_id, attempt, start, length in copy.execute(_PARTS):
            path = outputs.path(job_id, attempt, start)
            name = path.relative_to(self._data_dir).as_posix()
            yield _Wanted(name, path, length, (job_id, attempt, start))

    def _save(self, copy: sqlite3.Connection, one: _Wanted, advance: Advance) -> None:
        """Save a file, or note that it is gone: the rest is worth saving all the same."""
        way = self._making.link if one.part is None else self._making.put
        try:
            entry = way(one.name, one.path, one.size, advance)
        except (FileNotFoundError, EOFError):
            if one.part is None or not fell_out(copy, *one.part):
                self._lost.append(one.name)
            return
        if one.part is None and entry.sha256 != one.path.name:
            self._lost.append(one.name)
        self._entries.append(entry)

    def _put_manifest(self, manifest: Manifest) -> None:
        text = manifest.model_dump_json(indent=1).encode()
        words = f"{sha256(text).hexdigest()}  {MANIFEST}\n".encode()
        for name, data in ((MANIFEST, text), (CHECKSUM, words)):
            path = self._folder / name
            path.write_bytes(data)
            self._making.put(name, path, len(data), _nobody_watches)


def _nobody_watches(_: int) -> None:
    return


_OPEN: Final = """
    SELECT output.gap_start, output.gap_end, output.length, part.length, part.own_bytes
    FROM output
    JOIN attempt ON attempt.job_id = output.job_id AND attempt.number = output.attempt
    JOIN output_part AS part ON part.job_id = output.job_id AND part.attempt = output.attempt
    WHERE output.job_id = ? AND output.attempt = ? AND part.start = ? AND attempt.outcome IS NULL
"""
_WIDEN: Final = """
    UPDATE output SET gap_start = ?, gap_end = ?, dropped_bytes = dropped_bytes + ?
    WHERE job_id = ? AND attempt = ?
"""
_FORGET: Final = "DELETE FROM output_part WHERE job_id = ? AND attempt = ? AND start = ?"


def fell_out(copy: sqlite3.Connection, job_id: str, attempt: int, start: int) -> bool:
    """Tell in the copy that a part of an output that still grew fell out of its middle since.

    Parts fall out in order behind the head, so a gap only ever grows at its end. `False` when that
    is not what has happened.
    """
    found = copy.execute(_OPEN, (job_id, attempt, start)).fetchone()
    if found is None:
        return False
    gap_start, gap_end, _, length, own_bytes = found
    if start == 0 or (gap_end and gap_end != start):
        return False
    copy.execute(
        _WIDEN, (gap_start if gap_end else start, start + length, own_bytes, job_id, attempt)
    )
    copy.execute(_FORGET, (job_id, attempt, start))
    return True
