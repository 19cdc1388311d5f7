"""Paths on the disk of whoever asks."""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from tests.simulation.world.disk import File
from tests.simulation.world.process import Killed, Process

if TYPE_CHECKING:
    from tests.simulation.world.world import World


class SimPath(PurePosixPath):
    """A path whose questions are answered by the disk of the running process."""

    __slots__ = ()
    world: "World"

    def _asker(self) -> Process:
        process = SimPath.world.loop.current
        if process is None or not process.alive:
            raise Killed
        return process

    def exists(self) -> bool:
        """Tell whether anything has this name."""
        disk = self._asker().machine.disk
        return str(self) in disk.names or str(self) in disk.folders

    def is_dir(self) -> bool:
        """Tell whether it is a folder."""
        return str(self) in self._asker().machine.disk.folders

    def mkdir(self, mode: int = 0o777, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a folder. Folders are durable here: nobody tests `mkdir`."""
        disk = self._asker().machine.disk
        if str(self) in disk.folders and not exist_ok:
            raise FileExistsError(str(self))
        for folder in (self, *self.parents) if parents else (self,):
            disk.folders[str(folder)] = None

    def iterdir(self) -> Iterator[Self]:
        """Yield what is in the folder; of /proc, the pids."""
        machine = self._asker().machine
        if str(self) == "/proc":
            names = [str(pid) for pid in sorted(machine.processes)]
        else:
            names = machine.disk.listing(str(self))
        return iter([self / name for name in names])

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yield what matches, in this folder."""
        return iter([path for path in self.iterdir() if fnmatch(path.name, pattern)])

    def read_bytes(self) -> bytes:
        """Return all that is in the file."""
        machine = self._asker().machine
        if self.parts[:2] == ("/", "proc"):
            process = machine.processes.get(int(self.parts[2]))
            if process is None:
                raise FileNotFoundError(str(self))
            return process.environment
        inode = machine.disk.names.get(str(self))
        if inode is None:
            raise FileNotFoundError(str(self))
        return bytes(inode.data)

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return it as text."""
        return self.read_bytes().decode(encoding)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Take its name away."""
        disk = self._asker().machine.disk
        if str(self) in disk.names:
            disk.unlink(str(self))
        elif not missing_ok:
            raise FileNotFoundError(str(self))

    def replace(self, target: Any) -> None:
        """Give it another name."""
        self._asker().machine.disk.rename(str(self), str(target))

    def open(self, mode: str = "rb") -> "_Opened":
        """Open it, for its lock alone."""
        process = self._asker()
        inode = process.machine.disk.names.get(str(self))
        if inode is None:
            raise FileNotFoundError(str(self))
        return _Opened(process, process.open(File(process.machine.disk, str(self), inode)))


class _Opened:
    def __init__(self, process: Process, fd: int) -> None:
        self._process = process
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.alive:
            self._process.close(self._fd)
