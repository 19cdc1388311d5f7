"""A database file that is damaged, cut, moved, or has another one's log."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from orchestrator.kernel.errors import JournalCorrupt, StoreBusy, VersionUnsupported
from tests.integration.store.test_sqlite import INSERT, fresh, made, path

__all__ = ["path"]


def harm(path: Path, kind: str) -> None:
    """Do to a database, or to its log, what a failing disk or a person does."""
    data = path.read_bytes()
    match kind:
        case "noise":
            path.write_bytes(b"not a database at all" * 500)
        case "cut in a page":
            path.write_bytes(data[:1024])
        case "cut between pages":
            path.write_bytes(data[: len(data) // 8192 * 4096])
        case "a page of noise":
            at = len(data) // 8192 * 4096
            path.write_bytes(data[:at] + b"\xa5" * 4096 + data[at + 4096 :])
        case _:
            other = path.with_name("other.db")
            with contextlib.closing(sqlite3.connect(other, isolation_level=None)) as raw:
                raw.execute("PRAGMA journal_mode = WAL")
                for name in ("url", "title"):
                    raw.execute(f"CREATE TABLE {name} (text TEXT)")
                    raw.execute(f"INSERT INTO {name} VALUES (hex(randomblob(9000)))")
                shutil.copy(f"{other}-wal", f"{path}-wal")


@pytest.mark.parametrize(
    "kind",
    [
        "noise",
        "cut in a page",
        "cut between pages",
        "a page of noise",
        "the log of another database",
    ],
)
async def test_a_damaged_database_is_refused_untouched(path: Path, kind: str) -> None:
    """A file that does not read back is kept as it is, for a person to look at."""
    await made(path)
    harm(path, kind)
    files = [found for found in (path, path.with_name(f"{path.name}-wal")) if found.exists()]
    before = [found.read_bytes() for found in files]

    with pytest.raises((JournalCorrupt, VersionUnsupported)) as refusal:
        fresh(path)

    assert isinstance(refusal.value, JournalCorrupt) or kind == "the log of another database"
    assert refusal.value.hint is not None
    assert [found.read_bytes() for found in files] == before


async def test_a_large_database_is_looked_over_for_a_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look ends with its time, and the start goes on."""
    await made(path)
    monkeypatch.setattr("orchestrator.server.store.sqlite.LOOK_S", -1.0)
    monkeypatch.setattr("orchestrator.server.store.sqlite._STEPS_BETWEEN_LOOKS", 1)

    store = fresh(path)

    assert await store.read(lambda r: r.tuples("SELECT sha256 FROM file")) == [("a",)]
    await store.aclose()


async def test_damage_that_is_met_later_is_told(path: Path) -> None:
    """A page that goes bad under a running server is a broken disk, and the hint says so."""
    store = fresh(path)
    await store.write(lambda tx: tx.many(INSERT, [{"name": f"{n:0500}"} for n in range(500)]))
    await store.aclose()
    store = fresh(path)
    data = path.read_bytes()
    kept = 16 * 4096  # the schema, which is read first
    path.write_bytes(data[:kept] + b"\xa5" * (len(data) - kept))

    with pytest.raises(JournalCorrupt) as told:
        await store.read(lambda r: r.tuples("SELECT count(*), max(length(sha256)) FROM file"))

    assert "restore" in str(told.value.hint)
    await store.aclose()


async def test_a_database_that_was_moved_is_noticed(path: Path) -> None:
    """Nothing is written into a file without a name; when it is back, it is written again."""
    await made(path)
    store = fresh(path)
    aside = path.with_name("aside")

    path.rename(aside)
    with pytest.raises(StoreBusy) as gone:
        await store.write(lambda tx: tx.execute(INSERT, name="b"))
    path.write_bytes(aside.read_bytes())
    with pytest.raises(StoreBusy) as replaced:
        await store.write(lambda tx: tx.execute(INSERT, name="c"))
    aside.rename(path)
    await store.write(lambda tx: tx.execute(INSERT, name="d"))

    assert gone.value.problem_code == replaced.value.problem_code == "storage_failed"
    stored = await store.read(lambda r: r.tuples("SELECT sha256 FROM file ORDER BY 1"))
    assert stored == [("a",), ("d",)]
    await store.aclose()
