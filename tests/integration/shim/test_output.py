"""What a command says is kept as it said it, at once, to the last byte."""

import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from orchestrator.protocol.frames import decode
from orchestrator.protocol.limits import FRAME_DATA_BYTES
from tests.integration.shim.workshop import come_true, heard, told, workshop
from tests.support.processes import python
from worker.records import Cause, Wrote

MIB = 1024 * 1024
FLOOD = """
import os, sys
block = bytes(range(256)) * 256
for number in range(int(sys.argv[1])):
    os.write(1, number.to_bytes(8, "big") + block[8:])
"""

LAST_WORDS = """
import fcntl, os, pathlib, signal, time
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
def end(*_):
    pathlib.Path("told").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    os.write(1, b"x" * (1 << 20))
    os._exit(0)
signal.signal(signal.SIGTERM, end)
os.write(1, b"%d\\n" % os.getpid())
while True:
    signal.pause()
"""


def flood(blocks: int) -> bytes:
    """Return what FLOOD writes: blocks of 64 KiB, each with its number."""
    block = bytes(range(256)) * 256
    return b"".join(number.to_bytes(8, "big") + block[8:] for number in range(blocks))


async def test_both_streams_are_kept_apart_and_exact(tmp_path: Path) -> None:
    """NULs, broken UTF-8 and a missing last newline arrive as they were written."""
    odd = bytes(range(256)) + b"\0\0\xff\xfe\r\n\n\x1b[0m"
    (tmp_path / "odd").write_bytes(odd)

    async with workshop(tmp_path) as shop:
        said = await shop.run("sh", "-c", "cat odd; cat odd odd >&2", cwd=str(tmp_path))

    assert (said.out, said.err) == (odd, odd + odd)
    assert said.end.code == 0


async def test_frames_are_small_and_in_the_order_of_time(tmp_path: Path) -> None:
    """Each frame fits into a pipe, and no frame is dated before the one before it."""
    async with workshop(tmp_path) as shop:
        said = await shop.run(*python("-S", "-c", FLOOD, "64"))

    assert said.out == flood(64)
    assert max(len(frame.data) for frame in said.frames) <= FRAME_DATA_BYTES
    times = [frame.time_us for frame in said.frames]
    assert said.began is not None
    assert all(before <= after for before, after in pairwise([said.began.at_us, *times]))


async def test_a_word_without_newline_is_on_disk_at_once(tmp_path: Path) -> None:
    """Nobody waits for the end of a line, of a buffer, or of the command."""
    async with workshop(tmp_path) as shop:
        log = await shop.start("sh", "-c", "printf 'Proceed? '; exec sleep 60", grace_s=1.0)

        assert await heard(log, b"?") == b"Proceed? "

        log.cancel(Cause.CANCELLED, 0)
        assert (await told(log)).out == b"Proceed? "


async def test_single_bytes_are_not_mixed_up(tmp_path: Path) -> None:
    """A command that writes byte by byte is kept byte by byte, whatever the frames."""
    script = "import os\nfor i in range(3000): os.write(1 + i % 2, bytes([i % 251]))"

    async with workshop(tmp_path) as shop:
        said = await shop.run(*python("-S", "-c", script))

    assert said.out == bytes(i % 251 for i in range(0, 3000, 2))
    assert said.err == bytes(i % 251 for i in range(1, 3000, 2))


async def test_a_flood_of_scraps_is_gathered(tmp_path: Path) -> None:
    """Lines that come without a pause are kept in far fewer frames than lines, and exactly."""
    script = "import os\nfor i in range(20_000): os.write(1, b'%d\\n' % i)"

    async with workshop(tmp_path) as shop:
        said = await shop.run(*python("-S", "-c", script))

    assert said.out == b"".join(b"%d\n" % number for number in range(20_000))
    assert len(said.frames) < 2_000


@pytest.mark.timeout(60)
async def test_64_mib_arrive_complete(tmp_path: Path) -> None:
    """A long output is complete and in order, in segments none of which grows without end."""
    async with workshop(tmp_path) as shop:
        log = await shop.start(*python("-S", "-c", FLOOD, "1024"))
        digest, length, sizes = hashlib.sha256(), 0, Counter[str]()
        async for record in log.records():
            if isinstance(record, Wrote):
                assert len(record.frames) <= MIB
                for frame in decode(record.frames):
                    digest.update(frame.data)
                    length += len(frame.data)
        for path in shop.spool.directory.glob("seg-*"):
            sizes[path.name] = path.stat().st_size

        assert length == 64 * MIB
        assert digest.hexdigest() == hashlib.sha256(flood(1024)).hexdigest()
        assert len(sizes) > 4
        assert max(sizes.values()) < 9 * MIB
        # Read again when the server has some of it.
        middle = log.places[3].log.length
        log.acknowledged(middle)
        rest = await told(log)
        assert rest.out == flood(1024)[-len(rest.out) :]
        assert rest.end.log.length == middle + len(rest.log)
        assert (rest.end.log.stdout_bytes, rest.end.log.stderr_bytes) == (64 * MIB, 0)


async def test_a_command_may_close_its_streams_and_go_on(tmp_path: Path) -> None:
    """Closed streams end no command: its own end does, with its own code."""
    script = "exec >&- 2>&-; sleep 0.1; exit 5"

    async with workshop(tmp_path) as shop:
        said = await shop.run("sh", "-c", script)

    assert (said.end.cause, said.end.code) == ("exited", 5)
    assert said.end.wall_s >= 0.1


async def test_words_of_the_protocol_are_only_words(tmp_path: Path) -> None:
    """A command that prints frames, exit records or bells prints text, and nothing comes of it."""
    async with workshop(tmp_path) as shop:
        first = await shop.run("sh", "-c", "echo genuine; exit 3")
        segment = next(shop.spool.directory.glob("seg-*")).read_bytes()
        (tmp_path / "forged").write_bytes(segment + b'{"ready": "seg-x-0"}x job_1 1')

        said = await shop.run("sh", "-c", "cat forged; exit 4", cwd=str(tmp_path))

    assert first.end.code == 3
    assert said.out == (tmp_path / "forged").read_bytes()
    assert (said.end.cause, said.end.code) == ("exited", 4)


async def test_the_last_words_of_the_stopped_are_kept(tmp_path: Path) -> None:
    """More than one look can take, said right before the end: all of it is in the log."""
    async with workshop(tmp_path) as shop:
        log = await shop.start(*python("-S", "-c", LAST_WORDS), cwd=str(tmp_path))
        pid = await heard(log, b"\n")
        log.cancel(Cause.CANCELLED, 60.0)
        await come_true((tmp_path / "told").exists)
        # So that the words and the end are there at the same look.
        [shim] = shop.shims
        shim.suspend()
        (tmp_path / "go").touch()
        command = psutil.Process(int(pid))
        await come_true(lambda: command.status() == psutil.STATUS_ZOMBIE)
        shim.resume()
        said = await told(log)

    assert (said.end.cause, said.end.code) == (Cause.CANCELLED, 0)
    assert said.out == pid + b"x" * MIB
