"""A file system of its own that fails when it is told to, as a broken disk makes it."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from orchestrator.protocol.limits import MIB

_NEEDED: Final = ("mkfs.ext4", "e2fsck", "mount", "umount", "findmnt")


@dataclass(frozen=True)
class Disk:
    """A disk at `path`."""

    path: Path
    image: Path

    def fail(self) -> None:
        """Let nobody write to it: so ext4 does when it meets an error of the disk."""
        device = Path(_run("findmnt", "-no", "SOURCE", self.path)).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a test", encoding="utf-8")

    def mend(self) -> None:
        """Repair it, when nobody uses it any more."""
        _run("umount", self.path)
        # It says by 1 that it has corrected something.
        subprocess.run(["e2fsck", "-fy", str(self.image)], check=False, capture_output=True)
        self.mount()

    def mount(self) -> None:
        """Put it in its place."""
        _run("mount", "-o", "loop,errors=remount-ro", self.image, self.path)
        self.path.chmod(0o700)


def _run(*command: object) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def breaking_disk(path: Path, size: int = 512 * MIB) -> Iterator[Disk]:
    """Give a disk that can be broken, where this process may make one."""
    if missing := [name for name in _NEEDED if shutil.which(name) is None]:
        pytest.skip(f"no disk can be made here: there is no {missing[0]}")
    disk = Disk(path, path.with_name(f"{path.name}.image"))
    path.mkdir()
    with disk.image.open("wb") as file:
        file.truncate(size)
    try:
        _run("mkfs.ext4", "-q", "-F", disk.image)
        disk.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no disk can be made here: {error.stderr}")
    try:
        yield disk
    finally:
        _run("umount", "--lazy", path)
        disk.image.unlink()
