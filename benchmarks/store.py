"""How fast the store is by itself, without HTTP: `python -m benchmarks.store`.

Submits, claims and reports go through the real operations and the store's own queue, from several
callers at once, and each is answered when it is durable. By default on a SQLite file; with
`--database URL` on an empty PostgreSQL database. Starting a second program beside it makes the
figures worthless.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from orchestrator.kernel.clock import SystemClock
from orchestrator.protocol.ids import RANDOM_BYTES, make_id
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.wire import (
    ClaimRequest,
    Ended,
    EnrolRequest,
    Grant,
    Host,
    ReportRequest,
    SessionRequest,
    Started,
)
from orchestrator.protocol.words import Outcome
from orchestrator.server.chance import Chance
from orchestrator.server.operations.claim import claim
from orchestrator.server.operations.report import report
from orchestrator.server.operations.sessions import open_session
from orchestrator.server.operations.submit import submit
from orchestrator.server.operations.workers import EnrolIds, enrol
from orchestrator.server.store.interface import Store
from orchestrator.server.store.opening import open_store

SUBMITTERS: Final = 32
WORKERS: Final = 16
HOST: Final = Host(
    hostname="bench", platform="linux", arch="x86_64", cpu_count=2, memory_bytes=1, python="3"
)
SPEC: Final = JobSpec.model_validate_json(b'{"kind": "command", "params": {"argv": ["true"]}}')


class Bench:
    """One store, and everybody who uses it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._chance = Chance()
        self._clock = SystemClock()

    def _id(self, prefix: str) -> str:
        random = self._chance.take(RANDOM_BYTES)
        return make_id(prefix, at_ms=int(self._clock.now() * 1000), random=random)

    async def submit(self, count: int) -> float:
        """Submit jobs one by one from many callers; return how many there were in a second."""

        async def lane(jobs: int) -> None:
            for _ in range(jobs):
                new = self._id("job")
                await self._store.write(partial(submit, job_id=new, owner="bench", spec=SPEC))

        return await rate(count, [partial(lane, count // SUBMITTERS)] * SUBMITTERS)

    async def work(self, count: int, *, batch: int) -> float:
        """Claim every job and report its start and end; return how many there were in a second."""
        sessions = [await self._session(f"w{number}") for number in range(WORKERS)]

        async def lane(worker_id: str, session_id: str) -> None:
            number = 0
            while True:
                number += 1
                asked = ClaimRequest(session_id=session_id, number=number, slots=batch)
                given = await self._store.write(partial(claim, request=asked, worker_id=worker_id))
                if not given.grants:
                    return
                told = ReportRequest(
                    session_id=session_id,
                    events=[
                        event for grant in given.grants for event in (begun(grant), end(grant))
                    ],
                )
                await self._store.write(partial(report, request=told, worker_id=worker_id))

        return await rate(count, [partial(lane, *session) for session in sessions])

    async def _session(self, name: str) -> tuple[str, str]:
        ids = EnrolIds(self._id("machine"), self._id("worker"), "s" * 52)
        asked = EnrolRequest(name=name, fingerprint=self._id("print"), host=HOST)
        worker = await self._store.write(partial(enrol, request=asked, ids=ids))
        opening = SessionRequest(
            version="1",
            spool_id=f"spool-of-{name}",
            slots=64,
            kinds=["command"],
            host=HOST,
            held=[],
        )
        reply = await self._store.write(
            partial(
                open_session,
                request=opening,
                worker_id=worker.worker_id,
                session_id=self._id("session"),
            )
        )
        return worker.worker_id, reply.session_id


def begun(grant: Grant) -> Started:
    """Say that an attempt began."""
    return Started(job_id=grant.job_id, attempt=grant.attempt, at_us=2**60, pid=1)


def end(grant: Grant) -> Ended:
    """Say that it succeeded."""
    return Ended(job_id=grant.job_id, attempt=grant.attempt, at_us=2**60, outcome=Outcome.SUCCEEDED)


async def rate(count: int, lanes: list[Callable[[], Coroutine[None, None, None]]]) -> float:
    """Run all lanes beside each other; return how many of `count` were done in a second."""
    begin = time.monotonic()
    async with anyio.create_task_group() as group:
        for lane in lanes:
            group.start_soon(lane)
    return count / (time.monotonic() - begin)


async def main(url: str | None, folder: Path, *, count: int, runs: int) -> None:
    """Measure, and print one line for each figure."""
    figures: dict[str, list[float]] = {}
    begin = time.monotonic()
    store = open_store(url, folder / "orchestrator.db", SystemClock())
    print(f"open: {(time.monotonic() - begin) * 1000:.0f} ms")
    bench = Bench(store)
    try:
        for _ in range(runs):
            for batch in (1, 16):
                figures.setdefault("submits", []).append(await bench.submit(count))
                title = f"claim + report, {batch} at a time"
                figures.setdefault(title, []).append(await bench.work(count, batch=batch))
    finally:
        await store.aclose()
    for title, rates in figures.items():
        middle = statistics.median(rates)
        print(f"{title}: {middle:.0f}/s ({min(rates):.0f}–{max(rates):.0f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL database")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="the disk of the file")
    parser.add_argument("--jobs", type=int, default=1600)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix=".bench-") as place:
        anyio.run(partial(main, chosen.database, Path(place), count=chosen.jobs, runs=chosen.runs))
