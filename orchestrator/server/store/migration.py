"""The numbered steps that give a database its shape, and the rule about which databases we open.

It knows no database: it reads the steps, cuts them into statements, and says which of them are
still to be taken. A database that was shaped by a newer program, or by steps that differ from ours,
is refused before anything in it is touched: guessing at a shape is how data is lost.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Final

from orchestrator.kernel.errors import VersionUnsupported, invariant

_PACKAGE: Final = "orchestrator.server.store.migrations"
_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")

LEDGER: Final = """
CREATE TABLE IF NOT EXISTS migration (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_us BIGINT NOT NULL
)
"""
"""Where a database remembers the steps that it has taken."""


@dataclass(frozen=True)
class Migration:
    """One step: its number, its name, and its SQL."""

    number: int
    name: str
    sql: str

    @cached_property
    def checksum(self) -> str:
        """Return the SHA-256 of the text, so that an edit of a released step is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self) -> Iterator[str]:
        """Yield its statements one by one; a semicolon ends one where it ends the line."""
        bare = re.sub(r"--[^\n]*", "", self.sql)
        for statement in re.split(r";[ \t]*(?:\n|$)", bare):
            if statement.strip():
                yield statement.strip()


@cache
def ours() -> tuple[Migration, ...]:
    """Return every step that this program knows, in order; their numbers have no gaps."""
    found = []
    for entry in files(_PACKAGE).iterdir():
        match = _NAME.fullmatch(entry.name)
        if match is not None:
            found.append(Migration(int(match[1]), match[2], entry.read_text("utf-8")))
    found.sort(key=lambda step: step.number)
    numbers = [step.number for step in found]
    invariant(numbers == list(range(1, len(found) + 1)), "migrations are numbered without gaps")
    return tuple(found)


def still_to_take(applied: Mapping[int, str], known: Sequence[Migration]) -> list[Migration]:
    """Return the steps that a database lacks, or refuse one that is not ours to change.

    `applied` is what its ledger says: number → checksum.
    """
    newest = max(applied, default=0)
    if newest > len(known):
        raise VersionUnsupported(
            f"the database has version {newest}; this program knows versions up to {len(known)}",
            hint="run the newer program, or restore a backup that was made before the upgrade",
        )
    for step in known[:newest]:
        if applied.get(step.number) != step.checksum:
            raise VersionUnsupported(
                f"the database took another step {step.number} ({step.name}) than this program has",
                hint="run the program that made it, or restore a backup",
            )
    return list(known[newest:])
