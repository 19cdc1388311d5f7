"""A reader that stays: the log of the database grows while it looks, and not for ever."""

from pathlib import Path

import anyio
import pytest

from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import StoreBusy
from orchestrator.server.store.sqlite import open_sqlite
from orchestrator.server.store.sqlite_connection import WAL_LIMIT_BYTES

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
INSERT = "INSERT INTO file (sha256, size, created_us, used_us) VALUES (:name, 1, 0, 0)"
LIMIT_S = 1.0
ROWS = 4000


@pytest.mark.timeout(60)
async def test_a_long_reader_does_not_keep_the_log_growing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped in time; until then writers go on, and afterwards the log is short again."""
    monkeypatch.setattr("orchestrator.server.store.sqlite_readers.QUERY_LIMIT_S", LIMIT_S)
    path = tmp_path / "orchestrator.db"
    log = path.with_name("orchestrator.db-wal")
    store = open_sqlite(path, SystemClock())
    numbers = iter(range(1_000_000))
    sizes: list[int] = []

    async def write() -> None:
        names = [f"{next(numbers):064}" for _ in range(ROWS)]
        await store.write(lambda tx: [tx.execute(INSERT, name=name) for name in names])
        sizes.append(log.stat().st_size)

    async def look() -> None:
        with pytest.raises(StoreBusy):
            await store.read(lambda r: (r.tuples("SELECT * FROM file"), r.tuples(ENDLESS)))
        over.set()

    over = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(look)
        while not over.is_set():
            await write()
    grown = len(sizes)
    for _ in range(3):
        await write()

    assert grown > 1, "nobody was held up"
    assert sizes[grown - 1] > 0
    assert sizes[-1] <= max(WAL_LIMIT_BYTES, sizes[0] * 3), sizes
    await store.aclose()
