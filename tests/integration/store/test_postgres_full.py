"""A PostgreSQL whose disk is full: work is refused, and what was acknowledged is there."""

import os
import pwd

import pytest

from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import StorageFull
from orchestrator.server.store.group_store import GroupStore
from orchestrator.server.store.postgres import open_postgres
from tests.integration.shim.test_disk_full import MIB, fill, small_disk
from tests.support.postgres import PostgresServer

INSERT = "INSERT INTO file (sha256, size, created_us, used_us) VALUES (:name, 1, 0, 0)"
BATCH = 500
BATCHES = 200
"""Far more than the files have room for that they already have."""


@pytest.mark.timeout(90)
async def test_a_full_postgresql_refuses_and_recovers() -> None:
    """Writes say so and are not half done, reading goes on, and with room all is as before."""
    server = PostgresServer(durable=True)
    data = server.folder / "data"
    with small_disk(data, 192 * MIB):
        nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if nobody is not None:
            os.chown(data, nobody.pw_uid, nobody.pw_gid)
        with server:
            name = server.new_database()
            store = open_postgres(server.url(name), SystemClock())
            kept: list[str] = []

            async def write(number: int) -> None:
                names = [f"{number:032}{row:032}" for row in range(BATCH)]
                await store.write(lambda tx: [tx.execute(INSERT, name=one) for one in names])
                kept.extend(names)

            await write(0)
            fill(data / "others")
            refusals = 0
            for number in range(1, BATCHES):
                try:
                    await write(number)
                except StorageFull:
                    refusals += 1
            assert refusals > BATCHES // 2
            assert await _names(store) == set(kept)

            (data / "others").unlink()
            await write(BATCHES)
            assert await _names(store) == set(kept)
            await store.aclose()


async def _names(store: GroupStore) -> set[object]:
    return {name for (name,) in await store.read(lambda r: r.tuples("SELECT sha256 FROM file"))}
