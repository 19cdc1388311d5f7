"""Segments as shims would have left them, written by hand."""

import json
from pathlib import Path
from typing import Any

from orchestrator.protocol.frames import FrameType, encode
from worker.records import Exited, Log, Record, Vanished, Wrote
from worker.spool import AttemptLog

EXIT: dict[str, Any] = {
    "cause": "exited",
    "message": None,
    "code": 0,
    "signal": None,
    "leftovers": 0,
    "started_us": 2,
    "ended_us": 3,
    "wall_s": 0.1,
    "user_s": 0.0,
    "sys_s": 0.0,
    "max_rss_kib": 1,
}


def frame(frame_type: FrameType, **record: Any) -> bytes:
    """Return a record's frame."""
    return encode(frame_type, 1, json.dumps(record).encode())


def header(**fields: Any) -> bytes:
    """Return the header of a shim that is gone."""
    gone = {"format": 1, "pid": 2**22 + 1, "start_time": 1, "boot_id": "another boot"}
    return frame(FrameType.HEADER, **{**gone, **fields})


def grant(number: int, **more: Any) -> bytes:
    """Return the grant of the job with that number."""
    return frame(FrameType.GRANT, job=f"job_{number}", attempt=1, at_us=1, **more)


def began() -> bytes:
    """Return the frame of a process that is gone."""
    record = {"pid": 2**22 + 2, "start_time": 1, "boot_id": "another boot", "at_us": 2}
    return frame(FrameType.PID, **record)


def out(text: bytes) -> bytes:
    """Return an output frame."""
    return encode(FrameType.OUT, 2, text)


def ended(code: int = 0, **said: int) -> bytes:
    """Return an exit record, and what the command said to each stream."""
    return frame(FrameType.EXIT, **{**EXIT, "code": code, **said})


def whole(number: int, text: bytes = b"words") -> bytes:
    """Return all frames of an attempt that ended."""
    return grant(number) + began() + out(text) + ended(number)


def goes_on_in(name: str) -> bytes:
    """Return the last frame of a segment that is followed by another one."""
    return frame(FrameType.NEXT, segment=name)


def write(spool: Path, name: str, *frames: bytes) -> Path:
    """Write a segment of a shim that is gone."""
    spool.mkdir(mode=0o700, exist_ok=True)
    path = spool / name
    path.write_bytes(b"".join(frames))
    path.chmod(0o600)
    return path


async def read(log: AttemptLog) -> list[Record]:
    """Return all that a log says."""
    return [record async for record in log.records()]


def output(records: list[Record]) -> bytes:
    """Return the output frames of a log."""
    return b"".join(record.frames for record in records if isinstance(record, Wrote))


def log_of(records: list[Record]) -> Log:
    """Return what the last record says of all the output."""
    last = records[-1]
    assert isinstance(last, Exited | Vanished), last
    return last.log


def code(records: list[Record]) -> int | None:
    """Return the exit code that a log ends with."""
    last = records[-1]
    assert isinstance(last, Exited), last
    return last.code
