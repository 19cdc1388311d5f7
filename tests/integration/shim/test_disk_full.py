"""A full disk under the spool: jobs are stopped and say so, and nothing is lost in silence."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.shim.workshop import come_true, told, workshop
from tests.support.processes import python

MIB = 1024 * 1024
LAST_BYTES = 900_000
LAST_WORDS = f"""
import fcntl, os, sys
while not os.path.exists("go"): pass
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
os.write(1, bytes({LAST_BYTES}))
os._exit(5)
"""
FLOOD = "import os\nwhile True: os.write(1, b'0123456789abcdef' * 4096)"


@contextlib.contextmanager
def small_disk(path: Path, size: int, *, files: int = 0) -> Iterator[Path]:
    """Give a file system of that size, for so many files and folders (0: any number).

    Only where this process may make one.
    """
    path.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={size},nr_inodes={files},mode=0700".encode()
    if libc.mount(b"tmpfs", str(path).encode(), b"tmpfs", 0, options) != 0:
        pytest.skip(f"no file system can be made here: {os.strerror(ctypes.get_errno())}")
    try:
        yield path
    finally:
        libc.umount2(str(path).encode(), 2)


def fill(path: Path) -> None:
    """Leave no room on the disk that a file is on."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65_536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass


async def test_a_job_that_fills_the_spool_is_ended(tmp_path: Path) -> None:
    """It is stopped with the cause, what was kept is a beginning, and what was not is counted."""
    with small_disk(tmp_path / "disk", 3 * MIB) as disk:
        async with workshop(disk) as shop:
            said = await shop.run(*python("-S", "-c", FLOOD), grace_s=1.0)

            end = said.end
            assert end.cause == "disk_full"
            assert "the worker's spool is full" in (end.message or "")
            assert "make room" in (end.message or "")
            assert MIB < len(said.out) < 3 * MIB
            assert said.out == (b"0123456789abcdef" * (len(said.out) // 16 + 1))[: len(said.out)]


async def test_an_end_is_recorded_on_a_full_disk(tmp_path: Path) -> None:
    """A job that ran when somebody filled the disk ends with its own code."""
    with small_disk(tmp_path / "disk", 2 * MIB) as disk:
        async with workshop(disk) as shop:
            log = await shop.start(
                "sh", "-c", "while [ ! -e stop ]; do :; done; exit 5", cwd=str(tmp_path)
            )
            fill(disk / "filling")
            (tmp_path / "stop").touch()

            said = await told(log)

            assert (said.end.cause, said.end.code) == ("exited", 5)


async def test_output_into_a_full_disk_is_not_lost_in_silence(tmp_path: Path) -> None:
    """Words for which there is no room end the job, and the record says how many are missing."""
    with small_disk(tmp_path / "disk", 2 * MIB) as disk:
        async with workshop(disk) as shop:
            script = "while [ ! -e go ]; do :; done; head -c 1000000 /dev/zero; sleep 60"
            log = await shop.start("sh", "-c", script, cwd=str(tmp_path), grace_s=1.0)
            fill(disk / "filling")
            (tmp_path / "go").touch()

            said = await told(log)

            assert said.end.cause == "disk_full"
            lost = int((said.end.message or "").split("last ")[1].split()[0])
            assert lost > 0
            assert said.end.log.stdout_bytes == len(said.out) + lost <= 1_000_000


async def test_words_that_are_read_after_the_end_do_not_change_it(tmp_path: Path) -> None:
    """A command that ended by itself keeps its code, and the record says how much is missing."""
    with small_disk(tmp_path / "disk", 2 * MIB) as disk:
        async with workshop(disk, slots=1) as shop:
            log = await shop.start(*python("-S", "-c", LAST_WORDS), cwd=str(tmp_path))
            [shim] = shop.shims
            await come_true(lambda: bool(shim.children()))
            [command] = shim.children()
            fill(disk / "filling")
            shim.suspend()
            (tmp_path / "go").touch()
            await come_true(lambda: command.status() == psutil.STATUS_ZOMBIE)
            shim.resume()

            said = await told(log)

            assert (said.end.cause, said.end.code) == ("exited", 5)
            assert "is full, so its last" in (said.end.message or "")
            lost = int((said.end.message or "").split("last ")[1].split()[0])
            assert said.end.log.stdout_bytes == len(said.out) + lost == LAST_BYTES


async def test_nothing_is_started_on_a_full_disk(tmp_path: Path) -> None:
    """Without room for its output a command is not begun; with room again it is."""
    with small_disk(tmp_path / "disk", 2 * MIB) as disk:
        async with workshop(disk, slots=1) as shop:
            # The room that a shim has taken in advance goes first, and what is settled gives some.
            said = await shop.run("true")
            for number in range(20):
                fill(disk / f"filling-{number}")
                while (await shop.run("head", "-c", "1000", "/dev/zero")).end.cause == "exited":
                    pass
                ran = tmp_path / f"ran-{number}"
                said = await shop.run("touch", str(ran))
                if not ran.exists():
                    break

            assert said.end.cause == "disk_full"
            assert "nothing was started" in (said.end.message or "")
            for filling in disk.glob("filling-*"):
                filling.unlink()
            assert (await shop.run("sh", "-c", "exit 3")).end.code == 3
