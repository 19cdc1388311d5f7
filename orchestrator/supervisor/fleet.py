"""All children of one machine: the embedded server, if there is one, and the workers.

It makes what is from what is wanted, and does what a person asks of one worker. It reads no file
and no signal. The workers know nothing of each other, and whatever becomes of one of them is dealt
with in its own tasks: the only thing that they share is the machine's limit of jobs.
"""

import logging
import socket
from collections import deque
from typing import Final

import anyio
from anyio.abc import TaskGroup

from orchestrator.kernel import logs
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import IllegalTransition, NotFound
from orchestrator.supervisor.children import ChildService
from orchestrator.supervisor.embedded import Client, Embedded, Place
from orchestrator.supervisor.holds import Holds
from orchestrator.supervisor.launches import Launches
from orchestrator.supervisor.logic.child import Wanted
from orchestrator.supervisor.logic.hold import Hold
from orchestrator.supervisor.logic.plan import Plan, WorkerPlan, plan
from orchestrator.supervisor.logic.share import Share
from orchestrator.supervisor.logic.wanted import MachineWanted, WorkerWanted
from orchestrator.supervisor.post import Around, Post
from orchestrator.supervisor.settings import DaemonSettings

LOGGER: Final = logging.getLogger(__name__)
TOLD_TO_ALL: Final = frozenset({"min_free", "spool_max", "log"})
"""Keys of the machine that are settings of every worker."""
LOOK_S: Final = 1.0
"""How often one looks whether what somebody had to mend is mended, and whether a hold is over."""
LAGS: Final = 60
"""A minute of looks, as often as anybody scrapes at least."""


class Fleet:
    """The children of one machine."""

    def __init__(
        self,
        wanted: MachineWanted,
        launches: Launches,
        settings: DaemonSettings,
        changed: Bell,
        clock: Clock,
    ) -> None:
        self.wanted = wanted
        """What is applied now."""
        self.posts: list[Post] = []
        self.changed = changed
        self._launches = launches
        self._settings = settings
        self._clock = clock
        self._share: Share[Post] = Share(wanted.max_jobs)
        self._holds = Holds(settings.state_dir / "holds.json")
        self._around: Around | None = None
        self._embedded = Embedded(launches, changed, self._clients)
        self._ever_worked = False
        self._lags: deque[float] = deque(maxlen=LAGS)

    @property
    def server(self) -> ChildService | None:
        """Return the embedded server, if there is one."""
        return self._embedded.service

    @property
    def server_problem(self) -> str | None:
        """Return why the embedded server is not as it is wanted."""
        return self._embedded.problem

    @property
    def server_problem_since(self) -> float:
        """Return since when that is so, by the clock of the event loop."""
        return self._embedded.problem_since

    def _log_as(self, wanted: MachineWanted) -> None:
        level = logging.getLevelNamesMapping()[wanted.log.level.upper()]
        logs.adjust(level=level, form=logs.Form(wanted.log.format))
        self._embedded.log_as(wanted.log)

    def _clients(self) -> list[Client]:
        return [post for post in self.posts if post.needs_our_server and not post.is_gone]

    def start(self, group: TaskGroup, listening: socket.socket | None) -> None:
        """Start everything at once. Who needs the embedded server waits for it by itself."""
        self._around = Around(
            launches=self._launches,
            share=self._share,
            group=group,
            changed=self.changed,
            machine=lambda: self.wanted,
            stop_s=self._settings.worker_stop_s,
        )
        self._log_as(self.wanted)
        server = self.wanted.server
        first = None if server is None or listening is None else Place(server, listening)
        self._embedded.start(group, first)
        for worker in self.wanted.workers:
            self._add(worker)
        group.start_soon(self._launches.prepare)
        group.start_soon(self._deal)
        group.start_soon(self._look)

    def _add(self, worker: WorkerWanted) -> None:
        if self._around is not None:
            post = Post(worker, self._around, self._holds.of(self._key(worker)))
            self.posts.append(post)
            post.start()

    def _key(self, worker: WorkerWanted) -> str:
        """Return what a worker's holds go by: as its folder, so that a new name changes nothing."""
        return self._launches.folder(worker).name

    def apply(self, wanted: MachineWanted) -> Plan:
        """Make what is from what is wanted now, and return what that changes."""
        found = plan(self.wanted, wanted)
        self.wanted = wanted
        self._log_as(wanted)
        if self._share.limit != wanted.max_jobs:
            self._share.limit = wanted.max_jobs
        for one in found.workers:
            self._apply(one)
        # Also without a change: what could not be had may be there by now.
        self._embedded.want(wanted.server)
        if any(change.key in TOLD_TO_ALL for change in found.machine):
            for post in self.posts:
                post.tell_settings()
        self.changed.ring()
        return found

    def _apply(self, one: WorkerPlan) -> None:
        """Let one worker become what it is to be; one that still drains may be wanted again."""
        post = next((post for post in self.posts if self._is_of(post, one)), None)
        if post is not None:
            post.change(one)
        elif one.new is not None:
            self._add(one.new)

    def _is_of(self, post: Post, one: WorkerPlan) -> bool:
        if one.old is not None:
            return post.wanted is one.old or post.wanted == one.old
        removed = post.wanted is None and one.new is not None
        return removed and one.new is not None and self._key(post.told) == self._key(one.new)

    async def _deal(self) -> None:
        """Hear what workers say, forget who is gone, and deal out the machine's jobs."""
        while True:
            now = anyio.current_time()
            for post in self.posts:
                post.hear()
                post.standing()
            for gone in [post for post in self.posts if post.is_gone]:
                self.posts.remove(gone)
                logs.event(LOGGER, logging.INFO, "worker.removed", worker=gone.name)
            self._ever_worked |= any(post.has_worked for post in self.posts)
            for post, slots in self._share.decide(now=now).items():
                post.allow(slots)
            await self.changed.next(deadline=self._share.wakes_at(now=now))

    async def _look(self) -> None:
        """Look for what nobody tells: a directory that appears, a hold that is over."""
        while True:
            due = anyio.current_time() + LOOK_S
            await anyio.sleep_until(due)
            self._lags.append(anyio.current_time() - due)
            for post in self.posts:
                post.look()
            over = set(self._holds.over(self._clock.now()))
            for post in self.posts:
                if over and (key := self._key(post.told)) in over:
                    self._holds.end(key)
                    self._held(post, None)

    def find(self, name: str) -> Post:
        """Return the worker that people call so."""
        for post in self.posts:
            if post.name == name:
                return post
        known = ", ".join(sorted(post.name for post in self.posts)) or "none"
        raise NotFound(f"there is no worker {name!r} here", hint=f"there are: {known}")

    def hold(self, name: str, hold: Hold | None, *, interrupts: bool = False) -> None:
        """Let a worker take nothing, or work again; it stays so over restarts."""
        post = self.find(name)
        self._holds.put(self._key(post.told), hold)
        self._held(post, hold, interrupts=interrupts)

    def _held(self, post: Post, hold: Hold | None, *, interrupts: bool = False) -> None:
        post.put_on_hold(hold, interrupts=interrupts)
        logs.event(
            LOGGER,
            logging.INFO,
            "worker.resumed" if hold is None else "worker.held",
            worker=post.name,
            reason=None if hold is None else hold.reason,
        )
        self.changed.ring()

    def restart(self, name: str, why: str) -> None:
        """Let a worker finish and begin anew; one that waits for something begins at once."""
        post = self.find(name)
        if not post.is_asked_for:
            state, _ = post.standing()
            raise IllegalTransition(f"{name} is {state.state}, so there is nothing to restart")
        post.leave(why)

    def want(self, wanted: Wanted, why: str) -> None:
        """End all workers for good: they are told at the same time."""
        for post in self.posts:
            post.close(wanted, why)

    async def workers_are_gone(self) -> None:
        """Return when no worker has a process any more."""
        await self.changed.until(lambda: all(post.is_idle for post in self.posts))

    async def stop_server(self, wanted: Wanted) -> None:
        """End the embedded server, last of all."""
        await self._embedded.stop(wanted)

    def close(self) -> None:
        """Give up the server's address."""
        self._embedded.close()

    @property
    def are_all_up(self) -> bool:
        """Tell whether everything works that can; what is parked waits for somebody."""
        server_is_up = self.server is None or self.server.is_ready
        wanted = [post for post in self.posts if post.is_asked_for]
        some = not wanted or any(post.has_worked for post in wanted)
        return server_is_up and some and all(post.has_worked or post.is_parked for post in wanted)

    @property
    def is_hopeless(self) -> bool:
        """Tell whether nothing ever worked, and nothing will before somebody mends something."""
        if self._ever_worked:
            return False
        no_server = self.server is not None and self.server.child.is_hopeless
        wanted = [post for post in self.posts if post.is_asked_for]
        if not wanted:
            return no_server
        return all(post.is_hopeless or (no_server and post.needs_our_server) for post in wanted)

    @property
    def services(self) -> list[ChildService]:
        """Return everything that is kept, the server first."""
        workers = [post.service for post in self.posts if post.service is not None]
        return ([] if self.server is None else [self.server]) + workers

    @property
    def loop_lag_s(self) -> float:
        """Return by how much this process was late within the last minute, at its worst."""
        return max(self._lags, default=0.0)

    def running_jobs(self) -> list[float]:
        """Return since when the jobs run that workers told of, by the wall clock."""
        return [moment for post in self.posts for moment in post.running_since()]
