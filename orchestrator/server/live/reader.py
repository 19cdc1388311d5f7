"""One reader of an event stream: when it looks again, when it is pinged, and when it must go."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Scope

from orchestrator.server.access.credentials import Credentials
from orchestrator.server.edge.head import SEEN, Seen
from orchestrator.server.edge.refusals import Declined
from orchestrator.server.live.bus import KEYS, Bus, Watch
from orchestrator.server.live.sse import PING, PING_S


@dataclass(frozen=True, slots=True)
class StreamReader:
    """A client that reads a stream about one job."""

    bus: Bus
    credentials: Credentials
    scope: Scope

    @contextmanager
    def watch(self, *topics: str) -> Iterator[Watch]:
        """Watch topics, and the credentials: one that is withdrawn ends its streams."""
        with self.bus.watch(*topics, KEYS) as watch:
            yield watch

    async def pause(self, watch: Watch) -> bytes | None:
        """Wait until it is worth looking again; return what to send first.

        That is nothing when there is news, and a ping when nothing happened for long. `None` says
        that the stream is over before its subject is: the server stops, or the credential does not
        hold any more. The reader knows where it was, and may come back.
        """
        if self.bus.is_closing():
            return None
        woken = await watch.changed(timeout_s=PING_S)
        if self.bus.is_closing() or not await self._is_welcome():
            return None
        return b"" if woken else PING

    async def _is_welcome(self) -> bool:
        seen: Seen = self.scope[SEEN]
        client = self.scope["client"]
        try:
            await self.credentials.principal(seen.authorization, client[0] if client else "")
        except Declined:
            return False
        return True
