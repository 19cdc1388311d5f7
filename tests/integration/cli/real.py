"""A real server as a process, and a worker that is played by hand over the real wire."""

import contextlib
import hashlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator.client.http import Api, AsyncApi
from orchestrator.protocol import frames
from orchestrator.protocol.frames import FrameType
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.schedules import ScheduleSpec
from orchestrator.protocol.wire import (
    Ack,
    ClaimReply,
    ClaimRequest,
    Ended,
    EnrolReply,
    EnrolRequest,
    Grant,
    Host,
    Output,
    ReportEvent,
    ReportReply,
    ReportRequest,
    SessionReply,
    SessionRequest,
    Started,
)
from orchestrator.protocol.words import Outcome, Reason
from tests.integration.cli.commands import PROGRAM, TIMEOUT_S
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

WORKER = "/api/worker/v1"
HOST = Host(hostname="test", platform="linux", arch="x", cpu_count=1, memory_bytes=1, python="3.11")


@dataclass
class RealServer:
    """`orchestrator server run` on a port of its own choice, which it keeps when started again."""

    folder: Path
    listen: str = "127.0.0.1:0"
    process: subprocess.Popen[bytes] | None = None
    more: dict[str, str] = field(default_factory=dict)
    """Variables on top of the few that every program has."""

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://{self.listen}"

    def key(self, name: str = "admin") -> str:
        """Return a key that it made at its first start."""
        return (self.folder / "data" / f"{name}.key").read_text().strip()

    @property
    def env(self) -> dict[str, str]:
        """Return what leads a command line here."""
        return {"ORCHESTRATOR_URL": self.url, "ORCHESTRATOR_API_KEY": self.key()}

    def add_soon(self, name: str) -> None:
        """Keep a schedule that fires once, in a second; a program would take longer to begin."""
        with Api(self.url, self.key()) as api:
            at = datetime.now(UTC) + timedelta(seconds=1)
            job = JobSpec(kind="command", params={"argv": ["true"]})
            api.post("/api/v1/schedules", ScheduleSpec(name=name, at=at, job=job))

    def start(self) -> None:
        """Start it, and read from its log where it listens."""
        log = self.folder / "log"
        log.write_bytes(b"")
        with log.open("ab") as writer:
            self.process = subprocess.Popen(
                [
                    *(*PROGRAM, "server", "run"),
                    *(f"--data-dir={self.folder / 'data'}", f"--listen={self.listen}"),
                ],
                env=clean_environment(self.folder) | self.more,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
            )
        url = wait_until(lambda: self._address(log), timeout_s=TIMEOUT_S)
        self.listen = url.removeprefix("http://")

    def _address(self, log: Path) -> str:
        assert self.process is not None
        assert self.process.poll() is None, log.read_text()
        events = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        return next((e["url"] for e in events if e["event"] == "server.started"), "")

    def kill(self) -> None:
        """End it as the kernel would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(TIMEOUT_S)

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(TIMEOUT_S)


@contextlib.contextmanager
def real_server(folder: Path, more: dict[str, str] | None = None) -> Iterator[RealServer]:
    """Give a running server, and leave no process of it behind."""
    server = RealServer(folder, more=more or {})
    try:
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


@dataclass
class Playing:
    """One attempt that is played: what has been written so far."""

    worker: "HandWorker"
    grant: Grant
    offset: int = 0
    digest: bytes = field(default=frames.EMPTY_DIGEST)

    async def started(self) -> None:
        """Say that it runs."""
        await self.worker.report(
            Started(job_id=self.grant.job_id, attempt=self.grant.attempt, at_us=1, pid=4711)
        )

    async def wrote(self, stream: FrameType, data: bytes) -> None:
        """Write output, by whichever of the two ways its size asks for."""
        encoded = frames.encode(stream, 1_700_000_000_000_000, data)
        if len(encoded) > 8192:
            params = self.worker.place(self.grant) | {"offset": self.offset}
            await self.worker.api.post_bytes(f"{WORKER}/output", params, encoded, Ack)
        else:
            await self.worker.report(
                Output(
                    job_id=self.grant.job_id,
                    attempt=self.grant.attempt,
                    offset=self.offset,
                    frames=encoded,
                )
            )
        self.offset += len(encoded)
        self.digest = frames.chain(self.digest, encoded)

    async def exited(self, code: int) -> None:
        """Say how it ended."""
        await self.worker.report(
            Ended(
                job_id=self.grant.job_id,
                attempt=self.grant.attempt,
                at_us=2,
                started_at_us=1,
                outcome=Outcome.FAILED if code else Outcome.SUCCEEDED,
                reason=Reason.EXIT_NONZERO if code else None,
                exit_code=code,
                output_length=self.offset,
                output_digest=self.digest.hex(),
            )
        )


class HandWorker:
    """A worker whose every word is said by a test."""

    def __init__(self, api: AsyncApi, session_id: str) -> None:
        self.api = api
        self.session_id = session_id
        self._claims = 0

    async def claim(self) -> Playing:
        """Take one job, waiting for it."""
        self._claims += 1
        request = ClaimRequest(
            session_id=self.session_id, number=self._claims, slots=1, wait_s=10.0
        )
        reply = await self.api.call(f"{WORKER}/claim", request, ClaimReply, timeout_s=20)
        [grant] = reply.grants
        return Playing(self, grant)

    async def report(self, *events: ReportEvent) -> None:
        """Tell what happened."""
        request = ReportRequest(session_id=self.session_id, events=list(events))
        await self.api.call(f"{WORKER}/report", request, ReportReply)

    async def download(self, sha256: str, playing: Playing, into: Path) -> str:
        """Fetch an input of a job."""
        params = self.place(playing.grant)
        return await self.api.download(f"{WORKER}/files/{sha256}", params, into)

    def place(self, grant: Grant) -> dict[str, str | int]:
        """Return the parameters that name an attempt of this session."""
        return {"session_id": self.session_id, "job_id": grant.job_id, "attempt": grant.attempt}


@asynccontextmanager
async def hand_worker(server: RealServer) -> AsyncIterator[HandWorker]:
    """Give an enrolled worker with a session."""
    async with AsyncApi(server.url, server.key("enrol")) as stranger:
        fingerprint = hashlib.sha256(str(server.folder).encode()).hexdigest()
        introduction = EnrolRequest(name="hand", fingerprint=fingerprint, host=HOST)
        enrolled = await stranger.call(f"{WORKER}/enrol", introduction, EnrolReply)
    async with AsyncApi(server.url, enrolled.token) as api:
        hello = SessionRequest(
            version="0", spool_id="spool-of-hand", slots=1, kinds=["command"], host=HOST
        )
        session = await api.call(f"{WORKER}/sessions", hello, SessionReply)
        yield HandWorker(api, session.session_id)
