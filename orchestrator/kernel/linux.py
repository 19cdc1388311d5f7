"""What only Linux can tell or do about processes; elsewhere every answer is harmless.

Standard library only, because the launcher and the shims import it. It decides nothing: whoever
asks for a pidfd or a start time knows why. Identity is never a bare pid (pids are used again), it
is a pidfd, or a pid with its start time and the boot id.
"""

import contextlib
import ctypes
import os
from pathlib import Path

_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_NAME_BYTES = 15
"""The kernel keeps this much of a process name and cuts the rest."""
_PARENT_FIELD = 1
_STARTED_FIELD = 19
"""Places in /proc/PID/stat, counted from the state, which follows the name in parentheses."""
_SMALL_BYTES = 4096
"""Some fifty numbers and a name of fifteen characters; a summary of twenty lines."""


def _prctl(option: int, argument: int | ctypes.Array[ctypes.c_char]) -> bool:
    try:
        function = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    return bool(function(option, argument, 0, 0, 0) == 0)


def become_subreaper() -> bool:
    """Have orphaned descendants re-parented to this process; tell whether that works here."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> bool:
    """Let nobody of this user read this process's memory, and write no core dump; tell whether.

    Its files in /proc are root's from now on, but those that it opens itself. What it executes is
    an ordinary process again, and what it forks is as it is.
    """
    return _prctl(_PR_SET_DUMPABLE, 0)


def memory_is_hidden() -> bool | None:
    """Tell whether `hide_memory` has worked for this process; `None` where nobody can say."""
    try:
        function = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    return bool(function(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)


def set_name(name: str) -> None:
    """Show this process under a name of its own in `ps` and `top`."""
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()[:_NAME_BYTES]))


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor that means this process for ever, or `None` when there is none.

    It names whoever has the pid *now*: the caller must know that this is still the one it means,
    for example because a lock of that process is still held afterwards.
    """
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None


def read_small(path: str) -> bytes:
    """Return what a small file of the kernel's says; nothing when it cannot be read."""
    # Without a file object, because a shim asks this about every command that it starts.
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(fd, _SMALL_BYTES)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _stat_fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; none when there is no such process."""
    text = read_small(f"/proc/{pid}/stat")
    # The name is in parentheses and may contain both spaces and parentheses: split after the last.
    return text.rpartition(b")")[2].split()


def start_time(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot: with the pid it is an identity."""
    fields = _stat_fields(pid)
    return int(fields[_STARTED_FIELD]) if fields else None


def boot_id() -> str:
    """Return a text that is another one after each boot; empty where the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def children(of: int | None = None) -> list[int]:
    """Return the pids of this process's children, zombies too; none where /proc is missing.

    Their pids cannot be used again before this process has waited for them, so a signal to one of
    them reaches no stranger. The children `of` another one may be gone at any moment.
    """
    parent = os.getpid() if of is None else of
    tasks = Path(f"/proc/{parent}/task")
    try:
        lists = [path.read_text(encoding="ascii") for path in tasks.glob("*/children")]
    except OSError:
        lists = []
    # A kernel may be built without these files: then everybody's parent is asked for.
    found = [int(pid) for text in lists for pid in text.split()]
    return found if lists else _children_by_search(parent)


def descendants() -> list[int]:
    """Return the pids of all processes that descend from this one, as they are found one by one.

    One may end, and another begin, while this looks: it is good for counting, not for killing.
    """
    found = children()
    for pid in found:  # it grows while it is walked through
        found += children(pid)
    return found


def _children_by_search(parent: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                fields = _stat_fields(int(entry.name))
                if fields and int(fields[_PARENT_FIELD]) == parent:
                    found.append(int(entry.name))
    return found
