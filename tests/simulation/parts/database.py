"""The server's database: the real schema and the real transaction, on SQLite in memory.

One connection serves seed after seed, emptied in between: its compiled statements are worth more
than all the rest. Triggers watch every row that changes, so that no wrong change stays unseen,
whoever made it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from orchestrator.server.facts import Fact
from orchestrator.server.store.interface import Operation, Query
from orchestrator.server.store.sqlite import _migrate
from orchestrator.server.store.sqlite_connection import (
    STATEMENTS_CACHED,
    SqliteConnection,
    _adapt_words,
    translated,
)
from orchestrator.server.store.sqlite_engine import SqliteTransaction
from tests.simulation.parts.rivals import NOT_FOR

T = TypeVar("T")
TERMINAL: Final = "('succeeded', 'failed', 'cancelled', 'expired')"
NEXT: Final = "1 + max(OLD.attempt, coalesce(OLD.attempt_floor, 0))"
"""The number of the next attempt: no worker can have seen it, whatever a restore took back."""
WATCHES: Final[dict[str, tuple[str, str, str]]] = {
    "terminal_stays": (
        "UPDATE ON job",
        f"""OLD.state IN {TERMINAL} AND (NEW.state <> OLD.state OR NEW.reason IS NOT OLD.reason
        OR NEW.exit_code IS NOT OLD.exit_code OR NEW.result IS NOT OLD.result)""",
        "'I5', 'a finished job changed: ' || OLD.id",
    ),
    "attempts_rise": (
        "UPDATE OF attempt ON job",
        f"NEW.attempt NOT IN (OLD.attempt, {NEXT})",
        "'I8', 'attempt ' || OLD.attempt || ' became ' || NEW.attempt || ' of ' || OLD.id",
    ),
    "claims_raise": (
        "UPDATE OF state ON job",
        f"NEW.state = 'leased' AND OLD.state <> 'leased' AND NEW.attempt <> {NEXT}",
        "'I8', 'a claim did not raise the attempt of ' || OLD.id",
    ),
    "claims_are_live": (
        "UPDATE OF session_id ON job",
        """NEW.session_id IS NOT NULL AND NEW.session_id IS NOT OLD.session_id
        AND (SELECT ended_us FROM session WHERE id = NEW.session_id) IS NOT NULL""",
        "'I8', NEW.id || ' was given to a session that is over: ' || NEW.session_id",
    ),
    "the_end_is_the_end": (
        "UPDATE OF state ON job",
        f"""NEW.state IN {TERMINAL} AND (NEW.session_id IS NOT NULL OR EXISTS (
        SELECT 1 FROM attempt WHERE job_id = NEW.id AND outcome IS NULL))""",
        "'I5', 'something is open of a job that is ' || NEW.state || ': ' || NEW.id",
    ),
    "unique_once": (
        "UPDATE OF unique_key ON job",
        """EXISTS (SELECT 1 FROM job WHERE unique_key = NEW.unique_key AND id <> NEW.id
        AND finished_us IS NULL)""",
        "'I3', 'another job has the key of ' || NEW.id",
    ),
    "tags_are_met": (
        "INSERT ON attempt",
        f"""EXISTS (SELECT 1 FROM job_spec JOIN worker ON worker.id = NEW.worker_id
        WHERE job_spec.job_id = NEW.job_id AND worker.name = '{NOT_FOR}'
            AND instr(job_spec.spec, '={NOT_FOR}') > 0)""",
        "'I8', NEW.job_id || ' is not for the worker that has it'",
    ),
    "timeline_whole": (
        "INSERT ON job_event",
        """NEW.seq <> 1 + (SELECT coalesce(max(seq), 0) FROM job_event
        WHERE job_id = NEW.job_id AND seq < NEW.seq)""",
        "'I12', 'a gap before event ' || NEW.seq || ' of ' || NEW.job_id",
    ),
    "outcome_stays": (
        "UPDATE ON attempt",
        """OLD.outcome IS NOT NULL AND (NEW.outcome IS NOT OLD.outcome
        OR NEW.exit_code IS NOT OLD.exit_code OR NEW.signal IS NOT OLD.signal)""",
        "'I5', 'an ended attempt changed: ' || OLD.job_id || ' ' || OLD.number",
    ),
    "quarantine_kept": (
        "INSERT ON attempt",
        """NEW.outcome IS NULL AND EXISTS (
            SELECT 1 FROM breaker JOIN job ON job.id = NEW.job_id
            WHERE breaker.worker_id = NEW.worker_id AND breaker.state <> 'closed' AND (
                breaker.state = 'forced' OR (EXISTS (
                    SELECT 1 FROM session JOIN session_requirement AS fits
                        ON fits.session_id = session.id
                        AND fits.requirement_id = job.requirement_id
                    LEFT JOIN breaker AS theirs ON theirs.worker_id = session.worker_id
                    WHERE session.worker_id <> NEW.worker_id AND session.ended_us IS NULL
                        AND session.slots > 0 AND coalesce(theirs.state, 'closed') = 'closed'
                        AND session.renewed_lease_us
                            > (SELECT now_lease_us FROM lease_clock) - 30000000
                ) AND (breaker.state = 'open' OR EXISTS (
                    SELECT 1 FROM attempt AS canary JOIN job AS tried
                        ON tried.id = canary.job_id AND tried.attempt = canary.number
                        AND tried.session_id = NEW.session_id
                    WHERE canary.job_id <> NEW.job_id AND canary.outcome IS NULL
                        AND canary.worker_id = NEW.worker_id
                        AND canary.claimed_us >= breaker.since_us
                )))
            )
        )""",
        "'X08', 'a worker in quarantine was given ' || NEW.job_id",
    ),
    "progress_rises": (
        "UPDATE OF progress ON attempt",
        """NEW.progress_seq <= OLD.progress_seq OR NEW.outcome IS NOT NULL
        OR json_extract(NEW.progress, '$.percent') < json_extract(OLD.progress, '$.percent')""",
        "'P1', 'progress goes back: ' || NEW.job_id || ' ' || NEW.number",
    ),
    "late_stays": (
        "UPDATE ON attempt",
        "OLD.late_result IS NOT NULL AND NEW.late_result IS NOT OLD.late_result",
        "'I17', 'a late result was lost: ' || OLD.job_id || ' ' || OLD.number",
    ),
    "output_closed": (
        "UPDATE ON output",
        """EXISTS (SELECT 1 FROM attempt WHERE job_id = NEW.job_id AND number = NEW.attempt
        AND outcome IS NOT NULL)""",
        "'I7', 'output grew after its end: ' || OLD.job_id || ' ' || OLD.attempt",
    ),
    "output_grows": (
        "UPDATE ON output",
        "NEW.length < OLD.length",
        "'I7', 'output shrank: ' || OLD.job_id || ' ' || OLD.attempt",
    ),
}
"""name → (what, when, what is wrong then)."""

HEARD: Final = (
    """CREATE TEMP TRIGGER heard_new AFTER INSERT ON job
    BEGIN SELECT state(NEW.id, NEW.state, NEW.reason); END""",
    """CREATE TEMP TRIGGER heard_state AFTER UPDATE OF state ON job WHEN NEW.state <> OLD.state
    BEGIN SELECT state(NEW.id, NEW.state, NEW.reason); END""",
    """CREATE TEMP TRIGGER heard_line AFTER INSERT ON job_event
    BEGIN SELECT told(NEW.type); END""",
    """CREATE TEMP TRIGGER heard_breaker AFTER INSERT ON breaker
    BEGIN SELECT told('a breaker is ' || NEW.state); END""",
    """CREATE TEMP TRIGGER heard_breaker_state AFTER UPDATE OF state ON breaker
    WHEN NEW.state <> OLD.state BEGIN SELECT told('a breaker is ' || NEW.state); END""",
    # What a restore took back has its row once it is heard of, and is over.
    """CREATE TEMP TRIGGER heard_claim AFTER INSERT ON attempt WHEN NEW.outcome IS NULL
    BEGIN SELECT claimed(NEW.job_id, NEW.number); END""",
    """CREATE TEMP TRIGGER heard_end AFTER UPDATE OF outcome ON attempt
    WHEN OLD.outcome IS NULL AND NEW.outcome IS NOT NULL
    BEGIN SELECT ended(NEW.job_id, NEW.number, NEW.session_id, NEW.outcome); END""",
)


class Database:
    """One connection, and what it holds."""

    def __init__(self) -> None:
        _adapt_words()
        self.raw = sqlite3.connect(
            ":memory:", isolation_level=None, cached_statements=STATEMENTS_CACHED
        )
        self.raw.execute("PRAGMA foreign_keys = ON")
        _migrate(self.raw, _Epoch())
        self.violated: Callable[[str, str], None] = lambda _rule, _detail: None
        self.raw.create_function("violated", 2, self._hear("violated"))
        self.state: Callable[[str, str, str | None], None] = lambda _job, _state, _why: None
        self.raw.create_function("state", 3, self._hear("state"))
        self.told: Callable[[str], None] = lambda _type: None
        self.raw.create_function("told", 1, self._hear("told"))
        self.claimed: Callable[[str, int], None] = lambda _job, _number: None
        self.ended: Callable[[str, int, str, str], None] = lambda _job, _number, _by, _how: None
        self.raw.create_function("claimed", 2, self._hear("claimed"))
        self.raw.create_function("ended", 4, self._hear("ended"))
        for name, (event, when, said) in WATCHES.items():
            self.raw.execute(
                f"CREATE TEMP TRIGGER {name} AFTER {event} WHEN {when} "
                f"BEGIN SELECT violated({said}); END"
            )
        for statement in HEARD:
            self.raw.execute(statement)
        self._tables = [
            name
            for (name,) in self.raw.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid DESC"
            )
            if name not in {"migration", "lease_clock", "queue"}
        ]
        """Children first: a table is made after what it refers to."""

    def _hear(self, name: str) -> Callable[..., None]:
        """Return what tells whoever listens now, and not whoever listened first."""

        def tell(*about: Any) -> None:
            getattr(self, name)(*about)

        return tell

    def empty(self) -> None:
        """Be as new."""
        raw = self.raw
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        # Not by a pragma that lets rows go in any order: it would expire every compiled statement.
        for table in self._tables:
            raw.execute(f"DELETE FROM {table}")
        raw.execute("UPDATE lease_clock SET now_lease_us = 0, floor_lease_us = 0")
        raw.execute("DELETE FROM queue WHERE name <> 'default'")
        raw.execute("UPDATE queue SET weight = 1, max_running = NULL, paused_us = NULL, passed = 0")

    def write(self, operation: Operation[T], now_us: int) -> tuple[T, Sequence[Fact]]:
        """Run an operation in a transaction of its own, as the store's writer does."""
        tx = SqliteTransaction(self.raw, now_us)
        self.raw.execute("BEGIN")
        try:
            result = operation(tx)
        except BaseException as error:
            self.raw.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise translated(error) from error
            raise
        self.raw.execute("COMMIT")
        return result, tx.facts

    def rehearse(self, operation: Operation[T], now_us: int) -> T:
        """Return what an operation would return, and take back what it did."""
        self.raw.execute("BEGIN")
        try:
            return operation(SqliteTransaction(self.raw, now_us))
        finally:
            self.raw.execute("ROLLBACK")

    def read(self, query: Query[T], now_us: int) -> T:
        """Run a query."""
        return query(SqliteConnection(self.raw, now_us))

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return what a statement gives."""
        return self.raw.execute(sql, params).fetchall()

    def is_sound(self) -> str | None:
        """Return what is wrong with the database itself, if anything is."""
        (said,) = self.raw.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            return str(said)
        found = self.raw.execute("PRAGMA foreign_key_check").fetchone()
        return None if found is None else f"a foreign key leads nowhere: {found}"


class _Epoch:
    """The clock of a database that is being made."""

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0
