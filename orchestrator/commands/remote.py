"""The server as commands see it: one method per thing that can be asked of jobs and workers.

Whatever else it keeps has a `desk.py` beside its commands, which uses the same connection; nobody
else calls the server.

It prints nothing. What may be sent twice is sent again after a short wait: a submit, because it
carries an idempotency key, and an upload, because a file's content is its name.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Self, TypeVar

from orchestrator.client.answers import Answer
from orchestrator.client.http import Api
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.errors import Overloaded, Unavailable
from orchestrator.protocol import limits
from orchestrator.protocol.bulk import BulkRequest
from orchestrator.protocol.jobs import (
    AmendRequest,
    CancelRequest,
    HoldJobsRequest,
    JobSpec,
    RetryRequest,
    TrustRequest,
)
from orchestrator.protocol.views import EventView, FileView, Page

T = TypeVar("T")

JOBS: Final = "/api/v1/jobs"
WORKERS: Final = "/api/v1/workers"
TRIES: Final = 4
"""With the waits below a server that is not there is told within three seconds."""
BACKOFF: Final = Backoff(initial_s=0.25, factor=2.0, max_s=5.0)
PRUNE_S: Final = 600.0
PATIENCE_FOR_WAIT_S: Final = 10.0
"""On top of the time for which we asked the server to hold its answer."""


def draw() -> float:
    """Return a uniform number from [0, 1), for a wait that nobody else has."""
    return secrets.randbelow(1 << 30) / (1 << 30)


def again(call: Callable[[], T]) -> T:
    """Return what `call` returns, trying again while the server is not available."""
    for failures in range(1, TRIES):
        try:
            return call()
        except Unavailable as error:
            wait_s = BACKOFF.delay(failures, draw=draw())
            if isinstance(error, Overloaded):
                wait_s += min(error.retry_after_s, BACKOFF.max_s)
            time.sleep(wait_s)
    return call()


class Remote:
    """One server."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def submit(self, spec: JobSpec, *, key: str) -> Answer:
        """Submit a job once, however often the request is sent."""
        headers = {"Idempotency-Key": key}
        return again(lambda: self.api.post(JOBS, spec, headers=headers))

    def upload(self, pieces: Callable[[], Iterator[bytes]], *, size: int) -> FileView:
        """Store a zip file; `pieces` is asked anew for each try."""
        params = {"check": "zip"}
        answer = again(lambda: self.api.upload("/api/v1/files", params, pieces(), size=size))
        return answer.read(FileView)

    def job(self, job_id: str, *, wait_s: float = 0) -> Answer:
        """Return a job, after its end if that comes within `wait_s`."""
        held_s = min(wait_s, limits.WAIT_MAX_S)
        headers = {"Prefer": f"wait={int(held_s)}"} if held_s >= 1 else {}
        return self.api.get(
            f"{JOBS}/{job_id}", headers=headers, timeout_s=held_s + PATIENCE_FOR_WAIT_S
        )

    def jobs(self, params: dict[str, str | int | list[str] | None]) -> Answer:
        """Return one page of the list of jobs."""
        return self.api.get(JOBS, params)

    def cancel(self, job_id: str, comment: str | None, *, force: bool = False) -> Answer:
        """Ask for a job's end; asking twice changes nothing, so it may be asked again."""
        request = CancelRequest(comment=comment, force=force)
        return self.api.post(f"{JOBS}/{job_id}/cancel", request)

    def amend(self, job_id: str, request: AmendRequest) -> Answer:
        """Change a job that has not begun; twice is once, so it is asked again when needed."""
        return again(lambda: self.api.patch(f"{JOBS}/{job_id}", request))

    def delete(self, job_id: str) -> Answer:
        """Delete a finished job."""
        return self.api.delete(f"{JOBS}/{job_id}")

    def hold(self, job_ids: Sequence[str], comment: str | None) -> Answer:
        """Keep jobs back; twice is once, so it is asked again when needed."""
        request = HoldJobsRequest(ids=list(job_ids), comment=comment)
        return again(lambda: self.api.post(f"{JOBS}/hold", request))

    def release(self, job_ids: Sequence[str], comment: str | None) -> Answer:
        """Let held jobs go on."""
        request = HoldJobsRequest(ids=list(job_ids), comment=comment)
        return again(lambda: self.api.post(f"{JOBS}/release", request))

    def retry(self, job_id: str, spec: JobSpec | None, *, key: str) -> Answer:
        """Submit what a finished job asked for once more."""
        headers = {"Idempotency-Key": key}
        request = RetryRequest(spec=spec)
        return again(lambda: self.api.post(f"{JOBS}/{job_id}/retry", request, headers=headers))

    def dead(self, limit: int) -> Answer:
        """Return the groups of failed jobs."""
        return self.api.get("/api/v1/dead-letters", {"limit": limit})

    def bulk(self, request: BulkRequest) -> Answer:
        """Count jobs, or give an order for them: one, however often its token is sent."""
        return again(lambda: self.api.post("/api/v1/bulk", request, timeout_s=PRUNE_S))

    def bulk_order(self, bulk_id: str) -> Answer:
        """Return how far an order came."""
        return again(lambda: self.api.get(f"/api/v1/bulk/{bulk_id}"))

    def prune(self, *, dry_run: bool) -> Answer:
        """Forget what is old enough, or only count it; a million jobs take a while."""
        if dry_run:
            return self.api.get("/api/v1/retention", timeout_s=PRUNE_S)
        return self.api.post("/api/v1/retention/prune", None, timeout_s=PRUNE_S)

    def explain(self, job_id: str) -> Answer:
        """Return why a job is not running."""
        return self.api.get(f"{JOBS}/{job_id}/explain")

    def events(self, job_id: str) -> list[EventView]:
        """Return a job's whole timeline."""
        found: list[EventView] = []
        while True:
            params: dict[str, str | int | list[str] | None] = {
                "after": found[-1].seq if found else 0,
                "limit": limits.PAGE_MAX,
            }
            page = self.api.get(f"{JOBS}/{job_id}/events", params).read(Page[EventView])
            found += page.items
            if page.next_cursor is None:
                return found

    def output(self, job_id: str, *, attempt: int | None, after: str | None) -> Answer:
        """Return one page of output."""
        params = {"attempt": attempt, "after": after, "limit": limits.PAGE_MAX}
        return self.api.get(f"{JOBS}/{job_id}/output", params)

    def output_stream(
        self, job_id: str, *, attempt: int | None, headers: Mapping[str, str], idle_s: float
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Give output as it is written; `headers` say behind which piece."""
        path = f"{JOBS}/{job_id}/output/stream"
        return self.api.stream(path, {"attempt": attempt}, headers=headers, idle_s=idle_s)

    def workers(self, cursor: str | None) -> Answer:
        """Return one page of the list of workers."""
        return self.api.get(WORKERS, {"cursor": cursor})

    def worker(self, worker: str) -> Answer:
        """Return the worker of that name or id."""
        return self.api.get(f"{WORKERS}/{worker}")

    def quarantine(self, worker: str, reason: str) -> Answer:
        """Give a worker no more jobs; twice is once, so it is asked again when needed."""
        request = TrustRequest(reason=reason)
        return again(lambda: self.api.post(f"{WORKERS}/{worker}/quarantine", request))

    def trust(self, worker: str, reason: str) -> Answer:
        """Give a worker jobs again."""
        request = TrustRequest(reason=reason)
        return again(lambda: self.api.post(f"{WORKERS}/{worker}/release", request))

    def close(self) -> None:
        """Close the connections."""
        self.api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
