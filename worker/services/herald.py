"""Tell whoever keeps this worker how it stands: on every change, and now and then in between.

It decides nothing: `logic/standing.py` does. What is told is read off the other services at the
moment of telling, so nothing that was told can differ from what is.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import anyio

from orchestrator.kernel.bell import Bell
from worker.logic.outcome import shortened

News = Mapping[str, object]
PAUSE_S: Final = 0.2
"""Five times a second is as often as anybody can look."""
PROOF_S: Final = 15.0
"""At the latest: whoever hears nothing for longer may believe that this worker hangs."""
RUNNING_SHOWN: Final = 64
"""So many attempts by name; of the rest, how many."""
NAME_CHARS: Final = 80
WORDS_CHARS: Final = 1000
_PASSING: Final = frozenset(
    {"retry_in_s", "waiting_bytes", "contact_age_s", "ended", "ended_kinds", "leftovers"}
)
"""What changes all the time, and is only told along with something else."""


class Herald:
    """The standing of one worker, as `read` gives it."""

    def __init__(
        self, read: Callable[[], News], tell: Callable[[News], Awaitable[None]], changed: Bell
    ) -> None:
        self._read = read
        self._tell = tell
        self._changed = changed

    async def run(self) -> None:
        """Tell for ever."""
        told: News = {}
        due = anyio.current_time()
        while True:
            news = self._read()
            lasting = {name: value for name, value in news.items() if name not in _PASSING}
            if lasting == told and anyio.current_time() < due:
                await self._changed.next(deadline=due)
                continue
            told, due = lasting, anyio.current_time() + PROOF_S
            await self._tell({"standing": news})
            # What happens meanwhile is told together afterwards: nothing waits longer than this.
            await anyio.sleep(PAUSE_S)


def words(text: str | None, chars: int = WORDS_CHARS) -> str | None:
    """Return text for people that surely fits into a message."""
    return None if text is None else shortened(text)[:chars]
