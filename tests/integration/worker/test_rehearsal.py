"""What is done once for all workers, so that a hundred start at once and fit into memory."""

import tracemalloc
from pathlib import Path

from orchestrator.supervisor.settings import Programs
from tests.integration.launcher.launched import launched, lines
from tests.support.installation import free_port
from worker.spool import Spool

HERE = "tests.integration.worker.rehearsed"
SMALL_BYTES = 256 * 1024


async def test_a_forked_worker_loads_nothing_to_reach_its_server() -> None:
    """What one loads after its fork, each of a hundred loads, and has a copy of for itself."""
    async with launched() as launcher:
        with lines(1) as [line]:
            nursery = await launcher.nursery([*Programs().worker_modules, HERE])
            url = f"http://127.0.0.1:{free_port()}"
            await nursery.fork(f"{HERE}:connect", {"url": url}, fds=[line.fd])
            line.passed()

            told = await line.hear_all()

            assert told["loaded"] == []
            assert told["threads"] == 1


async def test_a_spool_that_is_empty_takes_no_room(tmp_path: Path) -> None:
    """A worker that has had no job yet needs no buffer to read what jobs wrote."""
    tracemalloc.start()
    try:
        spool = Spool(tmp_path / "spool")
        await spool.reattach()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    spool.close()

    assert used < SMALL_BYTES
