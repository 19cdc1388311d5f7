"""Groups of processes that nobody can leave by forking: control groups, version 2.

It knows the kernel's files and no job. A group is used only where this process may
(`orchestrator.kernel.delegation`). Elsewhere there is none, and nothing is said about it; whoever
uses groups does without them there. Standard library only, because the launcher and the shims
import it.

What a dead process started is killed by one write, whatever session, parent and environment it has
given itself, and however fast it forks. Names never come twice, so a name that was written down
never means anybody else's group.

A shim's group can have a *cell* beside it, for what one attempt with limits has started: the shim
itself must not be held to them. Whoever ends a group ends its cell with it.
"""

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple, Self

from orchestrator.kernel import linux
from orchestrator.kernel.delegation import SUBGROUP, delegated, write

PREFIX: Final = "orch-"
CELL: Final = "-cell"
_MODE: Final = 0o755


class Cgroup(NamedTuple):
    """One group, by its folder. Whatever cannot be done is told, and harms nobody."""

    path: Path

    @property
    def cell(self) -> Path:
        """Return where its cell is, if it has one."""
        return self.path.with_name(self.path.name + CELL)

    def enter(self) -> bool:
        """Move this process into it; what it starts from now on is in it, too."""
        return _written(self.path / "cgroup.procs", b"0")

    def leave(self) -> bool:
        """Move this process out of it, and not into any job's; what it has started stays.

        Where limits are handed on nobody can be in the group above.
        """
        above = self.path.parent
        places = (above, above / SUBGROUP)
        return any(_written(place / "cgroup.procs", b"0") for place in places)

    def kill(self) -> bool:
        """Kill everybody who is in it, those who are just being forked as well."""
        _written(self.cell / "cgroup.kill", b"1")
        return _written(self.path / "cgroup.kill", b"1")

    def kill_others(self) -> bool:
        """Kill everybody but this process, which is in it."""
        if not self.leave():
            _written(self.cell / "cgroup.kill", b"1")
            return False
        self.kill()
        self.enter()
        return True

    @property
    def is_populated(self) -> bool:
        """Tell whether anybody lives in it."""
        return _is_populated(self.path) or _is_populated(self.cell)

    def remove(self) -> bool:
        """Remove it if nobody lives in it; tell whether it is gone.

        It goes before its cell: as long as its shim is in it, that is the shim's.
        """
        return _removed(self.path) and _removed(self.cell)


class Groups:
    """Where this process may make groups; each for one child."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made_by = f"{PREFIX}{os.getpid()}.{linux.start_time(os.getpid())}."

    @classmethod
    def here(cls) -> Self | None:
        """Return where this process can make groups; `None` where none can be made."""
        folder = delegated().folder
        if folder is None:
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
                    Cgroup(path.with_name(path.name.removesuffix(CELL))).remove()


def _is_populated(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return "populated 1" in (path / "cgroup.events").read_text(encoding="ascii")
    return False


def _removed(path: Path) -> bool:
    """Remove a group with those that somebody made in it; tell whether it is gone."""
    with contextlib.suppress(OSError):
        path.rmdir()
    if not path.exists() or _is_populated(path):
        return not path.exists()
    below = sorted(path.rglob("*/"), reverse=True)
    with contextlib.suppress(OSError):
        for folder in [*below, path]:
            folder.rmdir()
    return not path.exists()


def _written(path: Path, word: bytes) -> bool:
    try:
        write(path, word)
    except OSError:
        return False
    return True
