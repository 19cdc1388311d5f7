"""The calls of the worker's protocol: what each takes and gives, for whoever describes them.

It calls nothing. The handlers are in `routes/worker.py`; a test compares the two.
"""

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from orchestrator.protocol import wire
from orchestrator.protocol.base import Reply

PREFIX: Final = "/api/worker/v1"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. Without a model it takes, or gives, raw bytes."""

    method: str
    name: str
    summary: str
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """Return the whole path."""
        return f"{PREFIX}/{self.name}"


_ATTEMPT: Final = (("session_id", "query"), ("job_id", "query"), ("attempt", "query"))
CALLS: Final = (
    Call("POST", "enrol", "A new worker introduces itself", wire.EnrolRequest, wire.EnrolReply),
    Call("POST", "sessions", "A worker process begins", wire.SessionRequest, wire.SessionReply),
    Call("POST", "claim", "Ask for attempts", wire.ClaimRequest, wire.ClaimReply),
    Call("POST", "report", "Tell what happened", wire.ReportRequest, wire.ReportReply),
    Call("POST", "heartbeat", "Renew the session", wire.HeartbeatRequest, wire.HeartbeatReply),
    Call("POST", "goodbye", "A worker process ends", wire.GoodbyeRequest, Reply),
    Call(
        "POST",
        "output",
        "Send output frames that are too many for a report",
        gives=wire.Ack,
        parameters=(*_ATTEMPT, ("offset", "query")),
    ),
    Call(
        "GET",
        "files/{sha256}",
        "Fetch an input of an attempt",
        parameters=(("sha256", "path"), *_ATTEMPT),
    ),
)
