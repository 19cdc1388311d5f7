"""A job's own events as a stream without gaps or repeats: the position is the event's number."""

from collections.abc import AsyncGenerator
from functools import partial

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.limits import PAGE_MAX
from orchestrator.protocol.views import EventView, JobView
from orchestrator.server.live.progress import ProgressNews
from orchestrator.server.live.reader import StreamReader
from orchestrator.server.live.sse import encode
from orchestrator.server.operations.jobs import list_events, view_job
from orchestrator.server.store.interface import Reader, Store


def look(
    reader: Reader, job_id: str, *, after: int, limit: int
) -> tuple[list[EventView], JobView | None]:
    """Return the next events and the job, as one commit shows them."""
    return list_events(reader, job_id, after=after, limit=limit), view_job(reader, job_id)


async def stream_timeline(
    store: Store, reader: StreamReader, job_id: str, *, after: int
) -> AsyncGenerator[bytes, None]:
    """Yield every event behind `after` as it is committed; end with `eof` behind the last one.

    Between them it tells how far the job is: that has no number, and is not told again.
    """
    progress = ProgressNews()
    with reader.watch(job_id) as watch:
        while True:
            events, job = await store.read(
                partial(look, job_id=job_id, after=after, limit=PAGE_MAX)
            )
            if events:
                after = events[-1].seq
                yield b"".join(_encode(event) for event in events)
            if len(events) == PAGE_MAX:
                continue
            if news := progress.of(job):
                yield news
            if job is None or job.state in TERMINAL:
                if job is not None:
                    yield encode("eof", job.model_dump_json())
                return
            ping = await reader.pause(watch)
            if ping is None:
                return
            if ping:
                yield ping


def _encode(event: EventView) -> bytes:
    return encode("event", event.model_dump_json(), id=str(event.seq))
