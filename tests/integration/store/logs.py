"""A world's output logs, from the sender's and the reader's side."""

from pathlib import Path

from orchestrator.protocol.wire import Ack, Grant
from orchestrator.server.operations.output import output_state
from orchestrator.server.operations.ownership import AttemptKey
from orchestrator.server.output_intake import OutputIntake
from orchestrator.server.output_log import OutputFiles, OutputState
from orchestrator.server.reserve import Reserve
from tests.integration.store.world import (
    Worker,
    World,
)


class Logs:
    """A world's output, from the sender's and the reader's side."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.files = OutputFiles(folder)
        self.intake = OutputIntake(world.store, self.files, Reserve(folder / "reserve", 4096))

    async def take(self, worker: Worker, grant: Grant, data: bytes, *, offset: int = 0) -> Ack:
        """Send frames by themselves."""
        key = AttemptKey(grant.job_id, grant.attempt, worker.session)
        return await self.intake.take(key, offset, data, worker_id=worker.id)

    async def state(self, grant: Grant) -> OutputState:
        """Return what is committed."""
        state = await self.world.read(lambda r: output_state(r, grant.job_id, grant.attempt))
        assert state is not None
        return state

    async def read(self, grant: Grant) -> bytes:
        """Return the whole log as a reader would collect it."""
        state = await self.state(grant)
        collected, offset = bytearray(), 0
        while offset < state.length:
            chunk = self.files.read(state, offset=offset, limit=64 * 1024)
            assert chunk is not None
            collected += chunk.frames
            offset = chunk.end
        return bytes(collected)
