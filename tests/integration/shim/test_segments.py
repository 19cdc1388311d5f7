"""Segments are followed by others before they grow large, and removed when nobody needs them."""

import os
from pathlib import Path

import pytest

from orchestrator.protocol.frames import FrameType, decode
from tests.integration.shim.test_output import FLOOD, flood
from tests.integration.shim.workshop import come_true, launcher, opened, told, workshop
from tests.support.processes import python
from worker.records import Wrote
from worker.shim import layout
from worker.shim.journal import Journal
from worker.spool import Spool

WAIT = "\nwhile not os.path.exists('stop'): pass"


def segments(spool: Spool) -> list[str]:
    """Return the names of the segments that are there."""
    return sorted(path.name for path in spool.directory.glob("seg-*"))


async def test_a_long_segment_is_followed_between_attempts(tmp_path: Path) -> None:
    """The next attempt begins in a new file, and the old one goes with what was in it."""
    blocks = layout.ROTATE_BYTES // 65_536
    async with workshop(tmp_path, slots=1) as shop:
        await shop.run(*python("-S", "-c", FLOOD, str(blocks)))
        [before] = segments(shop.spool)

        said = await shop.run("sh", "-c", "echo next; exit 3")

        assert (said.out, said.end.code) == (b"next\n", 3)
        await come_true(lambda: segments(shop.spool) == [layout.successor(before)])
        assert (await shop.run("sh", "-c", "exit 4")).end.code == 4
        assert len(shop.shims) == 1


@pytest.mark.timeout(60)
async def test_a_long_attempt_does_not_keep_all_its_output(tmp_path: Path) -> None:
    """What the server has is removed while the command runs, and a restart still tells its end."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            argv = python("-S", "-c", FLOOD + WAIT, "512")
            log = await shop.start(*argv, cwd=str(tmp_path))
            length = said = 0
            async for record in log.records():
                if isinstance(record, Wrote):
                    length += len(record.frames)
                    said += sum(len(frame.data) for frame in decode(record.frames))
                    log.acknowledged(length)
                if said == 512 * 65_536:
                    break
            await come_true(lambda: len(segments(shop.spool)) == 1)
        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()
        (tmp_path / "stop").touch()

        rest = await told(found)

        assert rest.end.code == 0
        assert len(rest.log) < length / 2
        assert rest.end.log.length == length
        spool.close()


async def test_a_long_attempt_is_found_in_all_its_segments(tmp_path: Path) -> None:
    """A restart reads from the first file to the one that is being written."""
    with launcher() as process:
        async with opened(tmp_path, process) as shop:
            argv = python("-S", "-c", FLOOD + WAIT, "300")
            log = await shop.start(*argv, cwd=str(tmp_path))
            said = 0
            async for record in log.records():
                if isinstance(record, Wrote):
                    said += sum(len(frame.data) for frame in decode(record.frames))
                if said == 300 * 65_536:
                    break
        spool = Spool(tmp_path / "spool")
        [found] = await spool.reattach()
        (tmp_path / "stop").touch()

        again = await told(found)

        assert again.out == flood(300)
        assert len(found.places) == 3
        spool.close()
        assert segments(spool) == []


def test_a_shim_syncs_what_it_leaves_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment that it will not write to again is its own to sync: perhaps nobody else will."""
    synced: list[str] = []
    monkeypatch.setattr(layout, "ROTATE_BYTES", 1000)
    monkeypatch.setattr(
        os, "fdatasync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
    )
    journal = Journal(str(tmp_path), 1_000_000)
    first = journal.name

    journal.output(FrameType.OUT, b"a" * 1000)
    journal.output(FrameType.OUT, b"b")

    assert journal.name == layout.successor(first)
    assert synced == [first]
    os.close(journal._fd)
    os.close(journal._directory)
