"""One worker's post: the process that holds it, and who comes after that one.

A post has one process at a time. When its settings change so that the process cannot go on with
them, that one is asked to finish, and the next begins with whatever is wanted *then*: so edits that
come while it drains, a worker that is removed and added again, or a name that changes twice, all
lead to the same end. It decides nothing about restarts; that is `logic/child.py`.
"""

import dataclasses
import operator
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import TaskGroup

from orchestrator.kernel.bell import Bell
from orchestrator.kernel.packets import Message
from orchestrator.supervisor.children import ChildService, Running
from orchestrator.supervisor.launches import Launches
from orchestrator.supervisor.logic import orders
from orchestrator.supervisor.logic.causes import EndCause
from orchestrator.supervisor.logic.child import (
    Child,
    ChildState,
    Wanted,
)
from orchestrator.supervisor.logic.hold import Hold, HoldKind
from orchestrator.supervisor.logic.patience import MENDED_BY_PEOPLE, ChildPolicy
from orchestrator.supervisor.logic.plan import WorkerPlan
from orchestrator.supervisor.logic.share import Share
from orchestrator.supervisor.logic.standing import Facts, Standing, WorkerState, standing
from orchestrator.supervisor.logic.wanted import MachineWanted, WorkerWanted

SILENT_S: Final = 25.0
"""A worker tells how it is every 15 seconds at the latest. With the doubt that follows, one that
hangs is replaced half a minute after its last word."""
FIRST_WORD_S: Final = 120.0
"""Before its first word a worker looks through its spool, which may be large on a slow disk."""
CONFIGURATION: Final = 78
ENROLLED: Final = {code: wait_s for code, wait_s in MENDED_BY_PEOPLE.items() if code != 77}
"""A worker that we enrol ourselves gets another token at its next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What all posts of a machine share."""

    launches: Launches
    share: "Share[Post]"
    group: TaskGroup
    changed: Bell
    machine: Callable[[], MachineWanted]
    stop_s: float


class Post:
    """One worker of this machine."""

    def __init__(self, wanted: WorkerWanted, around: Around, hold: Hold | None = None) -> None:
        self.wanted: WorkerWanted | None = wanted
        """`None`: it was removed, and goes when its process has ended."""
        self.told = wanted
        """What its process goes by."""
        self.hold = hold
        self.service: ChildService | None = None
        self.starts = 0
        """How many processes it has had."""
        self.ends: Counter[EndCause] = Counter()
        """How often one of them ended, and why."""
        self._around = around
        self._leaving: str | None = None
        self._runs = False
        self._closed = False
        self._lives = False
        self._has_worked = False
        self._said: Message = {}
        self._said_at = 0.0
        self._misses_directory = False
        """Its directory was not there when it was started, or later."""
        self._state = Standing(WorkerState.STARTING)
        self._grounded: tuple[object, ...] | None = None
        """What that followed from."""
        self._since = anyio.current_time()

    @property
    def name(self) -> str:
        """Return what people call it."""
        return (self.wanted or self.told).name

    @property
    def folder(self) -> Path:
        """Return where its memory is."""
        return self._around.launches.folder(self.told)

    @property
    def log_file(self) -> Path:
        """Return where its own log is."""
        directory = self._around.machine().log.directory
        own = self.folder / "log/worker.log"
        return own if directory is None else directory / f"{self.name}.log"

    @property
    def child(self) -> Child | None:
        """Return what is known of its process; `None` while none is wanted."""
        return None if self.service is None else self.service.child

    @property
    def is_gone(self) -> bool:
        """Tell whether it was removed, and nothing is left of it."""
        return self.wanted is None and not self._runs

    @property
    def is_idle(self) -> bool:
        """Tell whether it has no process, and will have none as things are."""
        return not self._runs

    @property
    def said(self) -> Message:
        """Return how its process says that it is, or said before it ended."""
        return self._said

    @property
    def running_count(self) -> int:
        """Return how many jobs it runs, as far as it told."""
        count = self._said.get("running_count")
        return count if isinstance(count, int) else 0

    def start(self) -> None:
        """Have a process from now on, if it is to have one."""
        if not self._runs and self._wants_process:
            self._runs = True
            self._around.share.join(self, self.told.concurrency, now=anyio.current_time())
            self._around.group.start_soon(self._run)

    @property
    def _wants_process(self) -> bool:
        return not self._closed and self.is_asked_for

    @property
    def is_asked_for(self) -> bool:
        """Tell whether anybody wants it to have a process."""
        return self.wanted is not None and self.wanted.enabled and not self._is_stopped

    @property
    def _is_stopped(self) -> bool:
        return self.hold is not None and self.hold.kind is HoldKind.STOP

    async def _run(self) -> None:
        """Have one process after the other, until none is wanted."""
        while self._wants_process and self.wanted is not None:
            self.told, self._leaving = self.wanted, None
            self.service = ChildService(
                f"worker:{self.name}",
                self._policy(),
                self._launch,
                self._around.changed,
                self.ends,
            )
            await self.service.run()
            self._has_worked |= self.service.child.was_ready
        self._runs = False
        self._around.share.leave(self)
        self._around.changed.ring()

    async def _launch(self, last_code: int | None) -> Running:
        """Launch a process with what is wanted now, and what its share is."""
        self.told = self.wanted or self.told
        self._misses_directory = not self.told.working_directory.is_dir()
        running = await self._around.launches.launch_worker(
            self.told, self._around.machine(), paused=self.paused, last_code=last_code
        )
        self.starts += 1
        allowed = self._around.share.began(self, now=anyio.current_time())
        if allowed is None:
            return running
        return dataclasses.replace(running, first=(*running.first, orders.allow(allowed)))

    def _policy(self) -> ChildPolicy:
        worker = self.wanted or self.told
        return ChildPolicy(
            drain_s=worker.drain_timeout_s,
            stop_s=self._around.stop_s,
            silent_s=SILENT_S,
            first_word_s=FIRST_WORD_S,
            parking=ENROLLED if worker.token is None else MENDED_BY_PEOPLE,
        )

    def change(self, plan: WorkerPlan) -> None:
        """Become what the plan says."""
        old, new = self.wanted, plan.new
        self.wanted = new
        service = self.service
        if new is None or not new.enabled:
            self.leave("it was removed" if new is None else "it was disabled")
        elif not self._runs or service is None:
            self.start()
        elif plan.restarts:
            self.leave("its settings changed")
        elif service.child.wanted is Wanted.RUN:
            self._tell_changes(service, old, new)

    def _tell_changes(
        self, service: ChildService, old: WorkerWanted | None, new: WorkerWanted
    ) -> None:
        service.name = f"worker:{new.name}"
        service.be_patient(self._policy())
        self._around.share.join(self, new.concurrency, now=anyio.current_time())
        if old is not None and new.token != old.token and new.token is not None:
            service.tell(orders.identify(new.token))
        self.told = new
        self.tell_settings()
        if service.child.state is ChildState.PARKED:
            service.retry()

    def tell_settings(self) -> None:
        """Tell its process by what it goes now."""
        if self.service is not None and self.wanted is not None:
            settings = orders.live(self.wanted, self._around.machine(), paused=self.paused)
            self.service.tell(orders.update(settings))

    def allow(self, slots: int | None) -> None:
        """Tell its process how many jobs it may run."""
        if self.service is not None:
            self.service.tell(orders.allow(slots))

    @property
    def paused(self) -> str | None:
        """Return why it takes nothing; `None`: it does."""
        if self.wanted is not None and self.wanted.paused:
            where = f" ({self.wanted.place})" if self.wanted.place else ""
            return f"the configuration says so{where}"
        return None if self.hold is None else self.hold.reason

    @property
    def held_until(self) -> float | None:
        """Return when a hold of it ends by itself, by the wall clock; `None`: none does."""
        pinned = self.wanted is not None and self.wanted.paused
        return None if self.hold is None or pinned else self.hold.until

    def put_on_hold(self, hold: Hold | None, *, interrupts: bool = False) -> None:
        """Take nothing, or work again."""
        self.hold = hold
        if hold is not None and self._is_stopped:
            self.leave(hold.reason, Wanted.STOP if interrupts else Wanted.DRAIN)
        self.start()
        self.tell_settings()

    def leave(self, why: str, wanted: Wanted = Wanted.DRAIN) -> None:
        """Let the process finish and end; another follows if one is wanted then."""
        if self.service is not None and self._runs:
            self._leaving = why
            self.service.want(wanted)

    def move(self, why: str) -> None:
        """Let the process begin anew at once; jobs run on in their shims."""
        if self.service is not None and self._runs:
            self._leaving = why
            self.service.want(Wanted.LEAVE)

    @property
    def lives(self) -> bool:
        """Tell whether it has a process."""
        return self.service is not None and self.service.pid is not None

    @property
    def is_missed(self) -> bool:
        """Tell whether it is to have a process, and has none just now."""
        return self._runs and not self.lives

    def close(self, wanted: Wanted, why: str) -> None:
        """End for good, as the whole machine does."""
        self._closed = True
        self._leaving = why
        if self.service is not None:
            # How long a worker's own restart may take says nothing about the whole machine's end.
            drain_s = self._around.machine().drain_timeout_s
            self.service.be_patient(dataclasses.replace(self._policy(), drain_s=drain_s))
            self.service.want(wanted)

    def look(self) -> None:
        """Start anew what waits for a directory that is there by now."""
        child = self.child
        if child is None or self.service is None or child.state is not ChildState.PARKED:
            return
        if child.last_code == CONFIGURATION:
            if not self.told.working_directory.is_dir():
                self._misses_directory = True
            elif self._misses_directory:
                self.service.retry()

    def hear(self) -> None:
        """Note what its process says, and hand on what the share has to know."""
        service, now = self.service, anyio.current_time()
        if service is None or not self._runs:
            return
        if service.pid is None:
            if self._lives:
                self._around.share.lost(self, now=now)
            self._lives = False
            return
        self._lives = True
        if service.standing and service.standing is not self._said:
            self._said, self._said_at = service.standing, now
            self._around.share.heard(
                self,
                allowed=_count(self._said, "allowed"),
                running=_count(self._said, "running_count") or 0,
                takes=self._said.get("state") in {"ready", "busy"},
                now=now,
            )

    def standing(self) -> tuple[Standing, float]:
        """Return how it stands, and since when, by the clock of the event loop."""
        grounds = self._grounds()
        if self._grounded is not None and all(map(operator.is_, grounds, self._grounded)):
            return self._state, self._since
        self._grounded, state = grounds, self._standing()
        if (state.state, state.reason) != (self._state.state, self._state.reason):
            self._since = anyio.current_time()
        self._state = state
        return state, self._since

    def _grounds(self) -> tuple[object, ...]:
        """Return all that its standing follows from, each replaced and never changed in place.

        That of a hundred workers is asked for whenever anything happens to one of them.
        """
        service = self.service
        grounds = (self._runs, self.wanted, self.hold, self._leaving, self._said, service)
        return grounds if service is None else (*grounds, *service.grounds)

    def _standing(self) -> Standing:
        service = self.service
        if service is None or not self._runs:
            if self.wanted is not None and not self.wanted.enabled:
                return Standing(WorkerState.DISABLED, "the configuration says so")
            if self.hold is not None and self._is_stopped:
                starts = "is started when somebody resumes it"
                return Standing(WorkerState.STOPPED, self.hold.reason, starts)
            return Standing(WorkerState.STOPPED, self._leaving)
        drains = self.hold if self.hold and self.hold.kind is HoldKind.DRAIN else None
        lives = service.pid is not None
        return standing(
            Facts(
                child=service.child,
                said=self._said if not lives else service.standing,
                said_at=self._said_at,
                ended=service.ended,
                leaving=self._leaving,
                drained_by=None if drains is None else drains.reason,
            )
        )

    @property
    def has_worked(self) -> bool:
        """Tell whether it was ready once."""
        return self._has_worked or (self.child is not None and self.child.was_ready)

    @property
    def is_parked(self) -> bool:
        """Tell whether it waits for something to be mended."""
        return self.child is not None and self.child.state is ChildState.PARKED

    @property
    def is_hopeless(self) -> bool:
        """Tell whether it never worked, and will not before somebody mends something."""
        return not self.has_worked and self.child is not None and self.child.is_hopeless

    def running_since(self) -> list[float]:
        """Return since when its jobs run, as far as it told, by the wall clock."""
        running = self._said.get("running")
        entries = running if isinstance(running, list) else []
        moments = [one.get("started_at") for one in entries if isinstance(one, dict)]
        return [float(moment) for moment in moments if isinstance(moment, (int, float))]

    @property
    def needs_our_server(self) -> bool:
        """Tell whether it can do nothing without the embedded server."""
        return not (self.wanted or self.told).identity.server_url


def _count(said: Mapping[str, object], key: str) -> int | None:
    value = said.get(key)
    return value if isinstance(value, int) else None
