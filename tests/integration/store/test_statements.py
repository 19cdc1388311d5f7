"""Our statements: any database understands them, and none looks at a million jobs."""

import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator

import pytest

from orchestrator.server import operations
from orchestrator.server.store.migration import ours

FEW = (
    "worker",
    "machine",
    "api_key",
    "requirement",
    "line",
    "queue",
    "turn",
    "bulk",
    "wanted",
    "live",
    "dependency_due",
    "schedule",
    "2 CONSTANT ROWS",
)
"""Tables that stay small, and the values that came with the statement."""
INDEXES_OF_FEW = ("session_open", "job_held_by", "batch_stopping")
"""Indexes that hold only what is live now."""
EXCUSED = {
    "SELECT_HELD": "the beginning of other statements",
    "SELECT_JOB": "the beginning of other statements; a list walks from the newest job on",
    "SELECT_BATCH": "the beginning of other statements; a list walks from the newest batch on",
    "_OLD_BATCHES": "once an hour, and each batch stands for many jobs",
    "_SELECT_DEAD": "an index of failed jobs alone, counted when somebody asks",
    "_OLD_SESSIONS": "once an hour, and sessions of a month are thousands",
}


def statements() -> Iterator[tuple[str, str, str]]:
    """Yield module, name and text of each statement that an operation has as a constant."""
    for module in pkgutil.iter_modules(operations.__path__):
        content = vars(importlib.import_module(f"{operations.__name__}.{module.name}"))
        for name, value in content.items():
            if isinstance(value, str) and re.match(
                r"\s*(SELECT|WITH|UPDATE|DELETE|INSERT) ", value
            ):
                yield module.name, name, value


@pytest.fixture
def tables() -> Iterator[sqlite3.Connection]:
    """Our tables, empty: the plan must be right before anybody has counted rows."""
    raw = sqlite3.connect(":memory:")
    for step in ours():
        for statement in step.statements():
            raw.execute(statement)
    yield raw
    raw.close()


ONE_DIALECT = re.compile(
    r"\b(rowid|glob|ifnull|iif|instr|json_\w+|printf|strftime|datetime|pragma|group_concat|total|"
    r"typeof|insert or|replace into|is not distinct|ilike|now\(\)|extract|any\(|::|jsonb|lateral|"
    r"cross join \w+ on|limit -1|autoincrement|if not exists)",
    re.IGNORECASE,
)
"""What one of SQLite and PostgreSQL does not know, or knows as something else."""


def test_statements_are_written_for_any_database() -> None:
    """No operation uses a word of one database, or a parameter without a name."""
    faults = [
        f"{module}.{name}: {found[0]}"
        for module, name, text in statements()
        if (found := ONE_DIALECT.search(text) or re.search(r"[?$%]", text))
    ]

    assert faults == []


def test_the_steps_are_written_for_any_database() -> None:
    """A step uses two words of SQLite's own, which another database is told to read otherwise."""
    faults = [
        f"{step.number}: {found[0]}"
        for step in ours()
        for text in step.statements()
        if (found := ONE_DIALECT.search(text.replace("WITHOUT ROWID", "")))
    ]

    assert faults == []


def test_no_statement_looks_at_everything(tables: sqlite3.Connection) -> None:
    """Each statement goes straight to its rows by an index, or walks over what is few."""
    faults, seen = [], 0
    for module, name, text in statements():
        sql = text.replace("{pairs}", "(VALUES (:a, :b), (:c, :d)) AS wanted")
        sql = sql.replace("{ids}", ":a, :b")
        names = re.findall(r"(?<!\w):([a-z_0-9]+)", sql)
        plan = tables.execute(f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(names, 1)).fetchall()
        seen += 1
        faults += [
            f"{module}.{name}: {step}"
            for *_, step in plan
            if _is_slow(step) and name not in EXCUSED
        ]

    assert faults == []
    assert seen > 40


def _is_slow(step: str) -> bool:
    match = re.match(r"SCAN (.+?)(?: USING (?:COVERING )?INDEX (\w+))?$", step)
    if match is None:
        return "AUTOMATIC" in step
    return match[1] not in FEW and match[2] not in INDEXES_OF_FEW
