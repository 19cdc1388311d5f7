"""Which database a server has: a file of its own, or the one that it is told."""

from collections.abc import Callable
from pathlib import Path

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.server.store.group_store import GroupStore
from orchestrator.server.store.sqlite import no_room, open_sqlite


def open_store(
    url: str | None, path: Path, clock: Clock, *, make_room: Callable[[], bool] = no_room
) -> GroupStore:
    """Open the PostgreSQL database at `url`, or else the file at `path`. Blocks.

    `make_room` is asked when the disk of the file is full, and tells whether to try again.
    """
    if url is None:
        return open_sqlite(path, clock, make_room=make_room)
    try:
        from orchestrator.server.store.postgres import open_postgres
    except ImportError as error:
        raise ConfigInvalid(
            f"a database on PostgreSQL needs the package psycopg: {error}",
            hint="pip install 'orchestrator[postgres]'",
        ) from error
    return open_postgres(url, clock, alone=True)
