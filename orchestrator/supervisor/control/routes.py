"""What can be asked on the control socket: a table of routes, and an answer to each.

Nothing is decided here. A request becomes a call of the daemon or its fleet, and whatever those
raise becomes a problem with the same code.
"""

import logging
import os
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.kernel import logs
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import (
    IllegalTransition,
    JobsRunning,
    NotFound,
    OrchestratorError,
    Refused,
    RequestInvalid,
    Unavailable,
)
from orchestrator.kernel.stacks import stacks
from orchestrator.protocol.machine import (
    Done,
    Health,
    HoldWorkerRequest,
    MachineStatus,
    Reloaded,
    RestartRequest,
    StopRequest,
    UpgradeRequest,
    WorkerStatus,
)
from orchestrator.protocol.process import ProcessFacts
from orchestrator.supervisor.control import metrics
from orchestrator.supervisor.control.events import Events
from orchestrator.supervisor.control.exposition import Exposition
from orchestrator.supervisor.control.http import JSON, LINES, TEXT, Request, Response, problem
from orchestrator.supervisor.control.status import Status, health
from orchestrator.supervisor.doctor.process import describe
from orchestrator.supervisor.fleet import Fleet
from orchestrator.supervisor.logic.hold import Hold, HoldKind
from orchestrator.supervisor.logic.wanted import MetricsWanted
from orchestrator.supervisor.settings import DaemonSettings

LOGGER: Final = logging.getLogger(__name__)
T = TypeVar("T", bound=BaseModel)
_DIGITS: Final = 16
_DONE: Final = MappingProxyType(
    {HoldKind.PAUSE: "paused", HoldKind.DRAIN: "drained", HoldKind.STOP: "stopped"}
)


class Controlled(Protocol):
    """The daemon, as far as it is controlled."""

    @property
    def fleet(self) -> Fleet | None:
        """Return its children; `None` as long as nobody knows what is wanted."""
        ...

    @property
    def changed(self) -> Bell:
        """Return what rings when anything is another than before."""
        ...

    @property
    def phase(self) -> str:
        """Return whether it runs, or how far its end has come."""
        ...

    def config(self) -> Mapping[str, object]:
        """Return what is to be said of its configuration."""
        ...

    def reload(self) -> bool:
        """Look now whether something else is wanted; tell whether there is where to look."""
        ...

    def upgrade(self, program: str | None) -> None:
        """Begin anew in the same process, as another program if one is named; jobs run on."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked."""

    method: str
    path: str
    answer: Callable[["Routes", Request, str], Response]
    told: type[BaseModel] | str = Done
    """What is answered: a model, or the type of a text."""
    asked: type[BaseModel] | None = None
    queries: tuple[str, ...] = ()
    unready: bool = False
    """The same may be answered with 503."""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Return the paths that it is for."""
        return re.compile(self.path.replace("{name}", "(?P<name>[^/]+)"))


class Routes:
    """Answers requests of one daemon."""

    def __init__(
        self,
        daemon: Controlled,
        clock: Clock,
        settings: DaemonSettings,
        events: Events,
    ) -> None:
        self._daemon = daemon
        self._environ = settings.environ
        self._events = events
        self._clock = clock
        self._status = Status(clock, str(settings.state_dir))
        self.exposition = Exposition(self, self._metrics_wanted, daemon.changed)
        """The part of it that is told by TCP, if that is wanted."""

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return self._answer(request)
        except OrchestratorError as error:
            return problem(_status(error), error.problem_code, error.message, error.hint)
        except Exception as error:
            # One broken answer must not end the machine's work.
            LOGGER.exception("control.failed")
            return problem(500, "internal", f"an answer failed: {type(error).__name__}")

    def _answer(self, request: Request) -> Response:
        allowed = []
        for route in ROUTES:
            found = route.pattern.fullmatch(request.path)
            if found and request.method in {route.method, "HEAD" if route.method == "GET" else ""}:
                return route.answer(self, request, found.groupdict().get("name", ""))
            if found:
                allowed.append(route.method)
        if allowed:
            detail = f"{request.method} is not for {request.path}; {', '.join(allowed)} is"
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        raise NotFound(f"there is nothing at {request.path}")

    def live(self, _request: Request, _name: str) -> Response:
        """Answer that the loop turns."""
        return _reply(Done())

    def ready(self, _request: Request, _name: str) -> Response:
        """Answer whether all is as it is wanted."""
        told = health(self._machine())
        return _reply(told, 200 if told.ok else HTTPStatus.SERVICE_UNAVAILABLE)

    def status(self, _request: Request, _name: str) -> Response:
        """Answer with everything."""
        return _reply(self._machine())

    def worker(self, _request: Request, name: str) -> Response:
        """Answer with one worker."""
        return _reply(self._worker(name))

    def pause(self, request: Request, name: str) -> Response:
        """Let a worker take nothing new."""
        return self._hold(request, name, HoldKind.PAUSE, _read(HoldWorkerRequest, request))

    def drain(self, request: Request, name: str) -> Response:
        """Let a worker take nothing new, and show when what runs is done."""
        return self._hold(request, name, HoldKind.DRAIN, _read(HoldWorkerRequest, request))

    def stop(self, request: Request, name: str) -> Response:
        """Let a worker have no process, unless jobs run there and nobody said what of them."""
        asked = _read(StopRequest, request)
        told = self._worker(name)
        if told.running_count and self._fleet.find(name).is_missed:
            # Nobody is there who could interrupt them, or see them end.
            raise JobsRunning(
                f"{name} has no process now (it is {told.state}), and ran {_jobs(told)}, "
                "which may run on without it",
                hint=f"have it begin at once with `orchestrator restart {name}`, and stop it then; "
                f"what keeps it from that: orchestrator why {name}",
            )
        if told.running_count and asked.running == "refuse":
            raise JobsRunning(
                f"{name} runs {_jobs(told)}",
                hint="let them finish with --drain, or interrupt them with --force: "
                "they go back to the head of the queue",
            )
        interrupts = asked.running == "interrupt"
        return self._hold(request, name, HoldKind.STOP, asked, interrupts=interrupts)

    def _hold(
        self,
        request: Request,
        name: str,
        kind: HoldKind,
        asked: HoldWorkerRequest,
        *,
        interrupts: bool = False,
    ) -> Response:
        until = None if asked.for_s is None else self._clock.now() + asked.for_s
        reason = asked.reason or f"{_DONE[kind]} by {_user(request.peer.uid)}"
        self._fleet.hold(name, Hold(kind, reason, until), interrupts=interrupts)
        return self._done(request, name, str(kind), reason)

    def resume(self, request: Request, name: str) -> Response:
        """Let a worker work again."""
        post = self._fleet.find(name)
        if post.wanted is not None and post.wanted.paused:
            raise IllegalTransition(
                f"the configuration pauses {name} ({post.wanted.place})",
                hint="take `paused` out of its entry",
            )
        if post.hold is None:
            raise IllegalTransition(
                f"{name} is neither paused, drained nor stopped: it is {self._worker(name).state}"
            )
        self._fleet.hold(name, None)
        return self._done(request, name, "resume", None)

    def restart(self, request: Request, name: str) -> Response:
        """Let a worker finish and begin anew."""
        asked = _read(RestartRequest, request)
        reason = asked.reason or f"restarted by {_user(request.peer.uid)}"
        self._fleet.restart(name, reason)
        return self._done(request, name, "restart", reason)

    def reload(self, request: Request, _name: str) -> Response:
        """Look at the configuration now."""
        looked = self._daemon.reload()
        self._audit(request, "reload", None, None)
        return _reply(Reloaded(looked=looked))

    def upgrade(self, request: Request, _name: str) -> Response:
        """Begin anew, as another program if one is named."""
        program = _read(UpgradeRequest, request).program
        if program is not None and not os.access(program, os.X_OK):
            raise RequestInvalid(f"program: {program} cannot be run")
        self._audit(request, "upgrade", None, program)
        self._daemon.upgrade(program)
        return _reply(Done())

    def events(self, request: Request, _name: str) -> Response:
        """Answer with what happened since a number, and with what happens if that is wanted."""
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < _DIGITS):
            raise RequestInvalid(f"since: {since!r} is no number of an event")
        if request.query.get("follow") in {"1", "true"}:
            return Response(pieces=self._events.follow(int(since)), media_type=LINES)
        return Response(body=b"".join(self._events.since(int(since))), media_type=LINES)

    def metrics(self, _request: Request, _name: str) -> Response:
        """Answer in the text format of Prometheus."""
        return Response(body=metrics.text(self._machine()).encode(), media_type=metrics.MEDIA_TYPE)

    def doctor(self, _request: Request, _name: str) -> Response:
        """Answer with what this process finds around it, which a shell cannot know."""
        return _reply(describe(self._environ))

    def openapi(self, _request: Request, _name: str) -> Response:
        """Answer with what can be asked here, as a document for programs."""
        from orchestrator.supervisor.control.openapi import document  # noqa: PLC0415 - rarely

        return Response.of(document(ROUTES))

    def dump(self, request: Request, _name: str) -> Response:
        """Answer with what every task and thread does, and let the children write theirs down."""
        self._audit(request, "dump", None, None)
        for child in () if self._daemon.fleet is None else self._daemon.fleet.services:
            child.dump()
        return Response(body=stacks().encode(), media_type=TEXT)

    @property
    def _fleet(self) -> Fleet:
        if (fleet := self._daemon.fleet) is None:
            raise Unavailable(
                "nothing is configured yet",
                hint="see what is missing with: orchestrator status",
            )
        return fleet

    def _machine(self) -> MachineStatus:
        daemon = self._daemon
        told = self._status.machine(daemon.fleet, phase=daemon.phase, config=daemon.config())
        return told.model_copy(update={"metrics": self.exposition.status()})

    def _metrics_wanted(self) -> MetricsWanted | None:
        fleet = self._daemon.fleet
        return None if fleet is None else fleet.wanted.metrics

    def _worker(self, name: str) -> WorkerStatus:
        try:
            return self._status.worker(self._fleet.find(name))
        except NotFound:
            parked = self._status.parked(name, self._daemon.config())
            if parked is None:
                raise
            return parked

    def _done(self, request: Request, name: str, verb: str, reason: str | None) -> Response:
        self._audit(request, verb, name, reason)
        return _reply(self._worker(name))

    def _audit(self, request: Request, verb: str, worker: str | None, reason: str | None) -> None:
        """Write down who wanted what: an order to a machine is never anonymous."""
        logs.event(
            LOGGER,
            logging.INFO,
            "control.ordered",
            verb=verb,
            worker=worker,
            reason=reason,
            uid=request.peer.uid,
            pid=request.peer.pid,
        )


ROUTES: Final = (
    Route("GET", "/v1/health/live", Routes.live),
    Route("GET", "/v1/health/ready", Routes.ready, told=Health, unready=True),
    Route("GET", "/v1/status", Routes.status, told=MachineStatus),
    Route("GET", "/v1/workers/{name}", Routes.worker, told=WorkerStatus),
    Route("POST", "/v1/workers/{name}:pause", Routes.pause, WorkerStatus, HoldWorkerRequest),
    Route("POST", "/v1/workers/{name}:drain", Routes.drain, WorkerStatus, HoldWorkerRequest),
    Route("POST", "/v1/workers/{name}:stop", Routes.stop, WorkerStatus, StopRequest),
    Route("POST", "/v1/workers/{name}:resume", Routes.resume, told=WorkerStatus),
    Route("POST", "/v1/workers/{name}:restart", Routes.restart, WorkerStatus, RestartRequest),
    Route("POST", "/v1/config:reload", Routes.reload, told=Reloaded),
    Route("POST", "/v1/upgrade", Routes.upgrade, asked=UpgradeRequest),
    Route("GET", "/v1/events", Routes.events, told=LINES, queries=("since", "follow")),
    Route("POST", "/v1/dump", Routes.dump, told=TEXT),
    Route("GET", "/v1/doctor", Routes.doctor, told=ProcessFacts),
    Route("GET", "/metrics", Routes.metrics, told=metrics.MEDIA_TYPE),
    Route("GET", "/openapi.json", Routes.openapi, told=JSON),
)


def _jobs(told: WorkerStatus) -> str:
    """Return the jobs of a worker by their names, and how many more there are than it names."""
    named = [f"{one.job} ({one.name})" if one.name else one.job for one in told.running]
    more = told.running_count - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _user(uid: int) -> str:
    """Return what people call that user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _reply(model: BaseModel, status: int = 200) -> Response:
    return Response(status, model.model_dump_json().encode() + b"\n")


def _read(model: type[T], request: Request) -> T:
    try:
        return model.model_validate_json(request.body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise RequestInvalid(f"{place}: {first['msg']}") from None


def _status(error: OrchestratorError) -> int:
    match error:
        case NotFound():
            return HTTPStatus.NOT_FOUND
        case RequestInvalid():
            return HTTPStatus.UNPROCESSABLE_ENTITY
        case Refused():
            return HTTPStatus.CONFLICT
        case _:
            return HTTPStatus.SERVICE_UNAVAILABLE
