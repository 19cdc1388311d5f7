"""What a server keeps in memory about sessions is read again when it may have missed something.

That happens when the database went away in the middle of a commit: it may have taken place, and
nobody heard its facts.
"""

from collections.abc import Sequence
from typing import Final

import anyio

from orchestrator.kernel.errors import Unavailable
from orchestrator.server.facts import (
    Fact,
    NewsLost,
    RequirementAdded,
    SessionChanged,
    SessionEnded,
    SessionOpened,
)
from orchestrator.server.live.dispatch import Dispatch
from orchestrator.server.operations.requirements import session_requirements
from orchestrator.server.store.interface import Store

RETRY_S: Final = 1.0
_OF_SESSIONS: Final = (RequirementAdded, SessionOpened, SessionChanged, SessionEnded)


class Memory:
    """Keeps the dispatch's knowledge of sessions true."""

    def __init__(self, store: Store, dispatch: Dispatch) -> None:
        self._store = store
        self._dispatch = dispatch
        self._doubted = anyio.Event()
        self._meanwhile: list[Fact] | None = None
        """What was heard since the database was asked: its answer may be older."""

    def hear(self, facts: Sequence[Fact]) -> None:
        """Begin to doubt when news got lost; keep what is said of sessions until it is read."""
        if any(isinstance(fact, NewsLost) for fact in facts):
            self._doubted.set()
        if self._meanwhile is not None:
            self._meanwhile += [fact for fact in facts if isinstance(fact, _OF_SESSIONS)]

    async def run(self) -> None:
        """Read again whenever there is doubt, until cancelled."""
        while True:
            await self._doubted.wait()
            self._doubted = anyio.Event()
            meanwhile = self._meanwhile = []
            try:
                sessions = await self._store.read(session_requirements)
            except Unavailable:
                self._doubted.set()
                await anyio.sleep(RETRY_S)
            else:
                self._meanwhile = None
                self._dispatch.know(sessions)
                self._dispatch.hear(meanwhile)
                self._dispatch.wake_everybody()
