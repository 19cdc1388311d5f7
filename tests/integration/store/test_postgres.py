"""What is PostgreSQL's alone: who is let in, and what becomes of a connection that breaks."""

import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial

import anyio
import psycopg
import pytest

from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import (
    AlreadyRunning,
    ConfigInvalid,
    OrchestratorError,
    RequestInvalid,
    StoreBusy,
    VersionUnsupported,
)
from orchestrator.server.facts import Fact, KeysChanged, NewsLost
from orchestrator.server.store import postgres as store_postgres
from orchestrator.server.store import postgres_server
from orchestrator.server.store.group_store import GroupStore
from orchestrator.server.store.interface import Reader, Transaction
from orchestrator.server.store.migration import Migration, ours
from orchestrator.server.store.postgres import open_postgres
from orchestrator.server.store.postgres_engine import WRITERS
from tests.support.postgres import PostgresServer
from tests.support.severing import Door, door_to

INSERT = "INSERT INTO file (sha256, size, created_us, used_us) VALUES (:name, 1, 0, 0)"
COUNT_UP = "UPDATE lease_clock SET now_lease_us = :now WHERE one = 1"
DUMP = """
    SELECT table_name, column_name, data_type, collation_name FROM information_schema.columns
    WHERE table_schema = 'public' ORDER BY 1, 2
"""


@pytest.fixture
def name(postgres: PostgresServer) -> Iterator[str]:
    """A clean database."""
    clean = postgres.clean_database()
    yield clean
    postgres.give_back(clean)


def names(reader: Reader) -> list[str]:
    """Return which rows are there."""
    return [name for (name,) in reader.tuples("SELECT sha256 FROM file ORDER BY sha256")]


def insert(tx: Transaction, *, name: str) -> None:
    """Store a row, and tell of it."""
    tx.execute(INSERT, name=name)
    tx.announce(KeysChanged())


def count_up(tx: Transaction) -> None:
    """Read a number, think, and write one more: what two at once would get wrong."""
    ((now,),) = tx.tuples("SELECT now_lease_us FROM lease_clock")
    tx.tuples("SELECT pg_sleep(0.001)")
    tx.execute(COUNT_UP, now=now + 1)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[GroupStore]:
    """Open a store and close it."""
    store = open_postgres(url, SystemClock())
    try:
        yield store
    finally:
        await store.aclose()


async def test_commits_are_synced_and_text_is_bytes(postgres: PostgresServer, name: str) -> None:
    """A lazy default of the database does not count, and no order depends on a language."""
    postgres.ask(name, f"ALTER DATABASE {name} SET synchronous_commit = off")

    async with opened(postgres.url(name)) as store:
        assert await store.write(lambda tx: tx.tuples("SHOW synchronous_commit")) == [("on",)]

    text = [row for row in postgres.ask(name, DUMP) if row[2] == "text" and row[0] == "job"]
    assert {collation for *_, collation in text} == {"C"}


async def test_a_step_takes_as_long_as_it_takes(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large table is not changed in the time that a request has; requests have it as before."""
    monkeypatch.setitem(postgres_server._SETTINGS, "statement_timeout", 300)
    name = postgres.new_database()
    slow = Migration(len(ours()) + 1, "slow", "SELECT pg_sleep(0.5);")
    monkeypatch.setattr(store_postgres, "ours", lambda: (*ours(), slow))

    async with opened(postgres.url(name)) as store:
        assert await store.write(lambda tx: tx.tuples("SHOW statement_timeout")) == [("300ms",)]

    steps = postgres.ask(name, "SELECT name FROM migration WHERE name = 'slow'")
    assert steps == [("slow",)]


async def test_a_newer_database_is_refused_untouched(postgres: PostgresServer) -> None:
    """An older program says that it is older, and changes nothing."""
    name = postgres.clean_database()
    postgres.ask(name, "INSERT INTO migration VALUES (99, 'from_the_future', 'x', 0)")
    before = postgres.ask(name, DUMP)

    with pytest.raises(VersionUnsupported, match="99"):
        open_postgres(postgres.url(name), SystemClock())

    assert postgres.ask(name, DUMP) == before


async def test_somebody_elses_database_is_refused_untouched(postgres: PostgresServer) -> None:
    """A database that holds other tables is not taken for ours."""
    name = postgres.new_database()
    postgres.ask(name, "CREATE TABLE migration (version TEXT)")
    before = postgres.ask(name, DUMP)

    with pytest.raises(VersionUnsupported, match="not ours") as refusal:
        open_postgres(postgres.url(name), SystemClock())

    assert refusal.value.hint
    assert postgres.ask(name, DUMP) == before


def test_a_database_in_which_we_could_not_live_is_refused(postgres: PostgresServer) -> None:
    """Wrong encoding, read-only, no right to make tables, no such name: each has its own words."""
    latin = postgres.new_database("ENCODING 'LATIN1' LOCALE 'C'")
    frozen = postgres.new_database()
    postgres.ask("postgres", f"ALTER DATABASE {frozen} SET default_transaction_read_only = on")
    closed = postgres.new_database()
    postgres.ask(closed, "CREATE ROLE guest LOGIN")
    guest = postgres.url(closed).replace("postgres@", "guest@")

    for url, words in (
        (postgres.url(latin), "LATIN1"),
        (postgres.url(frozen), "read-only"),
        (guest, "does not let us do"),
        (postgres.url("nowhere"), "does not exist"),
        (postgres.url(closed).replace("postgres@", "nobody_known@"), "nobody_known"),
        ("postgresql://u:se%zzcret@h/x", "cannot be understood"),
    ):
        with pytest.raises(ConfigInvalid, match=words) as refusal:
            open_postgres(url, SystemClock())
        assert refusal.value.hint
        assert "cret" not in f"{refusal.value}{refusal.value.__cause__}"


def test_a_wrong_password_is_told_without_telling_it(postgres: PostgresServer) -> None:
    """The message says who was refused where, and the password is in nothing that is shown."""
    name = postgres.new_database()
    postgres.ask(name, "CREATE ROLE locked LOGIN PASSWORD 'right'")
    postgres.lock("locked")
    url = postgres.url(name).replace("postgres@", "locked:wr0ng@")

    with pytest.raises(ConfigInvalid, match="password") as refusal:
        open_postgres(url, SystemClock())

    assert "locked" in refusal.value.message
    assert "wr0ng" not in f"{refusal.value!r} {refusal.value.hint} {refusal.value.__cause__!r}"


def test_a_database_that_is_away_may_come_back(postgres: PostgresServer) -> None:
    """Nobody at the address is a reason to try again, and not a wrong setting."""
    with pytest.raises(StoreBusy, match="cannot be reached") as refusal:
        open_postgres("postgresql://u:secret@127.0.0.1:1/x", SystemClock())

    assert refusal.value.problem_code == "storage_unreachable"
    assert refusal.value.exit_code == 75
    assert "secret" not in str(refusal.value)
    assert "postgresql://u@127.0.0.1:1/x" in refusal.value.message
    assert "refused, so nobody listens there" in refusal.value.message
    assert "start PostgreSQL" in str(refusal.value.hint)


async def test_one_server_for_each_database(
    postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second server that means to be alone is refused until the first one has gone."""
    monkeypatch.setitem(_settings(), "lock_timeout", 100)
    first = open_postgres(postgres.url(name), SystemClock(), alone=True)
    try:
        with pytest.raises(AlreadyRunning, match="another server"):
            open_postgres(postgres.url(name), SystemClock(), alone=True)
    finally:
        await first.aclose()

    second = open_postgres(postgres.url(name), SystemClock(), alone=True)
    await second.aclose()


def _settings() -> dict[str, str | int]:
    from orchestrator.server.store import postgres_server  # noqa: PLC0415  # for one test

    return postgres_server._SETTINGS


async def test_operations_of_two_servers_take_turns(postgres: PostgresServer, name: str) -> None:
    """What one loads is still true when it writes, whoever else is writing."""
    async with opened(postgres.url(name)) as one, opened(postgres.url(name)) as other:
        async with anyio.create_task_group() as group:
            for store in (one, other) * 30:
                group.start_soon(store.write, count_up)
        ((now,),) = await one.read(lambda r: r.tuples("SELECT now_lease_us FROM lease_clock"))

    assert now == 60


async def test_a_lock_that_is_kept_too_long_makes_writes_fail_for_now(
    postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who holds the writers' lock is waited for, and then reported; reading goes on."""
    monkeypatch.setitem(_settings(), "lock_timeout", 100)
    async with opened(postgres.url(name)) as store:
        with psycopg.connect(postgres.url(name)) as other:
            other.execute(f"SELECT pg_advisory_xact_lock({WRITERS})".encode())
            with pytest.raises(StoreBusy, match="in time"):
                await store.write(partial(insert, name="a"))
            assert await store.read(names) == []

        await store.write(partial(insert, name="a"))
        assert await store.read(names) == ["a"]


async def test_a_query_that_takes_too_long_is_stopped(
    postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query without end does not keep its connection for ever."""
    monkeypatch.setattr("orchestrator.server.store.postgres_readers.QUERY_LIMIT_S", 0.05)
    async with opened(postgres.url(name)) as store:
        with pytest.raises(StoreBusy):
            await store.read(lambda r: r.tuples("SELECT pg_sleep(10)"))

        assert await store.read(lambda r: r.tuples("SELECT 1")) == [(1,)]


async def test_connections_that_were_cut_are_made_again(
    postgres: PostgresServer, name: str
) -> None:
    """An administrator who cuts every connection is not noticed by anybody who asks."""
    async with opened(postgres.url(name)) as store:
        await store.write(partial(insert, name="a"))
        await store.read(names)
        for again in ("b", "c"):
            postgres.cut_connections(name)
            assert await store.read(names)
            postgres.cut_connections(name)
            await store.write(partial(insert, name=again))

        assert await store.read(names) == ["a", "b", "c"]


async def test_an_operation_is_run_again_when_its_connection_breaks(
    postgres: PostgresServer, name: str
) -> None:
    """What was written so far is gone with the transaction, so the second run is the first."""
    heard: list[Fact] = []
    runs = 0

    def operation(tx: Transaction) -> int:
        nonlocal runs
        runs += 1
        insert(tx, name="a")
        if runs == 1:
            postgres.cut_connections(name)
        return len(names(tx))

    async with opened(postgres.url(name)) as store:
        store.subscribe(heard.extend)
        assert await store.write(operation) == 1

        assert runs == 2
        assert await store.read(names) == ["a"]
        assert heard == [KeysChanged()]


async def test_what_cannot_be_stored_hurts_nobody_else(postgres: PostgresServer, name: str) -> None:
    """A text that this database has no room for is its sender's mistake, not the group's."""
    async with opened(postgres.url(name)) as store:
        with pytest.raises(RequestInvalid, match="NUL"):
            await store.write(partial(insert, name="a\0b"))

        await store.write(partial(insert, name="a"))
        assert await store.read(names) == ["a"]


@pytest.fixture
def door(postgres: PostgresServer) -> Iterator[Door]:
    """A network that can be cut at a word."""
    with door_to(postgres.port) as it:
        yield it


def through(door: Door, postgres: PostgresServer, name: str) -> str:
    """Return the address of a database behind the door."""
    return postgres.url(name).replace(f":{postgres.port}/", f":{door.port}/")


@pytest.mark.parametrize("passes", [True, False])
async def test_a_commit_that_is_not_answered_is_looked_up(
    postgres: PostgresServer, name: str, door: Door, *, passes: bool
) -> None:
    """Whether or not it reached the database, it counts once, is answered, and is told once."""
    heard: list[Fact] = []
    runs = 0

    def operation(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        insert(tx, name="a")

    async with opened(through(door, postgres, name)) as store:
        store.subscribe(heard.extend)
        door.slam_at(b"COMMIT", passes=passes)
        await store.write(operation)

        assert door.slammed == 1
        assert runs == (1 if passes else 2)
        assert await store.read(names) == ["a"]
        assert heard == [KeysChanged()]


async def test_a_commit_that_nobody_can_look_up_is_said_to_be_unknown(
    postgres: PostgresServer, name: str, door: Door
) -> None:
    """While the database stays away nothing is promised; when it is back, all look again."""
    heard: list[Fact] = []

    def shut() -> None:
        door.closed = True

    async with opened(through(door, postgres, name)) as store:
        store.subscribe(heard.extend)
        door.when_slammed = shut
        door.slam_at(b"COMMIT", passes=True)
        with pytest.raises(StoreBusy, match="during a commit") as refusal:
            await store.write(partial(insert, name="a"))
        assert refusal.value.problem_code == "commit_unknown"
        assert heard == []

        door.closed = False
        await store.write(partial(insert, name="b"))
        assert await store.read(names) == ["a", "b"]
        assert heard == [NewsLost(), KeysChanged()]


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_what_was_answered_survives_the_death_of_the_database() -> None:
    """The database is killed again and again under a load; every answered row is there."""
    answered: set[str] = set()
    done = False

    with PostgresServer(durable=True) as server:
        name = server.clean_database()

        def kill_and_start() -> None:
            for _ in range(3):
                before = len(answered)
                while len(answered) < before + 20:
                    pass_time.wait(0.005)
                server.stop(signal.SIGQUIT)
                server.start()

        async def write(lane: int) -> None:
            index = 0
            while not done:
                row = f"{lane}-{index}"
                index += 1
                with contextlib.suppress(StoreBusy):
                    await store.write(partial(insert, name=row))
                    answered.add(row)

        pass_time = threading.Event()
        async with opened(server.url(name)) as store, anyio.create_task_group() as group:
            for lane in range(4):
                group.start_soon(write, lane)
            await anyio.to_thread.run_sync(kill_and_start)
            done = True

        async with opened(server.url(name)) as store:
            stored = set(await store.read(names))
    assert answered <= stored
    assert len(answered) >= 60


def test_our_errors_are_all_that_a_start_can_raise(postgres: PostgresServer) -> None:
    """Whatever the database does to us, a person gets a sentence and a hint."""
    name = postgres.new_database()
    postgres.ask("postgres", f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    postgres.ask(name, "CREATE ROLE late LOGIN")

    with pytest.raises(OrchestratorError) as refusal:
        open_postgres(postgres.url(name).replace("postgres@", "late@"), SystemClock())

    assert refusal.value.hint
