"""Long polls of people: hold a question about a job until its answer is final."""

from functools import partial

import anyio
from starlette.types import Receive

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.views import JobDetail
from orchestrator.server.live.bus import Bus
from orchestrator.server.live.presence import unless_gone
from orchestrator.server.operations.jobs import get_job
from orchestrator.server.store.interface import Store


async def finished_job(
    store: Store, bus: Bus, job_id: str, receive: Receive, *, wait_s: float
) -> JobDetail | None:
    """Return a job as soon as it is finished, or as it is after `wait_s`."""
    until = anyio.current_time() + wait_s
    with bus.watch(job_id) as watch:
        while True:
            job = await store.read(lambda reader: get_job(reader, job_id))
            left = until - anyio.current_time()
            if job is None or job.state in TERMINAL or left <= 0 or bus.is_closing():
                return job
            await unless_gone(receive, partial(watch.changed, timeout_s=left))
