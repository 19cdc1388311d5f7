"""More output than the spool may hold: the job goes on, and its output says what is missing."""

import re
from pathlib import Path

import pytest

from orchestrator.protocol.frames import FrameType, decode
from tests.integration.shim.test_output import FLOOD, flood
from tests.integration.shim.workshop import Told, come_true, told, workshop
from tests.support.processes import python
from worker.records import Began, Wrote
from worker.shim import layout
from worker.shim.backlog import waiting_bytes
from worker.spool import AttemptLog

LIMIT = 4 * layout.ROTATE_BYTES
BLOCKS = 3 * LIMIT // 65_536
SAY = FLOOD + "\nopen('said', 'w').close()"
GO_ON = SAY + "\nwhile not os.path.exists('stop'): pass\nos.write(1, b'the end')"


def notes(said: Told) -> list[str]:
    """Return the notes in an output log, in their order."""
    return [frame.data.decode() for frame in said.frames if frame.type == FrameType.NOTE]


def counted(said: Told) -> int:
    """Return how many bytes the notes say are missing."""
    return sum(int(found[1]) for note in notes(said) if (found := re.search(r"(\d+) bytes", note)))


async def delivered(log: AttemptLog) -> Told:
    """Return all that a log says, while the server takes each word of it at once."""
    said = Told()
    async for record in log.records():
        said.records.append(record)
        if isinstance(record, Wrote):
            log.acknowledged(record.offset + len(record.frames))
    log.settle()
    return said


@pytest.mark.timeout(60)
async def test_what_nobody_fetches_is_bounded_and_the_gap_is_told(tmp_path: Path) -> None:
    """With the server away a flood ends by itself: a beginning is kept, the rest is counted."""
    async with workshop(tmp_path, slots=1, spool_max_bytes=LIMIT) as shop:
        log = await shop.start(*python("-S", "-c", SAY, str(BLOCKS)), cwd=str(tmp_path))
        await come_true((tmp_path / "said").exists, "the flood is over")

        waiting = waiting_bytes(shop.spool.directory)
        segments = list(shop.spool.directory.glob("seg-*"))
        spooled = sum(segment.stat().st_size for segment in segments)
        said = await told(log)

        assert waiting < LIMIT
        assert spooled < LIMIT + layout.ROTATE_BYTES
        assert (said.end.cause, said.end.code) == ("exited", 0)
        assert LIMIT // 2 < len(said.out) < LIMIT + layout.ROTATE_BYTES
        assert said.out == flood(BLOCKS)[: len(said.out)]
        assert len(notes(said)) == 2
        assert counted(said) == BLOCKS * 65_536 - len(said.out)
        assert said.end.log.stdout_bytes == BLOCKS * 65_536
        assert f"{counted(said)} bytes of its output were not kept" in (said.end.message or "")


@pytest.mark.timeout(60)
async def test_output_is_kept_again_when_there_is_room(tmp_path: Path) -> None:
    """When the server is back, what follows is kept, behind a note of what is missing there."""
    async with workshop(tmp_path, slots=1, spool_max_bytes=LIMIT) as shop:
        log = await shop.start(*python("-S", "-c", GO_ON, str(BLOCKS)), cwd=str(tmp_path))
        await come_true((tmp_path / "said").exists, "the flood is over")
        async for record in log.records():
            if isinstance(record, Wrote):
                log.acknowledged(record.offset + len(record.frames))
                if any(frame.type == FrameType.NOTE for frame in decode(record.frames)):
                    break
        await come_true(lambda: len(list(shop.spool.directory.glob("seg-*"))) == 1)
        (tmp_path / "stop").touch()

        said = await told(log)

        assert [frame.type for frame in said.frames][-2:] == [FrameType.NOTE, FrameType.OUT]
        assert said.frames[-1].data == b"the end"
        assert counted(said) > LIMIT
        assert said.end.log.stdout_bytes == BLOCKS * 65_536 + len(b"the end")
        assert said.end.code == 0


@pytest.mark.timeout(60)
async def test_a_flood_that_is_fetched_is_whole(tmp_path: Path) -> None:
    """A command that prints faster than the server takes is listened to more slowly."""
    async with workshop(tmp_path, slots=1, spool_max_bytes=LIMIT) as shop:
        said = await delivered(await shop.start(*python("-S", "-c", FLOOD, str(BLOCKS))))

        assert said.out == flood(BLOCKS)
        assert notes(said) == []
        assert said.end.message is None


@pytest.mark.timeout(60)
async def test_a_shim_that_is_killed_far_on_leaves_the_spool_in_order(tmp_path: Path) -> None:
    """It began in a segment that was fetched and removed long ago: nobody asks for that again."""
    say = SAY + "\nwhile not os.path.exists('stop'): pass"
    async with workshop(tmp_path, slots=1, spool_max_bytes=LIMIT) as shop:
        blocks = 3 * layout.ROTATE_BYTES // 65_536
        log = await shop.start(*python("-S", "-c", say, str(blocks)), cwd=str(tmp_path))
        read = 0
        async for record in log.records():
            if isinstance(record, Wrote):
                read += sum(len(frame.data) for frame in decode(record.frames))
                log.acknowledged(record.offset + len(record.frames))
            if read == blocks * 65_536:
                break
        await come_true(lambda: len(list(shop.spool.directory.glob("seg-*"))) == 1)

        [shim] = shop.shims
        shim.kill()
        vanished = (await told(log)).vanished
        assert vanished.may_have_run
        assert (vanished.log.stdout_bytes, vanished.log.stderr_bytes) == (blocks * 65_536, 0)

        await come_true(lambda: not list(shop.spool.directory.glob("seg-*")))
        assert (await shop.run("sh", "-c", "exit 3")).end.code == 3


async def test_a_silent_attempt_holds_nothing_of_those_before_it(tmp_path: Path) -> None:
    """Its shim leaves a long segment for it, which is removed before it has said anything."""
    blocks = str(layout.ROTATE_BYTES // 65_536)
    async with workshop(tmp_path, slots=1, spool_max_bytes=LIMIT) as shop:
        assert (await delivered(await shop.start(*python("-S", "-c", FLOOD, blocks)))).end.code == 0
        [long] = shop.spool.directory.glob("seg-*")

        silent = await shop.start(
            "sh", "-c", "while [ ! -e stop ]; do sleep 0.05; done", cwd=str(tmp_path)
        )
        async for record in silent.records():
            if isinstance(record, Began):
                break

        await come_true(lambda: not long.exists(), "the long segment is removed")
        (tmp_path / "stop").touch()
        assert (await told(silent)).end.code == 0
