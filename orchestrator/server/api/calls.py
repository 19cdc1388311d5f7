"""The calls that go without a framework: what each takes and gives, for whoever describes them.

These are the worker's protocol and the submitting of jobs, which is most of the traffic. This file
calls nothing; the handlers are in `routes/`, and a test compares the two.
"""

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from orchestrator.protocol import wire
from orchestrator.protocol.base import Reply
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.views import JobView

WORKER: Final = "/api/worker/v1"
JOBS: Final = "/api/v1/jobs"
INPUT_FILE: Final = f"{WORKER}/files/{{sha256}}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. Without a model it takes, or gives, raw bytes."""

    method: str
    path: str
    summary: str
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    status: int = 200

    @property
    def tag(self) -> str:
        """Return under what the description lists it."""
        return "worker" if self.path.startswith(WORKER) else "jobs"


_ATTEMPT: Final = (("session_id", "query"), ("job_id", "query"), ("attempt", "query"))
SUBMIT: Final = Call("POST", JOBS, "Submit a job", JobSpec, JobView, status=201)
ENROL: Final = Call(
    "POST",
    f"{WORKER}/enrol",
    "A new worker introduces itself",
    wire.EnrolRequest,
    wire.EnrolReply,
)
TOKEN: Final = Call(
    "POST",
    f"{WORKER}/token",
    "Renew a worker's token",
    wire.RenewTokenRequest,
    wire.RenewTokenReply,
)
SESSIONS: Final = Call(
    "POST",
    f"{WORKER}/sessions",
    "A worker process begins",
    wire.SessionRequest,
    wire.SessionReply,
)
CLAIM: Final = Call(
    "POST", f"{WORKER}/claim", "Ask for attempts", wire.ClaimRequest, wire.ClaimReply
)
REPORT: Final = Call(
    "POST", f"{WORKER}/report", "Tell what happened", wire.ReportRequest, wire.ReportReply
)
HEARTBEAT: Final = Call(
    "POST",
    f"{WORKER}/heartbeat",
    "Renew the session",
    wire.HeartbeatRequest,
    wire.HeartbeatReply,
)
GOODBYE: Final = Call(
    "POST", f"{WORKER}/goodbye", "A worker process ends", wire.GoodbyeRequest, Reply
)
OUTPUT: Final = Call(
    "POST",
    f"{WORKER}/output",
    "Send output frames that are too many for a report",
    gives=wire.Ack,
    parameters=(*_ATTEMPT, ("offset", "query")),
)
FETCH: Final = Call(
    "GET",
    INPUT_FILE,
    "Fetch an input of an attempt",
    parameters=(("sha256", "path"), *_ATTEMPT),
)
CALLS: Final = (SUBMIT, ENROL, TOKEN, SESSIONS, CLAIM, REPORT, HEARTBEAT, GOODBYE, OUTPUT, FETCH)
