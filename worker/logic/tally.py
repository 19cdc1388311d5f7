"""How long an attempt's output log is, and its digest.

The digest is of every frame from the first, so whoever takes up a log in the middle still reads it
from its beginning.
"""

from dataclasses import dataclass

from orchestrator.kernel.errors import invariant
from orchestrator.protocol.frames import EMPTY_DIGEST, chain, decode


@dataclass(slots=True)
class Tally:
    """Grows with the log."""

    length: int = 0
    _digest: bytes = EMPTY_DIGEST

    def add(self, frames: bytes) -> None:
        """Count whole encoded frames."""
        start = 0
        for frame in decode(frames):
            self._digest = chain(self._digest, frames[start : frame.end])
            start = frame.end
        invariant(start == len(frames), "an output log consists of whole, undamaged frames")
        self.length += start

    @property
    def digest(self) -> str:
        """Return the digest as the wire has it."""
        return self._digest.hex()
