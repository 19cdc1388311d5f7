"""Jobs a second, from the first submit to the moment when all are finished and recorded.

Every job is a request of its own, acknowledged only after the server synced it, and every command
writes something that no other writes. Afterwards all results and all outputs are compared: a
figure of a run in which anything was missing or wrong is never printed.
"""

import asyncio
import json
import time
from typing import Any, Final

from benchmarks.load import Client, Connection

CONNECTIONS: Final = 8
FETCHERS: Final = 8
PAGE: Final = 500
PAUSE_S: Final = 0.005
UNFINISHED: Final = "&".join(
    f"state={name}" for name in ("scheduled", "queued", "leased", "running")
)


class Wrong(Exception):
    """Something was lost, repeated or altered: there is no figure."""


def echo(word: str) -> dict[str, Any]:
    """Return a job that writes `word`."""
    return {"kind": "command", "params": {"argv": ["/bin/echo", word]}, "name": word}


def nothing(word: str) -> dict[str, Any]:
    """Return a job that does nothing, which is the work of the system itself."""
    return {"kind": "delay", "params": {"ms": 0}, "name": word}


async def commands(client: Client, words: list[str]) -> float:
    """Return command jobs per second, all outputs compared."""
    ids, seconds = await _run(client, [echo(word) for word in words])
    paths = [f"/api/v1/jobs/{job_id}/output/raw?stream=both" for job_id in ids]
    outputs = await client.call_all([client.get(path) for path in paths], connections=FETCHERS)
    wrong = [
        word for word, output in zip(words, outputs, strict=True) if output != f"{word}\n".encode()
    ]
    if wrong:
        raise Wrong(f"{len(wrong)} outputs are wrong, first that of {wrong[0]}")
    return len(words) / seconds


async def noops(client: Client, words: list[str]) -> float:
    """Return jobs without a process per second, all results looked at."""
    _, seconds = await _run(client, [nothing(word) for word in words])
    return len(words) / seconds


async def _run(client: Client, jobs: list[dict[str, Any]]) -> tuple[list[str], float]:
    requests = [client.post("/api/v1/jobs", job) for job in jobs]
    begin = time.perf_counter()
    answers = await client.call_all(requests, connections=CONNECTIONS)
    ids = [str(json.loads(answer)["id"]) for answer in answers]
    await _all_finished(client, ids[-1])
    seconds = time.perf_counter() - begin
    await _check(client, ids)
    return ids, seconds


async def _all_finished(client: Client, last: str) -> None:
    """Wait for the job that was submitted last, then for whatever it overtook."""
    connection = await Connection.open(client.port)
    wait = client.get(f"/api/v1/jobs/{last}", "Prefer: wait=30")
    look = client.get(f"/api/v1/jobs?{UNFINISHED}&limit=1")
    while json.loads(await connection.call(wait))["finished_at"] is None:
        pass
    while json.loads(await connection.call(look))["items"]:
        await asyncio.sleep(PAUSE_S)
    connection.close()


async def _check(client: Client, ids: list[str]) -> None:
    """Fail unless every job succeeded with its first attempt."""
    expected, cursor = set(ids), ""
    good: set[str] = set()
    while len(good) < len(expected):
        page = await client.json(f"/api/v1/jobs?limit={PAGE}{cursor}")
        good |= {job["id"] for job in page["items"] if _is_good(job)} & expected
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    if good != expected:
        raise Wrong(f"{len(expected - good)} of {len(expected)} jobs did not succeed at once")


def _is_good(job: dict[str, Any]) -> bool:
    return bool(job["state"] == "succeeded" and job["attempt"] == 1)
