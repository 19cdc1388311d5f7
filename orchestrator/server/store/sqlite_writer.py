"""The one thread that writes, and the groups in which it commits.

While a commit waits for the disk the next operations gather, and all that have gathered share the
next commit: full durability at the price of one sync for many. No timer is needed, so a lone
operation does not wait for company.

It knows no job. It keeps one rule above all: nothing is answered, and no fact is told, before the
COMMIT that holds it has returned.
"""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import Broken, OrchestratorError, StoreBusy, Unavailable
from orchestrator.kernel.logs import event
from orchestrator.server.facts import Fact
from orchestrator.server.store.interface import Operation
from orchestrator.server.store.sqlite_connection import SqliteConnection, is_full, translated

logger = logging.getLogger(__name__)

GROUP_MAX: Final = 128
"""Bounds how long the first of a group waits for the last; the sync is amortised long before."""

Fatal = Callable[[BaseException], None]
Deliver = Callable[[Sequence["Call"], Sequence[Fact]], None]


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


class SqliteTransaction(SqliteConnection):
    """What an operation sees; it lives as long as the group."""

    def __init__(self, raw: sqlite3.Connection, now_us: int) -> None:
        super().__init__(raw)
        self.now_us = now_us
        self.facts: list[Fact] = []

    def announce(self, fact: Fact) -> None:
        """Let subscribers know once this is committed."""
        self.facts.append(fact)


def end_process(error: BaseException) -> None:
    """End this process at once: after a failed sync it cannot know what is on the disk.

    No handler runs and nothing is flushed, because each of them could answer somebody.
    """
    event(logger, logging.CRITICAL, "store.commit_failed", error=str(error))
    os._exit(Broken.exit_code)


class Writer:
    """Takes operations from any thread and answers them on the event loop."""

    def __init__(
        self, raw: sqlite3.Connection, clock: Clock, *, deliver: Deliver, fatal: Fatal
    ) -> None:
        self._raw = raw
        self._clock = clock
        self._deliver = deliver
        self._fatal = fatal
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
                self._commit(group)
        except BaseException as error:  # noqa: BLE001  # ended quietly, all would wait for ever
            self._fatal(error)

    def _gather(self) -> list[Call] | None:
        """Wait for one operation, then take along all that wait already; `None` means stop."""
        first = self._calls.get()
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP_MAX:
            try:
                call = self._calls.get_nowait()
            except Empty:
                break
            if call is None:
                self._calls.put(None)  # met again once this group is done
                break
            group.append(call)
        return group

    def _commit(self, group: list[Call]) -> None:
        tx = SqliteTransaction(self._raw, round(self._clock.now() * 1_000_000))
        durable = self._performed(tx, group) and self._made_durable(group)
        self._deliver(group, tx.facts if durable else ())

    def _performed(self, tx: SqliteTransaction, group: list[Call]) -> bool:
        """Run the group in one transaction; `False` when all of it was undone."""
        if self._broken is not None:
            self._fail(group, self._broken)
            return False
        call = group[0]
        try:
            self._raw.execute("BEGIN IMMEDIATE")
            for call in group:
                self._perform(tx, call)
        except Exception as fault:  # noqa: BLE001  # told to whoever waits: nobody else would hear
            self._undo(group, guilty=call, fault=fault)
            return False
        return True

    def _perform(self, tx: SqliteTransaction, call: Call) -> None:
        """Run one operation in a savepoint, so that its refusal leaves its neighbours alone."""
        self._raw.execute("SAVEPOINT operation")
        told = len(tx.facts)
        try:
            call.result = call.operation(tx)
        except (OrchestratorError, sqlite3.IntegrityError) as error:
            if isinstance(error, Broken):
                raise
            self._raw.execute("ROLLBACK TO operation")
            del tx.facts[told:]
            call.error = translated(error) if isinstance(error, sqlite3.Error) else error
        self._raw.execute("RELEASE operation")

    def _undo(self, group: list[Call], *, guilty: Call, fault: Exception) -> None:
        """Roll everything back. The operation that failed hears why, the others to ask again."""
        # A full disk may have ended the transaction already.
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")
        told = translated(fault) if isinstance(fault, sqlite3.Error) else fault
        beside = StoreBusy("nothing was stored: another operation failed beside this one")
        self._fail(group, told if isinstance(told, StoreBusy) else beside)
        guilty.error = told

    def _made_durable(self, group: list[Call]) -> bool:
        try:
            self._raw.execute("COMMIT")
        except sqlite3.Error as error:
            if is_full(error):
                # Nothing was acknowledged, and what was written lies behind the end of the log.
                self._undo(group, guilty=group[0], fault=error)
                return False
            self._broken = error
            self._fail(group, error)
            self._fatal(error)
            return False
        return True

    @staticmethod
    def _fail(group: Sequence[Call], error: BaseException) -> None:
        for call in group:
            call.error = error
