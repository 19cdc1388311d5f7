"""Groups of processes that nobody can leave by forking: control groups, version 2.

It knows the kernel's files and no job. A group is used only where this process may: below a group
of its own that is delegated to it (by permissions, by the mark of a service manager, or because
nobody is above). Elsewhere there is none, and nothing is said about it; whoever uses groups does
without them there. Standard library only, because the launcher and the shims import it.

What a dead process started is killed by one write, whatever session, parent and environment it has
given itself, and however fast it forks. Names never come twice, so a name that was written down
never means anybody else's group.
"""

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, Self

from orchestrator.kernel import linux

PREFIX: Final = "orch-"
_MODE: Final = 0o755
_DELEGATED: Final = ("user.delegate", "trusted.delegate")
"""How systemd marks a group that it leaves to its service."""


class Cgroup(NamedTuple):
    """One group, by its folder. Whatever cannot be done is told, and harms nobody."""

    path: Path

    def enter(self) -> bool:
        """Move this process into it; what it starts from now on is in it, too."""
        return _write(self.path / "cgroup.procs", b"0")

    def leave(self) -> bool:
        """Move this process into the group above; what it has started stays."""
        return _write(self.path.parent / "cgroup.procs", b"0")

    def kill(self) -> bool:
        """Kill everybody who is in it, those who are just being forked as well."""
        return _write(self.path / "cgroup.kill", b"1")

    def kill_others(self) -> bool:
        """Kill everybody but this process, which is in it."""
        if not self.leave():
            return False
        self.kill()
        self.enter()
        return True

    @property
    def is_populated(self) -> bool:
        """Tell whether anybody lives in it."""
        with contextlib.suppress(OSError):
            return "populated 1" in (self.path / "cgroup.events").read_text(encoding="ascii")
        return False

    def remove(self) -> bool:
        """Remove it if nobody lives in it; tell whether it is gone."""
        try:
            self.path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


class Groups:
    """Where this process may make groups; each for one child."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made_by = f"{PREFIX}{os.getpid()}.{linux.start_time(os.getpid())}."

    @classmethod
    def here(cls) -> Self | None:
        """Return where groups can be made below this process's own; `None` where none can."""
        folder = _own_folder()
        if folder is None or not _is_delegated(folder):
            return None
        groups = cls(folder)
        trial = groups.make()
        # A kernel before 5.14 cannot kill a group.
        works = trial is not None and (trial.path / "cgroup.kill").exists()
        if trial is not None:
            trial.remove()
        return groups if works else None

    def make(self) -> Cgroup | None:
        """Make an empty group; `None` if that is impossible just now."""
        group = Cgroup(self._folder / f"{self._made_by}{os.urandom(8).hex()}")
        try:
            group.path.mkdir(_MODE)
        except OSError:
            return None
        return group

    def remove_leftovers(self) -> None:
        """Remove empty groups whose maker was killed."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{PREFIX}*.*.*"):
                pid, started, _ = path.name.removeprefix(PREFIX).split(".")
                if not pid.isdigit() or str(linux.start_time(int(pid))) != started:
                    Cgroup(path).remove()


def _write(path: Path, word: bytes) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, word)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


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
    if not (folder.parent / "cgroup.procs").exists():
        return True
    while (folder / "cgroup.procs").exists():
        if any(_mark(folder, name) == b"1" for name in _DELEGATED):
            return True
        folder = folder.parent
    return False


def _mark(folder: Path, name: str) -> bytes | None:
    with contextlib.suppress(OSError, AttributeError):
        return os.getxattr(folder, name)
    return None
