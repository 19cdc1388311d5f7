"""Who waits for news of what: committed facts come in, and whoever watches is woken.

A fact wakes and carries nothing: who is woken reads the committed rows from its own position. So a
reader that is slow or was away misses nothing, and one that reads slowly holds up nobody.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from orchestrator.server.facts import (
    Fact,
    JobChanged,
    KeysChanged,
    NewsLost,
    OrderPending,
    OutputGrew,
    SessionEnded,
)

KEYS = "keys"
"""The topic of credentials; all other topics are ids, and the output of a job's id."""


def output_of(job_id: str) -> str:
    """Return the topic of a job's output, which is news to those alone who read it."""
    return f"{job_id}/output"


@dataclass(eq=False, slots=True)
class Watch:
    """One reader's flag. It is raised by news and lowered by looking."""

    _raised: bool = False
    _event: anyio.Event = field(default_factory=anyio.Event)

    def touch(self) -> None:
        """Raise it."""
        self._raised = True
        self._event.set()

    async def changed(self, *, timeout_s: float) -> bool:
        """Wait until it is raised, at most `timeout_s`; lower it and tell whether it was."""
        if not self._raised:
            self._event = anyio.Event()
            with anyio.move_on_after(timeout_s):
                await self._event.wait()
        raised, self._raised = self._raised, False
        return raised


class Bus:
    """From topics to watches."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._closing = False

    def hear(self, facts: Sequence[Fact]) -> None:
        """Wake whoever watches what these facts are about."""
        for fact in facts:
            match fact:
                case JobChanged():
                    self._touch(fact.job_id)
                case OutputGrew():
                    self._touch(output_of(fact.job_id))
                case OrderPending() | SessionEnded():
                    self._touch(fact.session_id)
                case KeysChanged():
                    self._touch(KEYS)
                case NewsLost():
                    self._touch_everybody()
                case _:
                    pass  # the dispatch and the upkeep listen to the others

    def _touch_everybody(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.touch()

    def _touch(self, topic: str) -> None:
        for watch in self._watches.get(topic, ()):
            watch.touch()

    @contextmanager
    def watch(self, *topics: str) -> Iterator[Watch]:
        """Give a flag that is raised by any news of these topics from now on.

        Begin watching before the first look: news between a look and its watch would be lost.
        """
        watch = Watch()
        for topic in topics:
            self._watches.setdefault(topic, set()).add(watch)
        try:
            yield watch
        finally:
            for topic in topics:
                watches = self._watches[topic]
                watches.discard(watch)
                if not watches:
                    del self._watches[topic]

    def is_closing(self) -> bool:
        """Tell whether the server stops, so that nobody begins to wait."""
        return self._closing

    def close(self) -> None:
        """Wake everybody for good: the server stops, and whoever waits must come to an end."""
        self._closing = True
        self._touch_everybody()
