"""Speaking to the server: the calls of the worker's protocol, and nothing else.

It retries nothing and remembers nothing: errors are the kernel's, and what to do about one is
decided by `logic/session.py`. The heartbeat has a connection of its own, so that no amount of
output and no waiting claim can ever stand before it.
"""

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from orchestrator.client.http import AsyncApi
from orchestrator.protocol.base import Reply
from orchestrator.protocol.tokens import WorkerToken
from orchestrator.protocol.wire import (
    Ack,
    ClaimReply,
    ClaimRequest,
    GoodbyeRequest,
    HeartbeatReply,
    HeartbeatRequest,
    ReportReply,
    ReportRequest,
    SessionReply,
    SessionRequest,
)
from worker.logic.attempt import Key
from worker.logic.lane import Upload

PREFIX: Final = "/api/worker/v1"
CONNECTIONS: Final = 10
"""A claim that waits, a report, two uploads, and six downloads of inputs."""
MARGIN_S: Final = 10.0
"""How much later than asked a long poll may be answered before its connection is given up."""
CALL_S: Final = 30.0


class Link:
    """The calls of one worker."""

    def __init__(self, url: str, token: WorkerToken) -> None:
        self._work = AsyncApi(url, str(token), connections=CONNECTIONS)
        self._pulse = AsyncApi(url, str(token), connections=1)
        self.url = self._work.endpoint.url
        self.local = self._work.endpoint.local
        """Whether the server is on this machine."""

    def identify(self, token: WorkerToken) -> None:
        """Call with another secret of the same worker from now on."""
        self._work.identify(str(token))
        self._pulse.identify(str(token))

    async def open_session(self, request: SessionRequest) -> SessionReply:
        """Begin a session."""
        return await self._work.call(f"{PREFIX}/sessions", request, SessionReply, timeout_s=CALL_S)

    async def claim(self, request: ClaimRequest) -> ClaimReply:
        """Ask for attempts, waiting as long as the request says."""
        timeout_s = request.wait_s + MARGIN_S
        return await self._work.call(f"{PREFIX}/claim", request, ClaimReply, timeout_s=timeout_s)

    async def report(self, request: ReportRequest) -> ReportReply:
        """Tell what happened."""
        return await self._work.call(f"{PREFIX}/report", request, ReportReply, timeout_s=CALL_S)

    async def upload(self, session_id: str, upload: Upload) -> Ack:
        """Send output that is too much for a report."""
        place = {**_attempt(session_id, upload.key), "offset": upload.offset}
        return await self._work.post_bytes(f"{PREFIX}/output", place, upload.frames, Ack)

    async def download(self, session_id: str, key: Key, sha256: str, into: Path) -> str:
        """Fetch an input of an attempt into a new file; return the SHA-256 of what came."""
        path = f"{PREFIX}/files/{sha256}"
        return await self._work.download(path, _attempt(session_id, key), into)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        """Renew the session, and wait for orders as long as the request says."""
        path, timeout_s = f"{PREFIX}/heartbeat", request.wait_s + MARGIN_S
        return await self._pulse.call(path, request, HeartbeatReply, timeout_s=timeout_s)

    async def goodbye(self, request: GoodbyeRequest) -> None:
        """End a session in order."""
        await self._work.call(f"{PREFIX}/goodbye", request, Reply, timeout_s=CALL_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pulse.aclose()
        await self._work.aclose()

    def __repr__(self) -> str:
        return f"Link({self.url})"


def _attempt(session_id: str, key: Key) -> dict[str, str | int]:
    return {"session_id": session_id, "job_id": key.job_id, "attempt": key.number}
