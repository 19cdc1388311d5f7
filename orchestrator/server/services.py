"""What every route is given: the parts of a running server, made once in `app.py`."""

from dataclasses import dataclass

from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import Clock
from orchestrator.protocol.ids import RANDOM_BYTES, make_id
from orchestrator.server.access.credentials import Credentials
from orchestrator.server.chance import Chance
from orchestrator.server.files import FileStore
from orchestrator.server.live.bus import Bus
from orchestrator.server.live.dispatch import Dispatch
from orchestrator.server.live.sse import StreamLimits
from orchestrator.server.output_log import OutputFiles
from orchestrator.server.reserve import Reserve
from orchestrator.server.settings import ServerSettings
from orchestrator.server.store.interface import Store
from orchestrator.server.upkeep.pulse import Pulse


@dataclass(frozen=True, slots=True)
class Services:
    """The parts. They share one event loop and one lifetime."""

    settings: ServerSettings
    clock: Clock
    store: Store
    files: FileStore
    outputs: OutputFiles
    credentials: Credentials
    bus: Bus
    dispatch: Dispatch
    streams: StreamLimits
    pulse: Pulse
    reserve: Reserve
    chance: Chance
    bulk_bell: Bell
    """Rung when an order for many jobs was taken in."""

    def new_id(self, prefix: str) -> str:
        """Return an id that nobody had before: operations are given ids, they make none."""
        now_ms = int(self.clock.now() * 1000)
        return make_id(prefix, at_ms=now_ms, random=self.chance.take(RANDOM_BYTES))
