"""Follow a job's output as it is written, over as many connections as it takes.

It shows and decides nothing: a `Show` is given each piece, and the job as it ended is returned. The
stream's own ids say where to go on, so nothing is shown twice and nothing is missed.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.client.http import CONNECTION_LOST
from orchestrator.client.sse import EventReader, ServerSentEvent
from orchestrator.commands import output
from orchestrator.commands.jobs.ending import incomplete
from orchestrator.commands.jobs.far import words
from orchestrator.commands.jobs.patience import Patience
from orchestrator.commands.remote import Remote
from orchestrator.kernel.errors import PeerBroken, Refused, ServerUnreachable, Unavailable
from orchestrator.protocol.views import JobView, OutputFrame, Problem, ProgressView
from orchestrator.protocol.words import PendingReason

T = TypeVar("T", bound=BaseModel)

BOTH: Final = frozenset({"stdout", "stderr"})
_STUCK: Final[Mapping[str, str]] = {
    PendingReason.NO_WORKER_ONLINE: "no worker is online (orchestrator run --local starts one)",
    PendingReason.NO_WORKER_MATCHES: "no worker has what it requires "
    "(orchestrator workers list shows what there is)",
}
STEP_PERCENT: Final = 10.0
"""Lines about how far a job is are few: its output is what people came for."""
IDLE_S: Final = 50.0
"""Three missed keep-alives (one every 15 s) mean that nobody is there."""


class Show(Protocol):
    """Where the pieces of output go."""

    def frame(self, frame: OutputFrame, written: str) -> None:
        """Show a piece; `written` is the JSON that it came as."""
        ...

    def remark(self, text: str) -> None:
        """Show what is worth knowing and is not output."""
        ...

    def finish(self) -> None:
        """Show what was held back."""
        ...


class Streams:
    """The job's own streams, byte for byte; what goes to `None` is not shown."""

    def __init__(self, stdout: output.Sink | None, stderr: output.Sink | None) -> None:
        self._sinks = {"stdout": stdout, "stderr": stderr}

    def frame(self, frame: OutputFrame, written: str) -> None:  # noqa: ARG002 - see Show
        """Write a piece to where the job wrote it."""
        data = content(frame)
        if frame.stream not in self._sinks:  # a note of the worker's, not of the job's
            self.remark(data.decode("utf-8", "backslashreplace").rstrip("\n"))
            return
        sink = self._sinks[frame.stream]
        if sink is not None:
            sink.write(data)

    def remark(self, text: str) -> None:
        """Say it on standard error, with our prefix."""
        self.finish()
        output.say(text)

    def finish(self) -> None:
        """Let the next words begin a line."""
        for sink in self._sinks.values():
            if sink is not None:
                sink.finish()


class JsonLines:
    """Each piece of some streams as a line of JSON, as the API gives it."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted

    def frame(self, frame: OutputFrame, written: str) -> None:
        """Write the piece as it came."""
        if frame.stream in self._wanted:
            output.line(written.encode())

    def remark(self, text: str) -> None:
        """Say it on standard error, with our prefix."""
        output.say(text)

    def finish(self) -> None:
        """Nothing is held back."""


def content(frame: OutputFrame) -> bytes:
    """Return the bytes of a piece, exactly as the job wrote them."""
    if frame.base64 is not None:
        return base64.b64decode(frame.base64)
    return (frame.text or "").encode()


@dataclass(frozen=True, slots=True)
class Ended:
    """The job at its end, and the JSON that said so."""

    job: JobView
    written: str


class Follower:
    """One job being followed."""

    def __init__(
        self, remote: Remote, job_id: str, show: Show, *, attempt: int | None = None
    ) -> None:
        self._remote = remote
        self._job_id = job_id
        self._attempt = attempt
        self._show = show
        self._reader = EventReader()
        self._connected = False
        self._offline = False
        self._progress: ProgressView | None = None

    def run(self, patience: Patience, *, known: bool) -> Ended:
        """Return the job when it has ended.

        A job that is `known` to exist is looked for patiently from the start; otherwise a server
        that cannot be reached at all is simply not there.
        """
        while True:
            try:
                return self._one_connection(patience)
            except Unavailable as error:
                if not known and not self._connected:
                    raise
                patience.lost(error, at_least_s=self._reader.retry_s)

    def _one_connection(self, patience: Patience) -> Ended:
        headers = self._reader.headers()
        stream = self._remote.output_stream(
            self._job_id, attempt=self._attempt, headers=headers, idle_s=IDLE_S
        )
        with stream as pieces:
            self._connected = True
            for event in self._reader.events(pieces):
                patience.answered()
                ended = self._handle(event)
                if ended is not None:
                    self._show.finish()
                    return ended
        raise ServerUnreachable("the server ended the stream", code=CONNECTION_LOST)

    def _handle(self, event: ServerSentEvent) -> Ended | None:
        match event.name:
            case "output":
                self._show.frame(_read(OutputFrame, event), event.data)
            case "gap":
                self._show.remark(gap_words(json.loads(event.data)))
            case "incomplete":
                self._show.remark(incomplete(json.loads(event.data)["missing_bytes"]))
            case "attempt":
                self._note_attempt(json.loads(event.data))
            case "state":
                self._note_state(json.loads(event.data))
            case "progress":
                self._note_progress(_read(ProgressView, event))
            case "problem":
                told = _read(Problem, event)
                raise Refused(told.detail, hint=told.hint, code=told.code)
            case "eof":
                return Ended(_read(JobView, event), event.data)
            case _:
                pass  # what a newer server may say besides
        return None

    def _note_state(self, told: dict[str, object]) -> None:
        """Say why nothing happens, if it will not begin to happen by itself."""
        words = _STUCK.get(str(told.get("pending_reason")))
        if words is not None:
            self._show.remark(f"the job waits: {words}")
        offline = told.get("worker_offline") is True
        if offline != self._offline:
            self._offline = offline
            self._show.remark(
                "the worker is offline: nobody has heard of it for half a minute"
                if offline
                else "the worker is not offline any more"
            )

    def _note_progress(self, told: ProgressView) -> None:
        """Say how far it is, if that is news enough for a line."""
        before, self._progress = self._progress, told
        step = before is None or (told.percent or 0.0) >= (before.percent or 0.0) + STEP_PERCENT
        if step or (before is not None and told.message != before.message):
            self._show.remark(words(told))
        else:
            self._progress = before

    def _note_attempt(self, told: dict[str, object]) -> None:
        number = told.get("attempt")
        if isinstance(number, int) and number > 1:
            self._show.remark(f"attempt {number} begins")


def _read(model: type[T], event: ServerSentEvent) -> T:
    try:
        return model.model_validate_json(event.data)
    except ValidationError as error:
        raise PeerBroken(
            f"the server sent an event {event.name!r} that is no {model.__name__}: "
            f"{error.error_count()} faults",
            hint="are the server's version and this one's the same?",
        ) from None


def gap_words(told: dict[str, object]) -> str:
    """Return what is said where output is missing."""
    size = told.get("dropped_bytes")
    amount = f"{size} bytes" if isinstance(size, int) else "some output"
    return f"{amount} left out here: the job wrote more than is kept"
