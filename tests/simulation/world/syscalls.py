"""What programs find in place of `os`, `fcntl`, `time`, `signal` and `select`: the world's own.

Each call is made by the process that runs now; a dead one comes no further. What is not here is the
real thing: constants, and functions that only compute.
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.world.disk import File, Folder, Inode
from tests.simulation.world.process import Killed, Process
from tests.simulation.world.sockets import PidFd
from worker.shim import layout

if TYPE_CHECKING:
    from tests.simulation.world.world import World


_BLOCKS: Final = 25_000_000


class _Entry:
    def __init__(self, name: str, inode: Inode | None) -> None:
        self.name = name
        self._size = 0 if inode is None else len(inode.data)

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        return SimpleNamespace(st_size=self._size)


def _error(number: int, name: str = "") -> OSError:
    return OSError(number, os.strerror(number), name)


class Os:
    """`os`, as the processes of a world have it."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _caller(self) -> Process:
        process = self._world.loop.current
        if process is None or not process.alive:
            raise Killed
        return process

    def _file(self, fd: Any) -> File:
        file = self._caller().files.get(fd if isinstance(fd, int) else fd.fileno())
        if not isinstance(file, File):
            raise _error(errno.EBADF)
        return file

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """Open a file or a folder."""
        process = self._caller()
        whole = self._whole(process, str(path), dir_fd)
        disk = process.machine.disk
        if flags & os.O_DIRECTORY or whole in disk.folders:
            if whole not in disk.folders:
                raise _error(errno.ENOENT, whole)
            return process.open(Folder(disk, whole))
        if whole.startswith("/proc/"):
            raise _error(errno.ENOENT, whole)
        inode = disk.names.get(whole)
        if inode is None:
            if not flags & os.O_CREAT:
                raise _error(errno.ENOENT, whole)
            inode = disk.create(whole)
        elif flags & os.O_EXCL:
            raise _error(errno.EEXIST, whole)
        return process.open(File(disk, whole, inode))

    def _whole(self, process: Process, path: str, dir_fd: int | None) -> str:
        if dir_fd is None:
            return path
        folder = process.files[dir_fd]
        assert isinstance(folder, Folder)
        return f"{folder.path}/{path}"

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        process = self._caller()
        if fd not in process.files:
            raise _error(errno.EBADF)
        process.close(fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read at a place."""
        return bytes(self._file(fd).inode.data[offset : offset + size])

    def preadv(self, fd: int, buffers: list[memoryview], offset: int) -> int:
        """Read at a place into one buffer."""
        (buffer,) = buffers
        data = self._file(fd).inode.data[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        return len(data)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        """Write at a place."""
        file = self._file(fd)
        process = self._caller()
        self._world.reach(process, "pwrite")
        file.disk.check_room(file.inode, offset + len(data))
        file.inode.write(bytes(data), offset)
        return len(data)

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut a file off."""
        self._file(fd).inode.truncate(size)

    def fstat(self, fd: int) -> Any:
        """Return how many names a file has: nobody here removes one that is locked."""
        self._file(fd)
        return SimpleNamespace(st_nlink=1)

    def fdatasync(self, fd: int) -> None:
        """Bring a file's bytes to the disk."""
        file = self._file(fd)
        self._world.reach(self._caller(), "fsync")
        if file.disk.broken_syncs:
            file.disk.broken_syncs -= 1
            raise _error(errno.EIO)
        if not (file.disk.lies and layout.PREFIX in file.path):
            file.inode.sync()

    def fsync(self, fd: int) -> None:
        """Bring a file's bytes, or a folder's names, to the disk."""
        folder = self._caller().files.get(fd)
        if isinstance(folder, Folder):
            folder.disk.sync_folder(folder.path)
        else:
            self.fdatasync(fd)

    def rename(
        self,
        source: str,
        target: str,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Give a file another name."""
        process = self._caller()
        self._world.reach(process, "rename")
        whole = self._whole(process, source, src_dir_fd)
        process.machine.disk.rename(whole, self._whole(process, target, dst_dir_fd))

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        """Take a name away."""
        process = self._caller()
        whole = self._whole(process, str(path), dir_fd)
        if whole not in process.machine.disk.names:
            raise _error(errno.ENOENT, whole)
        process.machine.disk.unlink(whole)

    def statvfs(self, path: Any) -> Any:
        """Return how much room there is: plenty, or none."""
        free = 0 if self._caller().machine.disk.full else _BLOCKS
        return SimpleNamespace(f_bavail=free, f_blocks=_BLOCKS, f_frsize=4096)

    def scandir(self, path: Any) -> Any:
        """Return what is in a folder, with the lengths of files."""
        process = self._caller()
        disk = process.machine.disk
        folder = self._whole(process, ".", path)[:-2] if isinstance(path, int) else str(path)
        return contextlib.nullcontext(
            [_Entry(name, disk.names.get(f"{folder}/{name}")) for name in disk.listing(folder)]
        )

    def urandom(self, size: int) -> bytes:
        """Return bytes of the seed's."""
        return self._world.ids.randbytes(size)

    def getpid(self) -> int:
        """Return the caller's pid."""
        return self._caller().pid

    def set_inheritable(self, fd: int, flag: bool) -> None:
        """Do nothing: nothing is inherited here."""

    def pidfd_open(self, pid: int) -> int:
        """Return a descriptor of whoever has that pid now."""
        process = self._caller()
        found = process.machine.processes.get(pid)
        if found is None:
            raise _error(errno.ESRCH)
        return process.open(PidFd(found))


def fcntl_of(world: "World", system: Os) -> Any:
    """Return `fcntl`: whole-file locks."""

    def flock(fd: Any, operation: int) -> None:
        file = system._file(fd)
        holder = file.inode.locked_by
        if operation & fcntl.LOCK_UN:
            file.inode.locked_by = None if holder is file else holder
        elif holder not in {None, file}:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        else:
            file.inode.locked_by = file

    return SimpleNamespace(**{**vars(fcntl), "flock": flock})


def time_of(world: "World", system: Os) -> Any:
    """Return `time`: the clocks of the caller's machine."""

    def wall() -> float:
        return system._caller().machine.clocks.wall(world.loop.now)

    return SimpleNamespace(
        monotonic=lambda: system._caller().machine.clocks.monotonic(world.loop.now),
        time=wall,
        time_ns=lambda: int(wall() * 1e6) * 1000,
    )


def signal_of(system: Os) -> Any:
    """Return `signal`: what is sent through a pidfd."""

    def pidfd_send_signal(fd: int, number: int) -> None:
        pidfd = system._caller().files[fd]
        assert isinstance(pidfd, PidFd)
        pidfd.send_signal(number)

    return SimpleNamespace(**{**vars(signal), "pidfd_send_signal": pidfd_send_signal})


def select_of(system: Os) -> Any:
    """Return `select`: a look at descriptors, without waiting."""

    class Poll:
        def __init__(self) -> None:
            self._fds: list[int] = []

        def register(self, fd: int, mask: int) -> None:
            self._fds.append(fd)

        def poll(self, timeout: float) -> list[int]:
            files = system._caller().files
            return [fd for fd in self._fds if files[fd].readable()]

    return SimpleNamespace(poll=Poll, POLLIN=select.POLLIN)


class Patches:
    """Names in the programs' modules that stand for something else during a run."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Let a name stand for another thing."""
        self._before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def each(self, owners: Iterable[Any], name: str, value: Any) -> None:
        """Do so in many modules."""
        for owner in owners:
            self.set(owner, name, value)

    def undo(self) -> None:
        """Let everything be what it was."""
        for owner, name, value in reversed(self._before):
            setattr(owner, name, value)
        self._before.clear()


def inline(world: "World") -> Callable[..., Any]:
    """Return what stands for a thread: the work is done after a moment of the disk's."""

    async def run_sync(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
        await world.pause(world.disk_latency())
        return function(*args)

    return run_sync
