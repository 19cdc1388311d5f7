"""The one thread that writes, and the groups in which it commits.

While a commit waits for the disk the next operations gather, and all that have gathered share the
next commit: full durability at the price of one sync for many. No timer is needed, so a lone
operation does not wait for company.

It knows no job and no database. It keeps one rule above all: nothing is answered, and no fact is
told, before the commit that holds it has returned.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import Broken, OrchestratorError, StoreBusy, Unavailable
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.logs import event
from orchestrator.server.facts import Fact
from orchestrator.server.store.interface import Operation, Transaction

logger = logging.getLogger(__name__)

TRIES: Final = 3
"""How often a group is run whose transaction the database itself took back."""

Fatal = Callable[[BaseException], None]
Deliver = Callable[[Sequence["Call"], Sequence[Fact]], None]


class TryAgain(Exception):
    """The database took the whole transaction back, and a new one may well succeed.

    It is safe, because nothing of it is left and an operation touches nothing but its transaction.
    `told` is for those who wait, when trying again does not help.
    """

    def __init__(self, told: StoreBusy) -> None:
        super().__init__(str(told))
        self.told = told


class Engine(Protocol):
    """A database from the writer's side. Only the writer's thread calls it."""

    group_max: int
    """The most operations in one transaction."""
    refusals: tuple[type[Exception], ...]
    """The driver's errors that one operation is to blame for, and that undo it alone."""

    def begin(self, now_us: int) -> Transaction:
        """Begin the transaction of a group."""
        ...

    def begin_operation(self) -> None:
        """Set a savepoint before an operation."""
        ...

    def undo_operation(self) -> None:
        """Take back everything since the last savepoint."""
        ...

    def end_operation(self) -> None:
        """Keep what was done since the savepoint."""
        ...

    def commit(self) -> None:
        """Make the group durable.

        `StoreBusy` or `TryAgain` mean that nobody may be told that it is; any other error, that
        nobody can ever know.
        """
        ...

    def rollback(self) -> None:
        """Take the whole group back, if that did not happen by itself."""
        ...

    def translated(self, error: Exception) -> Exception:
        """Return what an error of the driver means."""
        ...


@dataclass(slots=True, eq=False)
class Call:
    """An operation, who waits for it, and what came of it."""

    operation: Operation[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def answer(self) -> None:
        """Tell the one who waits, unless it went away. On the loop's thread."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


def end_process(error: BaseException) -> None:
    """End this process at once: after a failed sync it cannot know what is on the disk.

    No handler runs and nothing is flushed, because each of them could answer somebody.
    """
    event(logger, logging.CRITICAL, "store.commit_failed", error=str(error))
    os._exit(Broken.exit_code)


class Writer:
    """Takes operations from any thread and answers them on the event loop."""

    def __init__(self, engine: Engine, clock: Clock, *, deliver: Deliver, fatal: Fatal) -> None:
        self._engine = engine
        self._clock = clock
        self._deliver = deliver
        self._fatal = fatal
        self._refusals: tuple[type[Exception], ...] = (OrchestratorError, *engine.refusals)
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._broken: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, call: Call) -> None:
        """Queue an operation; its answer comes by its future."""
        if self._closed:
            raise Unavailable("the store is closed", hint="the server is stopping; ask again")
        self._calls.put(call)

    def close(self) -> None:
        """Finish what is queued, then end the thread. Blocks; safe to repeat."""
        if not self._closed:
            self._closed = True
            self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (group := self._gather()) is not None:
                self._deliver(group, self._settled(group))
        except BaseException as error:  # noqa: BLE001  # ended quietly, all would wait for ever
            self._fatal(error)

    def _gather(self) -> list[Call] | None:
        """Wait for one operation, then take along all that wait already; `None` means stop."""
        first = self._calls.get()
        if first is None:
            return None
        group = [first]
        while len(group) < self._engine.group_max:
            try:
                call = self._calls.get_nowait()
            except Empty:
                break
            if call is None:
                self._calls.put(None)  # met again once this group is done
                break
            group.append(call)
        return group

    def _settled(self, group: list[Call]) -> Sequence[Fact]:
        """Run the group until it is committed or refused, and return what is to be told of it."""
        if self._broken is not None:
            self._fail(group, self._broken)
            return ()
        for left in reversed(range(TRIES)):
            try:
                return self._tried(group)
            except TryAgain as again:
                if not left:
                    self._fail(group, again.told)
        return ()

    def _tried(self, group: list[Call]) -> Sequence[Fact]:
        """Run the group in one transaction."""
        # Outside, because a clock that fails is nobody's operation.
        now_us = round(self._clock.now() * 1_000_000)
        call = group[0]
        try:
            tx = self._engine.begin(now_us)
            for call in group:
                self._perform(tx, call)
        except Exception as fault:  # noqa: BLE001  # told to whoever waits: nobody else would hear
            self._undo(group, guilty=call, fault=fault)
            return ()
        return tx.facts if self._made_durable(group) else ()

    def _perform(self, tx: Transaction, call: Call) -> None:
        """Run one operation behind a savepoint, so that its refusal leaves its neighbours alone."""
        self._engine.begin_operation()
        told = len(tx.facts)
        call.result = call.error = None
        try:
            call.result = call.operation(tx)
        except self._refusals as error:
            if isinstance(error, Broken):
                raise
            self._engine.undo_operation()
            del tx.facts[told:]
            call.error = self._engine.translated(error)
        self._engine.end_operation()

    def _undo(self, group: list[Call], *, guilty: Call, fault: Exception) -> None:
        """Roll everything back. The operation that failed hears why, the others to ask again."""
        self._engine.rollback()
        told = self._engine.translated(fault)
        if isinstance(told, TryAgain):
            raise told
        beside = StoreBusy("nothing was stored: another operation failed beside this one")
        self._fail(group, told if isinstance(told, StoreBusy) else beside)
        guilty.error = told

    def _made_durable(self, group: list[Call]) -> bool:
        try:
            reached("commit.before")
            self._engine.commit()
            reached("commit.after")
        except TryAgain:
            raise
        except StoreBusy as error:
            self._fail(group, error)
            return False
        except Exception as error:  # noqa: BLE001  # nothing more may be said, so nobody is told
            self._broken = error
            self._fail(group, error)
            self._fatal(error)
            return False
        return True

    @staticmethod
    def _fail(group: Sequence[Call], error: BaseException) -> None:
        for call in group:
            call.error = error
