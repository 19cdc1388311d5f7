"""How much of a spool waits for the server, told by names and headers alone.

Whether a byte was acknowledged only the worker knows, and a shim must not need one. But a segment
in which nobody writes any more is removed as soon as the server has what is in it: so whatever is
left of those waits. The one that a shim writes now stays in any case, and counts for nothing.
"""

import contextlib
import json
import os

from orchestrator.kernel import linux
from orchestrator.protocol.frames import decode
from worker.shim import layout

_HEAD_BYTES = 4096


def waiting_bytes(directory: str | os.PathLike[str] | int) -> int:
    """Return how long all segments of a spool are together that no shim writes now.

    A shim gives its descriptor of the folder, which means the same one when that has been moved.
    """
    sizes: dict[str, int] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(layout.PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
    last = {layout.shim(name): name for name in sorted(sizes, key=layout.number)}
    written = {name for name in last.values() if _has_writer(directory, name)}
    return sum(size for name, size in sizes.items() if name not in written)


def _has_writer(directory: str | os.PathLike[str] | int, name: str) -> bool:
    """Tell whether the shim that began a segment lives.

    Its header is asked and not its lock: whoever tries a lock has it for a moment, and would be
    taken for the shim by the worker.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW
    try:
        if isinstance(directory, int):
            fd = os.open(name, flags, dir_fd=directory)
        else:
            fd = os.open(os.path.join(directory, name), flags)
    except OSError:
        return False
    try:
        frame = next(decode(os.pread(fd, _HEAD_BYTES, 0)), None)
    finally:
        os.close(fd)
    if frame is None:
        return False
    header = json.loads(frame.data)
    if header["boot_id"] != linux.boot_id():
        return False
    return bool(linux.start_time(header["pid"]) == header["start_time"])
