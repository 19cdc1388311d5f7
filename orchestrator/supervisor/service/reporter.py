"""Tell a service manager how this run is: ready, what it does, ending, and that it lives.

It speaks from the supervisor's own loop and judges nobody else: a worker that hangs is the fleet's
business, and a supervisor that was restarted for it would help no job. If the loop stands still,
nothing is said, and the manager does what it is there for.
"""

from collections.abc import Callable
from typing import Final

import anyio

from orchestrator.kernel.bell import Bell
from orchestrator.kernel.heartbeat import beat
from orchestrator.kernel.notify import Notifier
from orchestrator.supervisor.logic.summary import Summary

PATIENCE_S: Final = 20.0
"""Then a run is ready all the same, and says what it waits for: whoever started it can go on."""
EXTENSION_S: Final = 60.0
"""Asked for again and again during a start or a stop that takes longer than the unit foresaw."""
AGAIN_S: Final = 10.0
CALM_S: Final = 1.0
"""A manager need not hear of every job: what is said is at most so fresh."""


class Reporter:
    """What is said during one run."""

    def __init__(
        self,
        notifier: Notifier,
        changed: Bell,
        look: Callable[[], Summary],
        ending: Callable[[], str | None],
        returns: Callable[[], bool],
    ) -> None:
        """Take where to look: how all stands, which phase of its end it is, what follows on it."""
        self._notifier = notifier
        self._changed = changed
        self._look = look
        self._ending = ending
        self._returns = returns
        self._told = ""

    async def run(self) -> None:
        """Speak until cancelled; without anybody who listens, only wait."""
        if not self._notifier.is_heard:
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat, self._notifier)
            await self._begin()
            tasks.start_soon(self._tell_changes)
            await self._until(lambda: self._ending() is not None)
            if self._returns():
                self._notifier.reloading()  # the same process is back in a moment
            else:
                self._notifier.stopping(self._words())
            await self._ask_for_time()

    async def _begin(self) -> None:
        """Say that the run is ready as soon as everybody has answered, or after some patience."""
        with anyio.move_on_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._ask_for_time)
                await self._until(lambda: self._look().answered or self._ending() is not None)
                tasks.cancel_scope.cancel()
        if self._ending() is None:
            self._told = self._look().text
            self._notifier.ready(self._told)

    async def _tell_changes(self) -> None:
        while True:
            await self._until(lambda: self._words() != self._told)
            self._told = self._words()
            self._notifier.status(self._told)
            await anyio.sleep(CALM_S)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Return when it holds; a configuration that waits to be mended rings no bell."""
        while not condition():
            deadline = anyio.current_time() + CALM_S
            await self._changed.until(condition, deadline=deadline)

    def _words(self) -> str:
        ending = self._ending()
        seen = self._look()
        return seen.text if ending is None else f"{ending}, {seen.jobs}"

    async def _ask_for_time(self) -> None:
        """Ask for more time for as long as this takes: it has limits of its own."""
        while True:
            self._notifier.extend(EXTENSION_S)
            await anyio.sleep(AGAIN_S)
