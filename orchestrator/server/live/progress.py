"""Progress in streams: told when there is any, and never twice."""

from orchestrator.protocol.views import JobView, ProgressView
from orchestrator.server.live.sse import encode


class ProgressNews:
    """What one reader was told of a job's progress."""

    def __init__(self) -> None:
        self._told: ProgressView | None = None

    def of(self, job: JobView | None) -> bytes:
        """Return an event about how far the job is; nothing, if that was the last one told."""
        if job is None or job.progress is None or job.progress == self._told:
            return b""
        self._told = job.progress
        return encode("progress", job.progress.model_dump_json())
