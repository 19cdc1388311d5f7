"""How long one job takes on an idle system, one after the other.

*Started* is the moment that the shim took right after the process existed, against the moment just
before the submit was sent; both are the wall clock of this machine. *Seen* is the moment at which
the submitter's long poll was answered.
"""

import json
import time
from dataclasses import dataclass, field
from datetime import datetime

from benchmarks.load import Client, Connection
from benchmarks.throughput import echo


@dataclass
class Latencies:
    """Milliseconds from the submit on, one of each for each job."""

    acknowledged: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)


async def one_by_one(client: Client, words: list[str]) -> Latencies:
    """Submit each job when the one before is finished, as a person or a script would."""
    found = Latencies()
    connection = await Connection.open(client.port)
    try:
        for word in words:
            await _one(client, connection, word, found)
    finally:
        connection.close()
    return found


async def _one(client: Client, connection: Connection, word: str, found: Latencies) -> None:
    request = client.post("/api/v1/jobs", echo(word))
    wall, begin = time.time(), time.perf_counter()
    job = json.loads(await connection.call(request))
    found.acknowledged.append(_ms_since(begin))
    look = client.get(f"/api/v1/jobs/{job['id']}", "Prefer: wait=30")
    while job["finished_at"] is None:
        job = json.loads(await connection.call(look))
    found.seen.append(_ms_since(begin))
    found.started.append((datetime.fromisoformat(job["started_at"]).timestamp() - wall) * 1000)


def _ms_since(begin: float) -> float:
    return (time.perf_counter() - begin) * 1000
