"""A worker that does nothing on its own: a test makes each of its calls, and sees each answer."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from orchestrator.protocol import frames
from orchestrator.protocol.frames import FrameType
from tests.integration.server.site import Site, bearer

HOST = {
    "hostname": "oak",
    "platform": "linux",
    "arch": "x86_64",
    "cpu_count": 4,
    "memory_bytes": 1 << 30,
    "python": "3.11.7",
}
NOW_US = 1_700_000_000_000_000


@dataclass
class Worker:
    """An enrolled worker and its session."""

    site: Site
    token: str
    session: str = ""
    number: int = 0
    logs: dict[tuple[str, int], bytes] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """Return its credential."""
        return {"Authorization": f"Worker {self.token}"}

    async def post(self, call: str, body: dict[str, Any], **options: Any) -> httpx.Response:
        """Make a call with JSON."""
        sent = {"Content-Type": "application/json", **self.headers}
        return await self.site.http.post(
            f"/api/worker/v1/{call}", content=json.dumps(body), headers=sent, **options
        )

    async def open(self, *, slots: int = 4, spool: str = "spool-0001", **more: Any) -> None:
        """Begin a session."""
        body = {
            "version": "0.1.0",
            "spool_id": spool,
            "slots": slots,
            "kinds": ["command", "delay"],
            "host": HOST,
            **more,
        }
        answer = await self.post("sessions", body)
        assert answer.status_code == 200, answer.text
        self.session = answer.json()["session_id"]

    async def claim(self, *, slots: int = 1, wait_s: float = 0) -> list[dict[str, Any]]:
        """Ask for attempts."""
        self.number += 1
        body = {
            "session_id": self.session,
            "number": self.number,
            "slots": slots,
            "wait_s": wait_s,
        }
        answer = await self.post("claim", body, timeout=40)
        assert answer.status_code == 200, answer.text
        grants: list[dict[str, Any]] = answer.json()["grants"]
        return grants

    async def report(self, *events: dict[str, Any]) -> list[dict[str, Any]]:
        """Tell what happened."""
        answer = await self.post("report", {"session_id": self.session, "events": list(events)})
        assert answer.status_code == 200, answer.text
        acks: list[dict[str, Any]] = answer.json()["acks"]
        return acks

    async def start(self, job_id: str, attempt: int = 1) -> None:
        """Say that the command runs."""
        about = {"job_id": job_id, "attempt": attempt}
        await self.report({"type": "started", **about, "at_us": NOW_US, "pid": 4711})

    async def write(
        self, job_id: str, data: bytes, *, attempt: int = 1, stream: FrameType = FrameType.OUT
    ) -> None:
        """Send output by the call for raw frames."""
        log = self.logs.get((job_id, attempt), b"")
        encoded = frames.encode(stream, NOW_US, data)
        await self.send_frames(job_id, encoded, attempt=attempt, offset=len(log))
        self.logs[job_id, attempt] = log + encoded

    async def send_frames(
        self, job_id: str, encoded: bytes, *, offset: int, attempt: int = 1
    ) -> dict[str, Any]:
        """Send encoded frames that begin at an offset."""
        query: dict[str, str | int] = {
            "session_id": self.session,
            "job_id": job_id,
            "attempt": attempt,
            "offset": offset,
        }
        answer = await self.site.http.post(
            "/api/worker/v1/output", params=query, content=encoded, headers=self.headers
        )
        assert answer.status_code == 200, answer.text
        ack: dict[str, Any] = answer.json()
        return ack

    async def end(
        self, job_id: str, *, attempt: int = 1, outcome: str = "succeeded", **more: Any
    ) -> dict[str, Any]:
        """Say that the attempt is over."""
        log = self.logs.get((job_id, attempt), b"")
        digest = frames.EMPTY_DIGEST
        for frame in frames.decode(log):
            digest = frames.chain(digest, log[frame.end - frame.size : frame.end])
        (ack,) = await self.report(
            {
                "type": "ended",
                "job_id": job_id,
                "attempt": attempt,
                "at_us": NOW_US,
                "outcome": outcome,
                "exit_code": 0 if outcome == "succeeded" else 1,
                "output_length": len(log),
                "output_digest": digest.hex(),
                **more,
            }
        )
        return ack


async def enrolled(site: Site, *, name: str = "one") -> Worker:
    """Return a new worker without a session."""
    body = {"name": name, "fingerprint": f"fingerprint-of-{name}", "host": HOST}
    headers = {"Content-Type": "application/json", **bearer(site.key("enrol"))}
    answer = await site.http.post("/api/worker/v1/enrol", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text
    return Worker(site, answer.json()["token"])


async def at_work(site: Site, *, name: str = "one", slots: int = 4, **session: Any) -> Worker:
    """Return a worker with an open session."""
    worker = await enrolled(site, name=name)
    await worker.open(slots=slots, spool=f"spool-of-{name}", **session)
    return worker
