"""The ledger: what of the spool is settled, so that a restart does not tell it all again.

It knows names, places and digests, and reads no segment. It is written behind and without a sync:
whatever it forgets is found again in the segments, reported again, and settled again. The one
exception is output of an attempt that still runs, which is removed once the server has it: the
digest up to there is nowhere else, so that entry is synced first.
"""

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.files import sync_dir
from orchestrator.protocol.frames import EMPTY_DIGEST, FrameType, decode, encode
from worker.records import Log
from worker.spool.segment import Key

_COMPACT_BYTES: Final = 1024 * 1024
"""A longer ledger is written anew, with what still counts; if that alone is longer, at twice it."""
_NO_TIME: Final = 0
"""When something was settled is of no use to anybody."""

Settled = tuple[int, frozenset[Key]]
"""Of a segment: everything before this place, and these attempts after it."""


class Ledger:
    """A file of entries, of which the last one about a thing counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._segments: dict[str, Settled] = {}
        self._removed: dict[Key, Log] = {}
        self._new_segments: dict[str, Settled] = {}
        self._new_removed: dict[Key, Log] = {}
        self._fd = _open(path)
        self._size = 0
        self._full_at = _COMPACT_BYTES
        for frame in decode(path.read_bytes()):
            self._load(json.loads(frame.data))
            self._size = frame.end
        # What follows the last whole entry was torn: nothing may be written behind it.
        os.ftruncate(self._fd, self._size)

    def settled(self, segment: str) -> Settled:
        """Return what of a segment is settled."""
        return self._segments.get(segment, (0, frozenset()))

    def removed(self, key: Key) -> Log:
        """Return the beginning of an attempt's output that is not kept here any more."""
        return self._removed.get(key, Log(0, EMPTY_DIGEST))

    def settle(self, segment: str, floor: int, keys: Iterable[Key]) -> None:
        """Note what of a segment is settled now."""
        self._segments[segment] = self._new_segments[segment] = (floor, frozenset(keys))

    def remove(self, key: Key, log: Log) -> None:
        """Note that an attempt's output up to there is going to be removed."""
        self._removed[key] = self._new_removed[key] = log

    def forget(self, segment: str) -> None:
        """Note that a segment is gone: nothing need be known of it."""
        self._segments.pop(segment, None)
        self._new_segments.pop(segment, None)

    def forget_attempt(self, key: Key) -> None:
        """Note that an attempt is settled altogether."""
        self._removed.pop(key, None)
        self._new_removed.pop(key, None)

    def keep(self, segments: Collection[str], keys: Collection[Key]) -> None:
        """Forget all but these, the only ones that are there: others have gone since it was noted.

        That something has gone is not written down, so whoever reads a ledger finds it again.
        """
        self._segments = {name: it for name, it in self._segments.items() if name in segments}
        self._removed = {key: log for key, log in self._removed.items() if key in keys}

    def write(self) -> None:
        """Write what is new. When there is no room it stays new."""
        if not self._new_segments and not self._new_removed:
            return
        reached("ledger.before_write")
        if self._size > self._full_at:
            self._compact()
        else:
            self._size = _append(self._fd, self._size, self._new_segments, self._new_removed)
        reached("ledger.written")
        self._new_segments, self._new_removed = {}, {}

    def sync(self) -> None:
        """Bring what was written to the disk itself. May run in another thread."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _compact(self) -> None:
        temporary = self._path.with_name(f".new-{self._path.name}")
        temporary.unlink(missing_ok=True)
        fd = _open(temporary)
        try:
            size = _append(fd, 0, self._segments, self._removed)
            # Synced, because the file that it replaces may have been.
            os.fsync(fd)
            temporary.replace(self._path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._size = fd, size
        self._full_at = max(_COMPACT_BYTES, 2 * size)
        sync_dir(self._path.parent)

    def _load(self, entry: dict[str, Any]) -> None:
        for name, (floor, keys) in entry["segments"].items():
            self._segments[name] = (floor, frozenset((job, number) for job, number in keys))
        for job, number, length, digest in entry["removed"]:
            known = None if digest is None else bytes.fromhex(digest)
            self._removed[job, number] = Log(length, known)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _append(fd: int, size: int, segments: dict[str, Settled], removed: dict[Key, Log]) -> int:
    entry = {
        "segments": {name: [floor, sorted(keys)] for name, (floor, keys) in segments.items()},
        "removed": [[*key, log.length, log.digest_hex] for key, log in removed.items()],
    }
    data = encode(FrameType.SETTLED, _NO_TIME, json.dumps(entry).encode())
    try:
        if os.pwrite(fd, data, size) != len(data):
            raise OSError("a short write")
    except OSError:
        os.ftruncate(fd, size)
        raise
    return size + len(data)
