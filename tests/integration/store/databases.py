"""The databases on which every promise of the store is tested.

A new database is one more entry; nothing else in this folder names one, apart from the tests of
what is SQLite's alone.
"""

from collections.abc import Callable
from pathlib import Path

from orchestrator.kernel.clock import Clock
from orchestrator.server.store.interface import Store
from orchestrator.server.store.sqlite import open_sqlite


def _sqlite(folder: Path, clock: Clock) -> Store:
    return open_sqlite(folder / "orchestrator.db", clock)


DATABASES: dict[str, Callable[[Path, Clock], Store]] = {"sqlite": _sqlite}
"""Opens the database of a folder; the same folder again is the same database."""
