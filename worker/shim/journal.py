"""The segments that one shim writes: what it was told, what it started, what came of it.

It knows frames and files, and decides nothing about the command. Two promises are kept here: a
segment is visible under its name only once it is locked, and what is in it is never changed, only
added to. A frame that could not be written whole is taken back, so nothing follows a torn one.
"""

import contextlib
import fcntl
import json
import os
import time
from typing import Final

from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Cgroup
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.frames import STREAM_NAMES, FrameType, encode
from worker.shim import layout
from worker.shim.backlog import waiting_bytes
from worker.shim.room import Room

Record = dict[str, object]
_to_json: Final = json.JSONEncoder(separators=(",", ":")).encode


def wall_us() -> int:
    """Return wall time in microseconds: what frames are stamped with."""
    return time.time_ns() // 1000


class Journal:
    """The segment that a shim writes now, and the step to the next one."""

    def __init__(self, directory: str, most_bytes: int, group: Cgroup | None = None) -> None:
        """Begin in a spool whose segments may have so many bytes together.

        The header names the group of all that the shim starts: whoever finds the shim dead kills
        who is left in it.
        """
        self.most_bytes = most_bytes
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._identity = _identity(os.getpid())
        self._header: Record = {"format": layout.FORMAT, **self._identity}
        if group is not None:
            self._header["cgroup"] = str(group.path)
        self._grant: Record = {}
        self._process: Record = {}
        self.output_bytes = 0
        """Of the present attempt: its encoded output frames, in whatever segment they are."""
        self._heard = _nothing_heard()
        self._begin(layout.first_name(os.urandom(8).hex()))

    def _begin(self, name: str) -> None:
        """Create a segment: locked, with its header and the open attempt's records, then named."""
        new = layout.NEW_PREFIX + name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = os.open(new, flags, 0o600, dir_fd=self._directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opening = b"".join(self._opening())
            room = Room(fd)
            room.need(len(opening))
            size = _append(fd, opening, 0)
            os.rename(new, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(new, dir_fd=self._directory)
            raise
        self.name, self._fd, self._room, self._size = name, fd, room, size
        self._full_at = layout.ROTATE_BYTES
        self._named_durably = False

    def _opening(self) -> list[bytes]:
        """Return a segment's first frames, so that it can be understood without those before it."""
        frames = [_frame(FrameType.HEADER, self._header)]
        if self._grant:
            so_far = {"offset": self.output_bytes, **self._heard}
            frames.append(_frame(FrameType.GRANT, {**self._grant, **so_far}))
        if self._process:
            frames.append(_frame(FrameType.PID, self._process))
        return frames

    def has_way(self) -> bool:
        """Tell whether output can go on: here, or in a next segment if this one is long.

        Only here, between two segments, is it looked whether too much waits already: one that is
        begun is filled, and waits when it is left. So all shims together may have a segment each
        beside what the limit allows.
        """
        if self._size < self._full_at:
            return True
        return waiting_bytes(self._directory) + layout.ROTATE_BYTES <= self.most_bytes

    def _make_way(self) -> None:
        """Go on in a new segment if this one is long, and say so at its end.

        In this order, because a reader that meets the end of the old one must find the new one.
        """
        if self._size < self._full_at or not self.has_way():
            return
        old, size = self._fd, self._size
        try:
            self._begin(layout.successor(self.name))
        except OSError:
            # No room or no descriptor for another file: stay, and try again some way on.
            self._full_at = size + layout.ROTATE_BYTES
            return
        _append(old, _frame(FrameType.NEXT, {"segment": self.name}), size)
        # Nobody syncs it later for a shim whose worker is gone, and an end must not outlive its
        # output in a power cut.
        os.fdatasync(old)
        os.close(old)

    def grant(self, job_id: str, attempt: int, grace_s: float, timeout_s: float | None) -> bool:
        """Write down what was asked for, before anything of it is done.

        With it goes when all of it must be over, by the clock of this boot: a worker that finds us
        sees to it if we cannot.

        Tell whether there is room for what it may say: if not, there is still some for its end.
        """
        self._make_way()
        self.output_bytes = 0
        self._heard = _nothing_heard()
        self._grant = {
            "job": job_id,
            "attempt": attempt,
            "grace_s": grace_s,
            "over_by": None if timeout_s is None else time.monotonic() + timeout_s + grace_s,
            "at_us": wall_us(),
        }
        reached("grant.before_write")
        has_room = self._note(FrameType.GRANT, self._grant)
        reached("grant.after_write")
        return has_room

    def began(self, pid: int, at_us: int) -> None:
        """Write down which process the command is: with its start time, never anybody else's."""
        started = linux.start_time(pid)
        self._process = {**self._identity, "pid": pid, "start_time": started, "at_us": at_us}
        self._note(FrameType.PID, self._process)
        reached("shim.started_recorded")

    def output(self, frame_type: FrameType, data: bytes) -> None:
        """Write what the command said, now; `OSError` when there is no room for it."""
        self._make_way()
        frame = encode(frame_type, wall_us(), data)
        self._room.need(self._size + len(frame))
        self._size = _append(self._fd, frame, self._size)
        self.output_bytes += len(frame)

    def heard(self, frame_type: FrameType, size: int) -> None:
        """Count what the command said, whether it could be written or not.

        Each later segment begins with these counts and the exit record ends with them, so they are
        known without the segments that have gone, or were lost.
        """
        self._heard[STREAM_NAMES[frame_type]] += size

    def exit(self, record: Record) -> None:
        """Write down how it ended, in the space that output has left for it."""
        whole = _frame(FrameType.EXIT, {**record, **self._heard})
        self._size = _append(self._fd, whole, self._size)
        self._grant, self._process = {}, {}

    def _note(self, frame_type: FrameType, record: Record) -> bool:
        """Write a small record, from the reserve if need be; tell whether there is more."""
        self._size = _append(self._fd, _frame(frame_type, record), self._size)
        try:
            self._room.need(self._size)
        except OSError:
            return False
        return True

    def sync(self) -> None:
        """Bring what was written to the disk itself, and the segment's name with it."""
        os.fdatasync(self._fd)
        if not self._named_durably:
            os.fsync(self._directory)
            self._named_durably = True


def _nothing_heard() -> dict[str, int]:
    return {STREAM_NAMES[kind]: 0 for kind in (FrameType.OUT, FrameType.ERR)}


def _identity(pid: int) -> Record:
    return {"pid": pid, "start_time": linux.start_time(pid), "boot_id": linux.boot_id()}


def _frame(frame_type: FrameType, record: Record) -> bytes:
    return encode(frame_type, wall_us(), _to_json(record).encode())


def _append(fd: int, data: bytes, start: int) -> int:
    """Write all of `data` at the end, `start`, and return the new end; or change nothing."""
    done = 0
    try:
        while done < len(data):
            done += os.pwrite(fd, data[done:] if done else data, start + done)
    except OSError:
        os.ftruncate(fd, start)
        raise
    return start + done
