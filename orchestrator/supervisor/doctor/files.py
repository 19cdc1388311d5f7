"""What of ours lies on the disk: who owns it, who may read it, and how much room there is."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from orchestrator.protocol.limits import MIB, MIN_FREE_BYTES, SMALL_DISK
from orchestrator.supervisor.logic.doctor.facts import Directory, Disk, Entry, Socket
from orchestrator.supervisor.logic.wanted import MachineWanted

SERVER_FLOOR: Final = 64 * MIB
"""With less, a server refuses new work: twice what it keeps back."""
_OURS: Final = ("lock", "last-good.json", "holds.json", "connection.json")
_KEYS: Final = ("admin.key", "enrol.key", "orchestrator.db")
_LOCKS: Final = Path("/proc/locks")
_LOCK_FIELDS: Final = 6


def entries(state_dir: Path, server_dir: Path | None) -> tuple[Entry, ...]:
    """Return every file and folder that must be ours alone, as far as it is there."""
    places: list[tuple[str, Path]] = [("the state directory", state_dir)]
    places += [("the file", state_dir / name) for name in _OURS]
    workers = state_dir / "workers"
    places.append(("the folder", workers))
    with contextlib.suppress(OSError):
        for folder in sorted(workers.iterdir()):
            places.append(("a worker's folder", folder))
            places.append(("a worker's token", folder / "token"))
            places.append(("the folder", folder / "log"))
    if server_dir is not None:
        places.append(("the server's data directory", server_dir))
        places += [("the server's file", server_dir / name) for name in _KEYS]
    return tuple(_entries(places))


def _entries(places: Iterable[tuple[str, Path]]) -> Iterator[Entry]:
    for what, path in places:
        with contextlib.suppress(OSError):
            seen = path.stat()
            yield Entry(
                what=what,
                path=str(path),
                is_dir=stat.S_ISDIR(seen.st_mode),
                uid=seen.st_uid,
                mode=stat.S_IMODE(seen.st_mode),
            )


def is_dir(path: Path) -> bool:
    """Tell whether there is such a folder, as far as this user may know."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def directories(wanted: MachineWanted | None) -> tuple[Directory, ...]:
    """Return where jobs run; what is not there is the configuration's trouble."""
    return tuple(
        Directory(
            worker=worker.name,
            path=str(worker.working_directory),
            is_writable=os.access(worker.working_directory, os.W_OK | os.X_OK),
        )
        for worker in (() if wanted is None else wanted.workers)
        if worker.enabled and is_dir(worker.working_directory)
    )


def disks(
    state_dir: Path, server_dir: Path | None, wanted: MachineWanted | None
) -> tuple[Disk, ...]:
    """Return how much room there is for what waits for servers, and for what a server keeps."""
    asked = None if wanted is None else wanted.min_free_bytes
    found = [_disk("the state directory", state_dir, asked)]
    if server_dir is not None:
        found.append(_disk("the server's data directory", server_dir, SERVER_FLOOR))
    return tuple(disk for disk in found if disk is not None)


def _disk(what: str, path: Path, floor: int | None) -> Disk | None:
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            seen = os.statvfs(place)
            break
    else:
        return None
    size = seen.f_blocks * seen.f_frsize
    return Disk(
        what=what,
        path=str(place),
        free=seen.f_bavail * seen.f_frsize,
        floor=min(MIN_FREE_BYTES, size // SMALL_DISK) if floor is None else floor,
        entries_left=seen.f_favail if seen.f_files else None,
    )


def socket(state_dir: Path, path: Path, fault: str | None) -> Socket:
    """Return how the place is where the orchestrator listens, and who has its folder."""
    try:
        seen = path.lstat()
    except OSError:
        seen = None
    return Socket(
        path=str(path),
        is_there=seen is not None,
        uid=None if seen is None else seen.st_uid,
        mode=None if seen is None else stat.S_IMODE(seen.st_mode),
        fault=fault,
        holder=_holder(state_dir / "lock"),
    )


def _holder(lock: Path) -> int | None:
    """Return who has a lock, without taking it: nobody shall find it taken because we looked."""
    try:
        seen = lock.stat()
        held = _LOCKS.read_text()
    except FileNotFoundError:
        return 0 if _LOCKS.exists() else None
    except OSError:
        return None
    which = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
    for line in held.splitlines():
        fields = line.split()
        if len(fields) > _LOCK_FIELDS and fields[1] == "FLOCK" and fields[5] == which:
            return int(fields[4])
    return 0
