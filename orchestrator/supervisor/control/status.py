"""What is told of the machine: the fleet's facts as models of the wire.

It asks nobody: all of it is in memory, so a machine with a hundred workers answers at once.
"""

import math
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import anyio

from orchestrator import __version__
from orchestrator.core.enforcement import not_held
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.delegation import delegated
from orchestrator.protocol.machine import (
    ConfigStatus,
    Health,
    LimitsStatus,
    MachineStatus,
    RunningJob,
    ServerStatus,
    WorkerStatus,
)
from orchestrator.protocol.standing import AT_EASE, HELD
from orchestrator.supervisor.fleet import Fleet
from orchestrator.supervisor.logic.child import ChildState
from orchestrator.supervisor.post import Post


class Status:
    """Describes one machine."""

    def __init__(self, clock: Clock, state_dir: str) -> None:
        self._clock = clock
        self._state_dir = state_dir
        self._started_at = _moment(clock.now())
        self._delegation = delegated()

    def machine(
        self, fleet: Fleet | None, *, phase: str, config: Mapping[str, object]
    ) -> MachineStatus:
        """Return everything; without a fleet, that there is none yet."""
        workers = [] if fleet is None else [self.worker(post) for post in fleet.posts]
        return MachineStatus(
            version=__version__,
            pid=os.getpid(),
            started_at=self._started_at,
            phase=phase,
            machine="" if fleet is None else fleet.wanted.name,
            state_dir=self._state_dir,
            max_jobs=0 if fleet is None else fleet.wanted.max_jobs,
            running_count=sum(worker.running_count for worker in workers),
            config=ConfigStatus.model_validate(config),
            limits=LimitsStatus(
                controllers=sorted(self._delegation.controllers),
                reason=self._delegation.reason or None,
            ),
            server=None if fleet is None else self._server(fleet),
            loop_lag_s=None if fleet is None else round(fleet.loop_lag_s, 4),
            workers=sorted(workers, key=lambda worker: worker.name),
        )

    def worker(self, post: Post) -> WorkerStatus:
        """Return how one worker stands."""
        standing, since = post.standing()
        wanted, said = post.wanted or post.told, post.said
        service = post.service
        next_action, next_at = standing.next_action, standing.next_at
        ends_at = None if next_at is None else self._wall(next_at)
        unbound = said.get("unbound") is True
        until = post.held_until if standing.state in HELD else None
        if ends_at is None and until is not None:
            next_action, ends_at = "is resumed by itself", _moment(until)
        return WorkerStatus(
            name=post.name,
            state=str(standing.state),
            since=self._wall(since),
            reason=standing.reason,
            next_action=next_action,
            next_at=ends_at,
            slots=wanted.concurrency,
            allowed=_number(said, "allowed"),
            running_count=post.running_count,
            running=list(_running(said.get("running"))),
            pid=None if service is None else service.pid,
            starts=post.starts,
            tags=list(wanted.tags),
            server_url=wanted.identity.server_url or None,
            working_directory=str(wanted.working_directory),
            log_file=str(post.log_file),
            configured_at=None if wanted.place is None else str(wanted.place),
            waiting_bytes=_number(said, "waiting_bytes"),
            contact_age_s=_seconds(said, "contact_age_s"),
            ends={str(cause): count for cause, count in post.ends.items()},
            attempts=_counts(said.get("ended")),
            ended_kinds=_counts(said.get("ended_kinds")),
            running_kinds=_counts(said.get("running_kinds")),
            leftovers=_number(said, "leftovers"),
            not_held=not_held(
                wanted.limits, frozenset() if unbound else self._delegation.controllers
            ),
            unbound=unbound,
        )

    def parked(self, name: str, config: Mapping[str, object]) -> WorkerStatus | None:
        """Return how a worker stands whose entry cannot be run as it is; `None`: there is none."""
        told = ConfigStatus.model_validate(config)
        entry = next((one for one in told.parked if one.name == name), None)
        if entry is None:
            return None
        first, more = next(iter(entry.problems), {}), len(entry.problems) - 1
        return WorkerStatus(
            name=name,
            state="config_error",
            since=self._started_at if told.applied_at is None else _moment(told.applied_at),
            reason=str(first.get("message", "cannot be run"))
            + (f", and {more} more" if more > 0 else ""),
            next_action="waits until that is mended in its entry, or comes true",
            slots=0,
            working_directory="",
            configured_at=str(first.get("place", entry.place)),
        )

    def _server(self, fleet: Fleet) -> ServerStatus | None:
        server, problem = fleet.server, fleet.server_problem
        if server is None and problem is None:
            return None
        if server is None:
            since = self._wall(fleet.server_problem_since)
            return ServerStatus(state=str(ChildState.DOWN), since=since, problem=problem)
        url = server.news.get("url")
        return ServerStatus(
            state=str(server.child.state),
            since=self._wall(server.since),
            url=url if isinstance(url, str) else None,
            pid=server.pid,
            starts=server.launches,
            problem=problem,
        )

    def _wall(self, moment: float) -> datetime:
        """Return a moment of the event loop as a date and time."""
        if not math.isfinite(moment):
            return self._started_at
        return _moment(self._clock.now() - (anyio.current_time() - moment))


def health(status: MachineStatus) -> Health:
    """Return whether all is as it is wanted."""
    reasons = [f"it is {status.phase}"] if status.phase != "running" else []
    if not status.machine:
        reasons.append("it waits for its configuration")
    if status.server is not None and status.server.state != "ready":
        reasons.append(f"the server is {status.server.state}")
    if status.server is not None and status.server.problem is not None:
        reasons.append(f"the server is not as it is wanted: {status.server.problem}")
    if status.config.banner is not None:
        reasons.append(status.config.banner.message)
    if status.metrics is not None and status.metrics.problem is not None:
        reasons.append(f"the metrics are not told by TCP: {status.metrics.problem}")
    reasons += [
        f"{worker.name} is {worker.state}" + (f": {worker.reason}" if worker.reason else "")
        for worker in status.workers
        if worker.state not in AT_EASE
    ]
    return Health(ok=not reasons, reasons=reasons)


def _running(entries: object) -> Iterable[RunningJob]:
    """Yield what a worker said of its jobs; what it said in another way is left out."""
    for one in entries if isinstance(entries, list) else ():
        match one:
            case {"job": str(job), "attempt": int(attempt)}:
                name, started = one.get("name"), one.get("started_at")
                pid = one.get("pid")
                yield RunningJob(
                    job=job,
                    attempt=attempt,
                    name=name if isinstance(name, str) else None,
                    started_at=_moment(started) if isinstance(started, (int, float)) else None,
                    pid=pid if isinstance(pid, int) else None,
                )
            case _:
                continue


def _number(said: Mapping[str, Any], key: str) -> int | None:
    value = said.get(key)
    return value if isinstance(value, int) else None


def _counts(said: object) -> dict[str, int]:
    """Return what a worker counted; what it said in another way is left out."""
    counts = said if isinstance(said, dict) else {}
    return {str(word): count for word, count in counts.items() if isinstance(count, int)}


def _seconds(said: Mapping[str, Any], key: str) -> float | None:
    value = said.get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
