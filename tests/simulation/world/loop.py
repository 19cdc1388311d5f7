"""An event loop whose time is the world's: it jumps to whatever comes next, and waits for nothing.

Every callback belongs to a process (by its context). What belongs to a dead one is dropped, what
belongs to a frozen one is kept until it thaws: so a process can be killed at every point at which
it waits, without its knowing.
"""

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

from tests.simulation.world.process import Killed, Process

STANDSTILL: Final = 1_000_000
"""Callbacks at one moment of the world, after which nothing will come of them: a seed has some
thousands of events in all."""
OWNER: Final[ContextVar[Process | None]] = ContextVar("owner", default=None)


class StandstillError(Exception):
    """Somebody asks for the same moment again and again."""


class Handle:
    """One callback to be."""

    __slots__ = ("args", "at", "callback", "context", "dead", "owner")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], at: float) -> None:
        self.callback = callback
        self.args = args
        self.at = at
        self.dead = False
        self.context: Context | None = None
        self.owner: Process | None = None

    def cancel(self) -> None:
        """Let it never run."""
        self.dead = True

    def cancelled(self) -> bool:
        """Tell whether it was cancelled."""
        return self.dead

    def when(self) -> float:
        """Return when it is due."""
        return self.at


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks have an order that a seed gives."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.AbstractEventLoop):
    """The loop of one world."""

    def __init__(self) -> None:
        self.now = 0.0
        self.current: Process | None = None
        self.events = 0
        self._stood_since = 0
        self.fault: BaseException | None = None
        """What nobody caught: a bug, and the end of the run."""
        self._ready: deque[Handle] = deque()
        self._heap: list[tuple[float, int, Handle]] = []
        self._numbers = itertools.count()
        self._task_numbers = itertools.count(1)
        self._readers: dict[int, Handle] = {}

    # What asyncio and anyio ask of a loop.

    def time(self) -> float:
        """Return the time that the running process would see on its machine's monotonic clock."""
        owner = self.current
        return self.now if owner is None else owner.machine.clocks.monotonic(self.now)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """Run it next."""
        handle = Handle(callback, args, 0.0)
        handle.context = context = context or copy_context()
        handle.owner = context.get(OWNER)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        """Run it after so many seconds of its owner's clock."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        """Run it at a moment of its owner's clock."""
        handle = Handle(callback, args, when)
        handle.context = context = context or copy_context()
        handle.owner = owner = context.get(OWNER)
        due = max(when if owner is None else owner.machine.clocks.world(when), self.now)
        if owner is not None and due == self.now:
            # Rounded, this moment may be a trifle before `when` on the owner's clock. Whoever looks
            # at that clock and asks again, as cancel scopes do, would ask for ever.
            while owner.machine.clocks.monotonic(due) < when:
                due += math.ulp(when)
        heapq.heappush(self._heap, (due, next(self._numbers), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> SimTask:
        """Start a task of the running process."""
        task = SimTask(coro, loop=self, name=name or "task", context=context)
        task.number = next(self._task_numbers)
        owner = (context or copy_context()).get(OWNER)
        if owner is not None:
            owner.tasks[task.number] = task
            task.add_done_callback(lambda _: owner.tasks.pop(task.number, None))
        return task

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        """Have it called when the running process can read from a descriptor of its own."""
        owner = self.current
        assert owner is not None
        handle = Handle(callback, args, 0.0)
        handle.context, handle.owner = copy_context(), owner
        self._readers[fd] = handle
        if owner.files[fd].readable():
            self.wake_reader(owner, fd)

    def remove_reader(self, fd: int) -> bool:  # type: ignore[override]
        """Forget it."""
        return self._readers.pop(fd, None) is not None

    def wake_reader(self, owner: Process, fd: int) -> None:
        """Note that a descriptor can be read: whoever waits for that is called."""
        handle = self._readers.get(fd)
        if handle is not None:
            again = Handle(handle.callback, handle.args, 0.0)
            again.context, again.owner = handle.context, owner
            self._ready.append(again)

    def get_task_factory(self) -> None:
        """Return that tasks are made by `create_task`."""

    def get_debug(self) -> bool:
        """Return that nobody looks over our shoulder."""
        return False

    def is_running(self) -> bool:
        """Tell that it runs, as it does whenever somebody can ask."""
        return True

    def is_closed(self) -> bool:
        """Tell that it is open."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take what nobody caught for what it is: a bug."""
        error = context.get("exception")
        if error is not None and not isinstance(error, Killed) and self.fault is None:
            self.fault = error

    # What the world asks of it.

    def run_until(self, deadline: float, done: Callable[[], bool]) -> None:
        """Let things happen, until a moment of the world or until `done`."""
        ready, heap = self._ready, self._heap
        while self.fault is None:
            if ready:
                handle = ready.popleft()
            else:
                if not heap or heap[0][0] > deadline:
                    self.now = max(self.now, deadline)
                    return
                due, _, handle = heapq.heappop(heap)
                if handle.dead:
                    continue
                if due > self.now:
                    if done():
                        heapq.heappush(heap, (due, -1, handle))
                        return
                    self.now, self._stood_since = due, self.events
                elif self.events - self._stood_since > STANDSTILL:
                    self.fault = StandstillError(f"the world stands still at {self.now}")
                    return
                owner = handle.owner
                if owner is not None and not self._is_due(handle, owner):
                    continue
            self._run(handle)

    def _is_due(self, handle: Handle, owner: Process) -> bool:
        """Tell whether a timer's own clock has come that far; a machine that slept is behind."""
        clocks = owner.machine.clocks
        if not owner.alive or clocks.monotonic(self.now) >= handle.at - 1e-9:
            return True
        again = max(clocks.world(handle.at), self.now + 1e-6)
        heapq.heappush(self._heap, (again, next(self._numbers), handle))
        return False

    def _run(self, handle: Handle) -> None:
        owner = handle.owner
        if handle.dead:
            return
        if owner is not None:
            if not owner.alive:
                return
            if owner.is_frozen:
                owner.kept.append(handle)
                return
        self.events += 1
        self.current = owner
        assert handle.context is not None
        try:
            handle.context.run(handle.callback, *handle.args)
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - a bug: the runner tells of it
            if owner is None or not owner.may_crash(error):
                self.fault = self.fault or error
        self.current = None

    def thaw(self, owner: Process) -> None:
        """Let a process go on with all that came while it was frozen."""
        kept, owner.kept = owner.kept, []
        for handle in kept:
            # A timer that came while the machine slept has not come for its own clock.
            if not handle.at or self._is_due(handle, owner):
                self._ready.append(handle)

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Have the world itself do something, at a moment of its own."""
        handle = Handle(callback, args, when)
        handle.context = Context()
        heapq.heappush(self._heap, (max(when, self.now), next(self._numbers), handle))
        return handle

    def after(self, delay: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Have the world do something in so many seconds of its own time."""
        return self.at(self.now + delay, callback, *args)

    def within(self, owner: Process, callback: Callable[..., object], *args: Any) -> Handle:
        """Have a process do something next."""
        return self.call_soon(callback, *args, context=owner.context)

    def within_later(
        self, owner: Process, delay: float, callback: Callable[..., object], *args: Any
    ) -> Handle:
        """Have a process do something in so many seconds of its machine's clock."""
        when = owner.machine.clocks.monotonic(self.now) + delay
        return self.call_at(when, callback, *args, context=owner.context)

    def bury(self, owner: Process) -> None:
        """Let go of the tasks of a process that was killed: they end where they wait."""
        # In a context of its own: what it starts on its way out is dropped as well.
        owner.context.copy().run(self._bury, owner)

    def _bury(self, owner: Process) -> None:
        before, self.current = self.current, owner
        for _, task in sorted(owner.tasks.items(), reverse=True):
            task._log_destroy_pending = False
            _end(task)
        owner.tasks.clear()
        self.current = before


def _end(task: SimTask) -> None:
    """Close a coroutine for good. What it does on its way out does not count: it is dead."""
    coroutine = task.get_coro()
    for _ in range(20):
        try:
            coroutine.close()
        except (RuntimeError, ValueError):
            # It waits in its cleanup, or it is the very one that is running.
            continue
        except BaseException:  # noqa: BLE001 - the last words of a dead process
            return
        return


def started(process: Process) -> Context:
    """Return a new context whose callbacks belong to that process."""
    context = Context()
    context.run(OWNER.set, process)
    return context
