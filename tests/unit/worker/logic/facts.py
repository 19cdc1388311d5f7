"""Facts of attempts with every default, and an outbox that is easily fed."""

from typing import Any

from orchestrator.protocol.frames import FrameType, encode
from orchestrator.protocol.wire import Ack, Ended, Started
from orchestrator.protocol.words import Outcome
from worker.logic.attempt import Key
from worker.logic.outbox import Outbox

SESSION = "session_" + "0" * 26


def key_of(number: int = 1) -> Key:
    return Key(f"job_{number:026}", 1)


def started(key: Key) -> Started:
    return Started(job_id=key.job_id, attempt=key.number, at_us=1, pid=2)


def ended(key: Key, length: int = 0, **fields: Any) -> Ended:
    return Ended.model_validate(
        {
            "job_id": key.job_id,
            "attempt": key.number,
            "at_us": 3,
            "outcome": Outcome.SUCCEEDED,
            "output_length": length,
            **fields,
        }
    )


def frames_of(size: int) -> bytes:
    return encode(FrameType.OUT, 1, b"x" * size)


def ack(key: Key, offset: int = 0, **fields: Any) -> Ack:
    return Ack.model_validate(
        {"job_id": key.job_id, "attempt": key.number, "output_offset": offset, **fields}
    )


class Box(Outbox):
    """An outbox that is given the log piece by piece, from its beginning."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: dict[Key, int] = {}

    def add(self, key: Key, frames: bytes) -> bool:
        offset = self._ends.get(key, 0)
        self._ends[key] = offset + len(frames)
        return self.write(key, offset, frames)
