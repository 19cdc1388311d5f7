"""Bring a backup back into an empty data directory, or only prove that it could be.

Nothing that was not over when it was made runs by itself: the server does not know what happened
since, so people look first. The words of the first keys are in no backup: those that people hold go
on working, and new ones are written beside them.
"""

import secrets
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import JournalCorrupt, StateUnavailable, cause
from orchestrator.kernel.files import Lock, private_dir
from orchestrator.server.access.first_keys import provide_more_keys
from orchestrator.server.backup import staging
from orchestrator.server.backup.containers import (
    Advance,
    hashed,
    is_about,
    pieces,
    save,
    size_of,
)
from orchestrator.server.backup.making import Progress
from orchestrator.server.backup.manifest import (
    CHECKSUM,
    DATABASE,
    MANIFEST,
    Entry,
    Manifest,
    compare,
    damaged,
    parse,
    require_name,
)
from orchestrator.server.operations.bulk import end_bulks
from orchestrator.server.operations.restoration import LEAP, end_sessions, hold_restored
from orchestrator.server.operations.schedules import pass_over_all
from orchestrator.server.store.interface import Store
from orchestrator.server.store.opening import open_store
from orchestrator.server.store.sqlite import refuse_what_is_not_ours
from orchestrator.server.store.sqlite_snapshot import check

_ABOUT_BYTES: Final = 1024**3
"""Of a manifest: far more than one with millions of files has."""


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """What came of it."""

    manifest: Manifest
    held: int
    """Jobs that were not over, and wait for somebody to look at them."""


def restore(source: Path, data_dir: Path, progress: Progress, clock: Clock) -> BroughtBack:
    """Bring a backup back, or change nothing. Blocks."""
    folder = private_dir(data_dir)
    with Lock(folder / staging.LOCK).take("a server"):
        ready = staging.begin(folder)
        try:
            with progress("restoring", size_of(source)) as advance:
                manifest = _read(source, ready, advance, everything=True)
            held = _settle(None, ready / DATABASE, manifest, clock, keys=ready)
        except BaseException:
            staging.discard(folder)
            raise
        staging.finish(folder)
    return BroughtBack(manifest, held)


def verify(source: Path, progress: Progress) -> Manifest:
    """Read all of a backup, and raise unless it could be brought back. Changes nothing."""
    with (
        tempfile.TemporaryDirectory() as folder,
        progress("verifying", size_of(source)) as advance,
    ):
        return _read(source, Path(folder), advance, everything=False)


def settle(database: str | None, data_dir: Path, clock: Clock) -> int:
    """Hold what was not over in data that were brought back by other means; return how many."""
    folder = private_dir(data_dir)
    with Lock(folder / staging.LOCK).take("a server"):
        staging.require_restored(folder)
        return _settle(database, folder / DATABASE, None, clock, keys=None)


def _read(source: Path, folder: Path, advance: Advance, *, everything: bool) -> Manifest:
    """Copy a backup's files (but for `everything` only its database), and prove all of them."""
    about: dict[str, bytes] = {}
    found: dict[str, Entry] = {}
    try:
        for name, file, size in pieces(source):
            if is_about(name):
                about[name] = file.read(_ABOUT_BYTES)
                continue
            require_name(name)
            if everything or name == DATABASE:
                path = folder / name
                private_dir(path.parent)
                digest = save(path, file, size, advance)
            else:
                digest = hashed(file, size, advance)
            found[name] = Entry(name=name, size=size, sha256=digest)
    except EOFError:
        raise damaged("it ends too early") from None
    except OSError as error:
        raise StateUnavailable(
            f"the backup cannot be read or brought back: {error.strerror or error}",
            hint="nothing was changed; check the disk's room and the folder's permissions",
        ) from error
    for name in (MANIFEST, CHECKSUM):
        if name not in about:
            raise damaged(f"{name} is missing")
    manifest = parse(about[MANIFEST], about[CHECKSUM])
    compare(manifest, found)
    _check_database(folder / DATABASE)
    return manifest


def _check_database(path: Path) -> None:
    """Refuse a database that is of a newer program, or does not read back."""
    try:
        refuse_what_is_not_ours(path)
        with closing(sqlite3.connect(path)) as raw:
            check(raw, path)
    except (sqlite3.Error, JournalCorrupt) as error:
        raise damaged(f"its database: {error}") from error


def _settle(
    database: str | None, path: Path, manifest: Manifest | None, clock: Clock, *, keys: Path | None
) -> int:
    try:
        return anyio.run(_settled, database, path, manifest, clock, keys)
    except BaseExceptionGroup as group:
        raise cause(group) from group


async def _settled(
    database: str | None, path: Path, manifest: Manifest | None, clock: Clock, keys: Path | None
) -> int:
    store = await anyio.to_thread.run_sync(open_store, database, path, clock)
    try:
        held = await hold_all(store, manifest, leap=secrets.randbelow(LEAP))
        if keys is not None:
            await provide_more_keys(store, keys, clock)
        return held
    finally:
        await store.aclose()


async def hold_all(store: Store, manifest: Manifest | None, *, leap: int) -> int:
    """End every session and hold every job that was not over; return how many were not.

    `leap` is a number below `LEAP`, another one for each restore: no two number tries alike.
    Nor is a moment of a schedule made up for that has come since, nor an order for many jobs gone
    on with: somebody has seen to it then.
    """
    await store.write(end_sessions)
    await store.write(pass_over_all)
    await store.write(end_bulks)
    made_at = None if manifest is None else manifest.made_at
    held, after = 0, ""
    while True:
        some, after = await store.write(
            partial(hold_restored, after=after, made_at=made_at, leap=leap)
        )
        held += some
        if not some:
            return held
