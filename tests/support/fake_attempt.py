"""An attempt as the fake server knows it."""

from dataclasses import dataclass, field

from orchestrator.protocol.frames import EMPTY_DIGEST, STREAM_NAMES, FrameType, chain, decode
from orchestrator.protocol.wire import Ended, Progress, Started
from tests.support.waiting import wait_until


@dataclass
class FakeAttempt:
    """What the server knows of an attempt."""

    job_id: str
    number: int
    session_id: str
    claim: int
    cancelling: bool = False
    started: Started | None = None
    output: bytearray = field(default_factory=bytearray)
    progress: list[Progress] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    ended: Ended | None = None
    released: bool = False
    ours: bool = True
    ends_heard: int = 0

    def stream(self, *names: str) -> bytes:
        """Return what the command wrote to these streams."""
        wanted = names or ("stdout", "stderr")
        frames = decode(bytes(self.output))
        return b"".join(f.data for f in frames if STREAM_NAMES[FrameType(f.type)] in wanted)

    @property
    def over(self) -> bool:
        """Tell whether its end is recorded."""
        return self.ended is not None or self.released

    def end(self, *, timeout_s: float = 15.0) -> Ended:
        """Return its end as soon as it is there, and hold its output against it."""
        ended = wait_until(lambda: self.ended, timeout_s=timeout_s, what=f"{self.job_id} ended")
        assert ended is not None
        digest, start = EMPTY_DIGEST, 0
        for frame in decode(bytes(self.output)):
            digest = chain(digest, bytes(self.output[start : frame.end]))
            start = frame.end
        assert (ended.output_length, ended.output_digest) == (len(self.output), digest.hex())
        said = (len(self.stream("stdout")), len(self.stream("stderr")))
        if not self.lacks_words and not self.stream("note"):
            assert (ended.stdout_bytes, ended.stderr_bytes) == said
        return ended

    @property
    def lacks_words(self) -> bool:
        """Tell whether it ended saying that there was no room for its last words."""
        return self.ended is not None and "not kept: make room" in (self.ended.message or "")
