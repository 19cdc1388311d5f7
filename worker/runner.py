"""One attempt's shell: it makes ready, starts, listens, and does what the rules say.

It decides nothing about the attempt: `logic/attempt.py` does, and is told of everything that
happens. It is one task, which waits for news of its own attempt only.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread
from pydantic import ValidationError

from orchestrator.kernel import logs
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import LaunchFailed, StateUnavailable
from orchestrator.protocol.frames import EMPTY_DIGEST
from orchestrator.protocol.wire import Ended, Grant, Progress, Released, Started
from orchestrator.protocol.words import Execution, Reason
from worker.inputs import Inputs, Unavailable
from worker.kinds import Entered, Finished, Kinds, Launch, Progressed, Running, Work
from worker.logic.attempt import (
    Abandon,
    Alive,
    Attempt,
    Happening,
    Interrupt,
    Over,
    Prepared,
    Say,
    Settle,
    Start,
    Unaccounted,
    Unprepared,
    Withdraw,
    Withdrawn,
    decide,
)
from worker.logic.lifecycle import AttemptState
from worker.logic.outcome import end_of, shortened
from worker.moment import now_us
from worker.records import Began, Exited, Log, Phase, Vanished, Wrote
from worker.services.courier import Courier
from worker.settings import JobLimits, WorkerSettings
from worker.terms import Terms
from worker.workspace import Workspaces

LOGGER: Final = logging.getLogger(__name__)
NO_OUTPUT: Final = Log(0, EMPTY_DIGEST)
UNKNOWN: Final = "unknown"
"""The kind of what an earlier process was granted: a log does not tell it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every attempt uses."""

    settings: WorkerSettings
    terms: Terms
    kinds: Kinds
    inputs: Inputs
    workspaces: Workspaces
    courier: Courier
    clock: Clock


class Runner:
    """One attempt. `moved` hears of every change of its state."""

    def __init__(
        self, attempt: Attempt, tools: Tools, moved: Callable[["Runner", AttemptState], None]
    ) -> None:
        self.attempt = attempt
        self._tools = tools
        self._moved = moved
        self._preparing = anyio.CancelScope()
        self._answered = anyio.Event()
        self._running: Running | None = None
        self._interrupt: Interrupt | None = None
        self._has_workspace = False
        self._quiet_until = -math.inf
        self._words = 0
        self.name: str | None = None
        """What its job is called, if it was granted to this process."""
        self.kind = UNKNOWN
        self.began_us: int | None = None
        self.pid: int | None = None
        """Of its command, once that runs."""
        self.was_found = False
        """Whether an earlier process started it."""

    @property
    def phase(self) -> Phase:
        """Return how far it is, as a new session is told: its log may know more than was read."""
        return self.attempt.phase if self._running is None else self._running.phase

    def happened(self, happening: Happening) -> bool:
        """Do what the rules say about it; tell whether the attempt is to be started."""
        before = self.attempt.state
        self.attempt, effects = decide(self.attempt, happening)
        start = False
        for effect in effects:
            match effect:
                case Start():
                    start = True
                    self._answered.set()
                case Withdraw():
                    self._preparing.cancel()
                    self._answered.set()
                case Interrupt():
                    self._interrupt = effect
                    self._obey()
                case Say():
                    self._say(effect.event)
                case Settle():
                    self._settle()
        if self.attempt.state is not before:
            self._moved(self, before)
        return start

    def taken(self, offset: int) -> None:
        """Note that the server has its output up to there."""
        if self._running is not None:
            self._running.acknowledged(offset)

    def refused(self) -> None:
        """Note that the server will not have all of it: what is here is kept for people."""
        if self._running is not None:
            self._running.keep()
        elif self.attempt.state is AttemptState.ANNOUNCED:
            # Its start will never be recorded, so nothing of it may run: it goes back unheard of.
            self.happened(Abandon())

    async def run(self, grant: Grant) -> None:
        """Take a new attempt from its grant to its end."""
        ready = await self._make_ready(grant)
        if isinstance(ready, Unprepared | Withdrawn):
            await self._clean()
            self.happened(ready)
        elif self.happened(Prepared(now_us(self._tools.clock))) or await self._is_recorded(ready):
            await self._start(ready)

    async def _is_recorded(self, launch: Launch) -> bool:
        """Wait for the answer to a start that was only announced; without one, nothing begins."""
        if self.attempt.state is AttemptState.ANNOUNCED:
            await self._answered.wait()
        if self.attempt.state is AttemptState.STARTING:
            return True
        launch.leave()
        await self._clean()
        if self.attempt.state in {AttemptState.ANNOUNCED, AttemptState.ABANDONED}:
            self.happened(Withdrawn(now_us(self._tools.clock), "it was ended before it began"))
        return False

    async def follow(self, running: Running) -> None:
        """Take an attempt that was started, now or by an earlier process, to its end."""
        self._running = running
        self._obey()
        async for record in running.records():
            match record:
                case Wrote():
                    key, courier = self.attempt.key, self._tools.courier
                    await courier.write(key, record.offset, record.frames)
                case Began():
                    self.began_us = record.at_us
                    self.happened(Alive(record.at_us, record.pid))
                case Entered():
                    self.began_us = record.at_us
                    self.happened(Alive(record.at_us))
                case Progressed():
                    self._say_progress(record)
                case Finished():
                    self.happened(Over(record.end, NO_OUTPUT))
                case Exited():
                    await self._clean()
                    self.happened(Over(end_of(record), record.log))
                case Vanished():
                    await self._clean()
                    self.happened(self._vanished(record))

    def found(self) -> None:
        """Note that an earlier process started it, which may have left a workspace."""
        self.was_found = True
        self._has_workspace = self._tools.workspaces.files(self.attempt.key).parent.exists()

    async def _make_ready(self, grant: Grant) -> Launch | Unprepared | Withdrawn:
        tools, key = self._tools, self.attempt.key
        kind = tools.kinds.get(grant.kind)
        if kind is None:
            known = ", ".join(sorted(tools.kinds))
            return self._unprepared(
                Reason.INVALID_PARAMS, f"this worker has no kind {grant.kind!r}, only: {known}"
            )
        root = tools.settings.working_directory
        try:
            if grant.inputs:
                self._has_workspace = True
                with self._preparing:
                    root = await tools.inputs.place(key, grant.inputs)
                if self._preparing.cancel_called:
                    return Withdrawn()
            launch = kind.ready(_work(self.attempt, grant, root, tools.terms.now.limits))
            # Before anybody hears of a start: what this machine cannot begin, another one may.
            await launch.secure()
        except LaunchFailed as error:
            return self._unable(error)
        except Unavailable as error:
            return self._unprepared(error.reason, error.message)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "params"
            return self._unprepared(Reason.INVALID_PARAMS, f"{place}: {first['msg']}")
        if self._preparing.cancel_called:
            launch.leave()
            return Withdrawn()
        return launch

    def _unprepared(self, reason: Reason, message: str) -> Unprepared:
        return Unprepared(reason, shortened(message), now_us(self._tools.clock))

    def _unable(self, error: LaunchFailed) -> Withdrawn:
        """Somebody else may have room. That there is none here has been told, once for all."""
        return Withdrawn(now_us(self._tools.clock), error.message)

    async def _start(self, launch: Launch) -> None:
        try:
            running = await launch.start()
        except LaunchFailed as error:
            # The shim that was kept for it has died meanwhile, and there is no other.
            await self._clean()
            self.happened(self._unable(error))
        else:
            await self.follow(running)

    def _obey(self) -> None:
        """Pass an order on, as soon as there is somebody to hear it."""
        if self._running is not None and self._interrupt is not None:
            self._running.cancel(self._interrupt.cause, self._interrupt.grace_s)
            self._interrupt = None

    def _say(self, event: Started | Ended | Released) -> None:
        if self.attempt.state is AttemptState.LATE and not isinstance(event, Started):
            self._tools.courier.say_late(self.attempt.key, event)
            return
        self._tools.courier.say(self.attempt.key, event)
        match event:
            case Started():
                self.pid = event.pid
                if self.attempt.state is AttemptState.RUNNING:
                    what = "attempt.found" if self.was_found else "attempt.started"
                    logs.event(LOGGER, logging.INFO, what, **self._names(), pid=event.pid)
            case Ended():
                logs.event(
                    LOGGER,
                    logging.INFO,
                    "attempt.ended",
                    **self._names(),
                    outcome=event.outcome,
                    reason=event.reason,
                    exit_code=event.exit_code,
                    signal=event.signal,
                )
            case Released():
                logs.event(LOGGER, logging.INFO, "attempt.released", **self._names())

    def _say_progress(self, progressed: Progressed) -> None:
        """Tell how far it is, as often as the server wants it: the next word says it as well."""
        pause_s, now = self._tools.courier.progress_s, self._tools.clock.monotonic()
        is_running = self.attempt.state is AttemptState.RUNNING
        if pause_s is None or not is_running or now < self._quiet_until:
            return
        self._quiet_until = now + pause_s
        self._words += 1
        key = self.attempt.key
        self._tools.courier.say(
            key,
            Progress(
                job_id=key.job_id,
                attempt=key.number,
                seq=self._words,
                at_us=progressed.at_us,
                percent=progressed.percent,
                message=progressed.message,
            ),
        )

    def _names(self) -> dict[str, object]:
        return {"job": self.attempt.key.job_id, "attempt": self.attempt.key.number}

    def _settle(self) -> None:
        if self._running is not None:
            self._running.settle()
        self._tools.courier.forget(self.attempt.key)

    async def _clean(self) -> None:
        """Remove the workspace, before anybody hears that the attempt is over."""
        if not self._has_workspace:
            return
        try:
            await to_thread.run_sync(self._tools.workspaces.wipe, self.attempt.key)
        except StateUnavailable as error:
            logs.event(
                LOGGER, logging.WARNING, "workspace.kept", **self._names(), reason=error.message
            )

    def _vanished(self, record: Vanished) -> Happening:
        """A shim that had not even noted the grant has started nothing."""
        if not record.may_have_run:
            return Withdrawn(now_us(self._tools.clock), "the process that was to watch it had gone")
        return Unaccounted(now_us(self._tools.clock), record.log)


def _work(attempt: Attempt, grant: Grant, root: Path, limits: JobLimits) -> Work:
    return Work(
        key=attempt.key,
        params=grant.params,
        env=grant.env,
        root=root,
        timeout_s=min(grant.timeout_s, limits.timeout_s or grant.timeout_s),
        silence_s=grant.silence_s,
        grace_s=attempt.grace_s,
        limits=limits,
        durable=grant.execution is Execution.AT_MOST_ONCE,
    )
