"""What a server remembers of sessions is true again after news got lost."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import anyio

from orchestrator.server.facts import Claimable, Fact, NewsLost, SessionOpened
from orchestrator.server.live.dispatch import Dispatch
from orchestrator.server.live.memory import Memory
from orchestrator.server.store.interface import Store

Sessions = Mapping[str, frozenset[int]]


class SlowStore:
    """A database whose one answer is given when the test says so."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.asked = anyio.Event()
        self.answers = anyio.Event()

    async def read(self, _query: object) -> Sessions:
        """Look at once, and answer later."""
        self.asked.set()
        await self.answers.wait()
        return self._sessions


async def test_what_is_heard_while_the_database_answers_is_kept() -> None:
    """The answer is older than the news that came meanwhile: a new worker is not forgotten."""
    dispatch = Dispatch()
    dispatch.know({"ended unheard": frozenset({1})})
    store = SlowStore({"oak": frozenset({1})})
    memory = Memory(cast("Store", store), dispatch)

    def hear(*facts: Fact) -> None:
        for ear in cast("Sequence[Any]", (dispatch, memory)):
            ear.hear(facts)

    with dispatch.waiter("ended unheard", 1) as ended, dispatch.waiter("elm", 1) as new:
        async with anyio.create_task_group() as group:
            group.start_soon(memory.run)
            hear(NewsLost())
            with anyio.fail_after(5):
                await store.asked.wait()
                hear(SessionOpened("elm", frozenset({1})))
                store.answers.set()
                await new.sleep()
            group.cancel_scope.cancel()
        hear(Claimable(1, 2))

        assert (ended.promised.total(), new.promised.total()) == (0, 1)
