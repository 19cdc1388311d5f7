"""What the kernel's control groups (version 2) may be used for here, and for which limits.

A group is used only where it was left to this process: by permissions, by the mark of a service
manager, or because nobody is above, as in a container. In such a place a group can be made for
whatever a job starts. To hold it to limits, *controllers* must be handed on to the groups below,
and the kernel does so only where nobody lives in the group above. So a program that keeps jobs sits
in a group `orchestrator`, beside those of its jobs: systemd puts it there from version 254 on
(`DelegateSubgroup`), and where it can harm nobody it goes there itself.

Standard library only, because the launcher imports it.
"""

import contextlib
import errno
import os
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

CONTROLLERS: Final = ("cpu", "memory", "pids")
"""That hold what a job has to limits."""
SUBGROUP: Final = "orchestrator"
"""In which a program that keeps jobs is, so that nobody is in the group above."""
_MODE: Final = 0o755
_DELEGATED: Final = ("user.delegate", "trusted.delegate")
"""How systemd marks a group that it leaves to its service."""


class Delegation(NamedTuple):
    """What may be used."""

    folder: Path | None
    """In which groups can be made; `None`: nowhere."""
    controllers: frozenset[str] = frozenset()
    """What the groups there can be held to."""
    reason: str = ""
    """Why that is not all, for a person; empty if it is."""


def delegated() -> Delegation:
    """Return what this process may use, as it is now."""
    own = _own_folder()
    if own is None:
        return Delegation(None, reason="no control groups (version 2) are mounted here")
    folder = _home(own)
    if folder is None:
        why = "the control group of this process is not left to it: a service needs Delegate=yes"
        return Delegation(None, reason=why)
    there, handed_on = _words(folder / "cgroup.controllers"), _words(_handed_on(folder))
    controllers = frozenset(CONTROLLERS) & handed_on
    absent = [name for name in CONTROLLERS if name not in there]
    kept = [name for name in CONTROLLERS if name in there and name not in handed_on]
    reasons = []
    if absent:
        reasons.append(
            f"{', '.join(absent)}: not among the controllers of {folder} (not delegated, or "
            "version 1 has them)"
        )
    if kept:
        why = (
            "in which somebody lives (a service needs DelegateSubgroup, of systemd 254)"
            if _words(folder / "cgroup.procs")
            else "the kernel refused it"
        )
        reasons.append(f"{', '.join(kept)}: not handed on to the groups below {folder}, {why}")
    return Delegation(folder, controllers, "; ".join(reasons))


def settle() -> Delegation:
    """Have controllers handed on to the groups of jobs, if that harms nobody; tell what came of it.

    To be called before any other process is started: those are to be in the same place.
    """
    own = _own_folder()
    folder = None if own is None else _home(own)
    if own is None or folder is None:
        return delegated()
    wanted = frozenset(CONTROLLERS) & _words(folder / "cgroup.controllers")
    wanted -= _words(_handed_on(folder))
    # A service manager starts us in this group again, which it cannot where controllers are on.
    is_ours = own.name == SUBGROUP or own.suffix == ".scope" or not _has_group(own.parent)
    if is_ours and errno.EBUSY in _hand_on(folder, wanted).values() and own == folder:
        _step_aside(folder, wanted)
    return delegated()


def _step_aside(folder: Path, wanted: frozenset[str]) -> None:
    """Move this process out of the way, and back if it was not the only one in it."""
    aside = folder / SUBGROUP
    with contextlib.suppress(OSError):
        aside.mkdir(_MODE, exist_ok=True)
        write(aside / "cgroup.procs", b"0")
        if len(_hand_on(folder, wanted)) == len(wanted):
            write(folder / "cgroup.procs", b"0")
            aside.rmdir()


def _hand_on(folder: Path, controllers: frozenset[str]) -> dict[str, int | None]:
    """Hand on each of them that can be; return those that cannot, with the error's number."""
    errors = {}
    for name in sorted(controllers):
        try:
            write(_handed_on(folder), f"+{name}".encode())
        except OSError as error:
            errors[name] = error.errno
    return errors


def write(path: Path, word: bytes) -> None:
    """Write a word to a file of the kernel's, or raise `OSError`."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, word)
    finally:
        os.close(fd)


def _handed_on(folder: Path) -> Path:
    return folder / "cgroup.subtree_control"


def _words(path: Path) -> frozenset[str]:
    with contextlib.suppress(OSError):
        return frozenset(path.read_text(encoding="ascii").split())
    return frozenset()


def _home(own: Path) -> Path | None:
    """Return the folder in which groups may be made, for a process that is in `own`."""
    if own.name == SUBGROUP and _is_delegated(own.parent):
        return own.parent
    return own if _is_delegated(own) else None


def _own_folder() -> Path | None:
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    return folder_of(groups, mounts)


def folder_of(groups: str, mounts: str) -> Path | None:
    """Return the folder of the version 2 group that /proc/PID/cgroup tells of, if it is mounted."""
    own = next((line[3:] for line in groups.splitlines() if line.startswith("0::/")), None)
    if own is None or "/.." in own:
        return None
    for line in mounts.splitlines():
        mount, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            root, place = mount.split(" ")[3:5]
            if PurePosixPath(own).is_relative_to(root):
                return Path(place) / PurePosixPath(own).relative_to(root)
    return None


def _is_delegated(folder: Path) -> bool:
    """Tell whether whoever manages the groups of this machine leaves this one to us.

    Root may write everywhere, so it is asked for the mark; a group that nobody is above of, as in a
    container, needs none.
    """
    if not os.access(folder, os.W_OK) or not os.access(folder / "cgroup.procs", os.W_OK):
        return False
    if os.geteuid() != 0:
        return True
    if not _has_group(folder.parent):
        return True
    while _has_group(folder):
        if any(_mark(folder, name) == b"1" for name in _DELEGATED):
            return True
        folder = folder.parent
    return False


def _has_group(folder: Path) -> bool:
    return (folder / "cgroup.procs").exists()


def _mark(folder: Path, name: str) -> bytes | None:
    with contextlib.suppress(OSError, AttributeError):
        return os.getxattr(folder, name)
    return None
