"""What is SQLite's alone: its file, its settings, and what a failing disk does."""

import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import StoreBusy, VersionUnsupported
from orchestrator.server.store.group_store import GroupStore
from orchestrator.server.store.interface import Reader, Transaction
from orchestrator.server.store.migration import ours
from orchestrator.server.store.sqlite import open_sqlite
from tests.integration.store.world import TestClock
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
INSERT = "INSERT INTO file (sha256, size, created_us, used_us) VALUES (:name, 1, 0, 0)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "orchestrator.db"


def fresh(path: Path) -> GroupStore:
    """Open the database."""
    return open_sqlite(path, TestClock())


async def made(path: Path) -> None:
    """Make a database with a row, and leave it."""
    store = fresh(path)
    await store.write(lambda tx: tx.execute(INSERT, name="a"))
    await store.aclose()


async def test_the_writer_is_durable(path: Path) -> None:
    """The log is synced at each commit, and references are checked."""
    store = fresh(path)

    def settings(tx: Transaction) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync")
        return {name: tx.tuples(f"PRAGMA {name}")[0][0] for name in (*names, "foreign_keys")}

    assert await store.write(settings) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "fullfsync": 1,
        "checkpoint_fullfsync": 1,
        "foreign_keys": 1,
    }
    await store.aclose()


async def test_only_the_owner_reads_the_file(path: Path) -> None:
    """Keys and commands are nobody else's business."""
    await made(path)

    assert path.stat().st_mode & 0o077 == 0


async def test_a_newer_database_is_refused_untouched(path: Path) -> None:
    """An older program says that it is older, and does not write a byte."""
    await made(path)
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO migration VALUES (99, 'from_the_future', 'x', 0)")
    raw.close()
    before = path.read_bytes()

    with pytest.raises(VersionUnsupported, match="99"):
        fresh(path)

    assert path.read_bytes() == before


async def test_a_database_of_other_steps_is_refused_untouched(path: Path) -> None:
    """A step that was edited after it was taken is noticed by its checksum."""
    await made(path)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE migration SET checksum = 'other' WHERE number = 1")
    raw.close()
    before = path.read_bytes()

    with pytest.raises(VersionUnsupported):
        fresh(path)

    assert path.read_bytes() == before


async def test_somebody_elses_database_is_refused_untouched(path: Path) -> None:
    """A file that holds other tables is not taken for ours."""
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE bookmarks (url TEXT)")
    raw.close()
    before = path.read_bytes()

    with pytest.raises(VersionUnsupported, match="not one of ours"):
        fresh(path)

    assert path.read_bytes() == before


async def test_a_first_start_that_was_cut_off_is_taken_up_again(path: Path) -> None:
    """Killed just as the file was about to become one with a write-ahead log: a journal is left."""
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 1")
    raw.close()
    magic = bytes.fromhex("d9d505f920a163d7")
    journal = path.with_name(f"{path.name}-journal")
    journal.write_bytes(magic + struct.pack(">5I", 0, 0, 0, 512, 4096) + bytes(484))

    store = fresh(path)

    assert await store.write(lambda tx: tx.execute(INSERT, name="a")) == 1
    await store.aclose()
    assert not journal.exists()


async def test_a_newer_step_is_seen_in_the_log(path: Path, tmp_path: Path) -> None:
    """A crash may leave the newest step in the log only; it counts all the same."""
    await made(path)
    with sqlite3.connect(path, isolation_level=None) as raw:
        raw.execute("PRAGMA wal_autocheckpoint = 0")
        raw.execute("INSERT INTO migration VALUES (99, 'from_the_future', 'x', 0)")
        copy = tmp_path / "copy"
        copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{copy / path.name}{suffix}")
    raw.close()

    with pytest.raises(VersionUnsupported):
        fresh(copy / path.name)


async def test_opening_again_changes_nothing(path: Path) -> None:
    """A database that has taken every step takes none."""
    await made(path)
    store = fresh(path)

    def steps(reader: Reader) -> list[tuple[int, ...]]:
        return reader.tuples("SELECT number FROM migration ORDER BY number")

    assert await store.read(steps) == [(step.number,) for step in ours()]
    assert await store.read(lambda r: r.tuples("SELECT sha256 FROM file")) == [("a",)]
    await store.aclose()


async def test_a_full_database_says_so_and_recovers(path: Path) -> None:
    """Without room nothing is stored and everybody in the group is told; with room it goes on."""
    store = fresh(path)
    (pages,) = (await store.write(lambda tx: tx.tuples("PRAGMA page_count")))[0]
    await store.write(lambda tx: tx.tuples(f"PRAGMA max_page_count = {pages}"))

    def too_much(tx: Transaction) -> int:
        return tx.many(INSERT, [{"name": f"{index:01000}"} for index in range(1000)])

    with pytest.raises(StoreBusy) as refusal:
        await store.write(too_much)
    assert refusal.value.problem_code == "storage_full"

    await store.write(lambda tx: tx.tuples("PRAGMA max_page_count = 1000000"))
    await store.write(lambda tx: tx.execute(INSERT, name="after"))
    assert await store.read(lambda r: r.tuples("SELECT sha256 FROM file")) == [("after",)]
    await store.aclose()


async def test_another_programs_lock_is_waited_for_and_then_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who holds the file for long makes writes fail for now, and nothing else."""
    monkeypatch.setattr("orchestrator.server.store.sqlite_connection.BUSY_TIMEOUT_S", 0.05)
    store = fresh(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreBusy):
        await store.write(lambda tx: tx.execute(INSERT, name="a"))
    other.execute("ROLLBACK")
    other.close()

    assert await store.write(lambda tx: tx.execute(INSERT, name="a")) == 1
    await store.aclose()


async def test_a_query_that_takes_too_long_is_stopped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query without end does not keep the log from being moved into the file."""
    monkeypatch.setattr("orchestrator.server.store.sqlite_readers.QUERY_LIMIT_S", 0.0)
    store = open_sqlite(path, SystemClock())
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    with pytest.raises(StoreBusy):
        await store.read(lambda r: r.tuples(endless))

    assert await store.read(lambda r: r.tuples("SELECT 1")) == [(1,)]
    await store.aclose()


PROGRAM = """
import resource, signal, sys
import anyio
from pathlib import Path
from orchestrator.kernel.clock import SystemClock
from orchestrator.server.store.group_store import GroupStore
from orchestrator.server.store.sqlite import open_sqlite

INSERT = "INSERT INTO file (sha256, size, created_us, used_us) VALUES (:name, 1, 0, 0)"

async def write(store, name):
    await store.write(lambda tx: tx.execute(INSERT, name=name))
    print(name, flush=True)

async def main(path, fault):
    store = open_sqlite(Path(path), SystemClock())
    if fault == "commit":
        # From here on the log cannot grow: the next commit's write fails, as on a broken disk.
        await write(store, "before")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    for index in range(100_000):
        await write(store, f"{index:06}" * 20)

anyio.run(main, *sys.argv[1:])
"""


def run(path: Path, fault: str) -> subprocess.Popen[str]:
    """Start a program that writes rows and prints each one once it was answered."""
    command = [sys.executable, "-c", PROGRAM, str(path), fault]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


async def test_a_commit_that_fails_ends_the_process(path: Path) -> None:
    """Nobody is answered by a process that does not know what is on its disk."""
    process = run(path, "commit")
    answered, _ = process.communicate(timeout=15)

    assert process.returncode == 70
    assert answered.split() == ["before"]
    store = fresh(path)
    assert await store.read(lambda r: r.tuples("SELECT sha256 FROM file")) == [("before",)]
    await store.aclose()


async def test_a_commit_that_fails_answers_nobody(path: Path) -> None:
    """The hook hears of it first, and a store that lives on refuses everything from then on."""
    faults: list[BaseException] = []
    store = open_sqlite(path, TestClock(), fatal=faults.append)
    await store.write(lambda tx: tx.execute(INSERT, name="a"))

    def break_the_commit(tx: Transaction) -> None:
        # A reference that is checked at the COMMIT is the one commit that fails without a disk.
        tx.execute("PRAGMA defer_foreign_keys = ON")
        tx.execute("INSERT INTO job_file (job_id, sha256) VALUES ('no', 'no')")

    with pytest.raises(sqlite3.IntegrityError):
        await store.write(break_the_commit)

    assert len(faults) == 1
    with pytest.raises(sqlite3.IntegrityError):
        await store.write(lambda tx: tx.execute(INSERT, name="b"))
    await store.aclose()
    store = fresh(path)
    assert await store.read(lambda r: r.tuples("SELECT sha256 FROM file")) == [("a",)]
    await store.aclose()


async def test_what_was_answered_survives_a_kill(path: Path) -> None:
    """Every row that was acknowledged before a SIGKILL is there afterwards."""
    process = run(path, "kill")
    assert process.stdout is not None
    answered = [process.stdout.readline().strip() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    answered += process.communicate(timeout=15)[0].split("\n")[:-1]

    store = fresh(path)
    stored = {name for (name,) in await store.read(lambda r: r.tuples("SELECT sha256 FROM file"))}
    checked = await store.read(lambda r: r.tuples("PRAGMA integrity_check"))
    await store.aclose()
    assert set(answered) <= stored
    assert len(stored) <= len(answered) + 1
    assert checked == [("ok",)]


class BreakingClock:
    """A clock that fails once it is broken: the writer's thread cannot go on with it."""

    broken = False

    def now(self) -> float:
        """Fail, or stand still."""
        if self.broken:
            raise OverflowError
        return 0.0

    def monotonic(self) -> float:
        """Stand still."""
        return 0.0


async def test_a_writer_that_cannot_go_on_ends_the_process(path: Path) -> None:
    """A dead writer would leave everybody waiting, so the process is not left alive with it."""
    faults: list[BaseException] = []
    clock = BreakingClock()
    store = open_sqlite(path, clock, fatal=faults.append)
    clock.broken = True

    async with anyio.create_task_group() as group:
        group.start_soon(store.write, lambda tx: tx.execute(INSERT, name="a"))
        await until(lambda: _some(faults))
        group.cancel_scope.cancel()

    assert isinstance(faults[0], OverflowError)
    await store.aclose()


async def _some(faults: list[BaseException]) -> bool:
    return bool(faults)
