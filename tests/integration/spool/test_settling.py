"""What is settled is forgotten, what is not is kept; the ledger is for speed, not for truth."""

import itertools
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from orchestrator.kernel.errors import StateUnavailable
from orchestrator.protocol.frames import EMPTY_DIGEST, chain
from tests.integration.spool.files import (
    began,
    ended,
    goes_on_in,
    grant,
    header,
    log_of,
    out,
    output,
    read,
    whole,
    write,
)
from tests.support.waiting import until
from worker.records import Log
from worker.spool import Spool
from worker.spool import spool as spool_module
from worker.spool.ledger import Ledger
from worker.spool.spool import EXIT_SYNC_S


async def test_a_settled_segment_is_removed_while_the_worker_works(tmp_path: Path) -> None:
    """When all that is in it is settled and nobody writes to it, it goes."""
    path = write(tmp_path / "spool", "seg-a-0", header(), whole(1), whole(2))
    spool = Spool(tmp_path / "spool")
    logs = await spool.reattach()

    async with anyio.create_task_group() as group:
        group.start_soon(spool.keep)
        for log in logs:
            assert path.exists()
            log.settle()
        await until(_gone(path))
        group.cancel_scope.cancel()
    spool.close()


def _gone(path: Path) -> Callable[[], Awaitable[bool]]:
    async def gone() -> bool:
        return not path.exists()

    return gone


def _idle(spool: Spool) -> Callable[[], Awaitable[bool]]:
    async def idle() -> bool:
        return not spool._due

    return idle


@pytest.mark.parametrize("settled", [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3)])
async def test_a_restart_finds_what_is_not_settled(
    tmp_path: Path, settled: tuple[int, ...]
) -> None:
    """In whatever order the server acknowledged, and however often it is started."""
    write(tmp_path / "spool", "seg-a-0", header(), whole(1), whole(2), whole(3))
    spool = Spool(tmp_path / "spool")
    for log in await spool.reattach():
        if int(log.job_id[-1]) in settled:
            log.settle()
    spool.close()

    for _ in range(3):
        again = Spool(tmp_path / "spool")
        found = [int(log.job_id[-1]) for log in await again.reattach()]
        again.close()

        assert found == [number for number in (1, 2, 3) if number not in settled]


async def test_a_lost_ledger_loses_nothing(tmp_path: Path) -> None:
    """Without it everything is told again; with a torn one, what was torn off is."""
    write(tmp_path / "spool", "seg-a-0", header(), whole(1), whole(2))
    spool = Spool(tmp_path / "spool")
    (await spool.reattach())[0].settle()
    spool.close()
    ledger = tmp_path / "spool/ledger"
    ledger.write_bytes(ledger.read_bytes()[:-1])

    again = Spool(tmp_path / "spool")

    assert len(await again.reattach()) == 2
    again.close()


class Parts(NamedTuple):
    """An attempt in three segments: its words, where each part of them ends, and the files."""

    texts: list[bytes]
    ends: list[int]
    paths: list[Path]


def _long_attempt(tmp_path: Path, before: bytes = b"") -> Parts:
    """Write the attempt of job 1; `before` stands before it in its first segment."""
    texts = [out(b"one" * 10), out(b"two" * 10), out(b"three" * 10)]
    ends = list(itertools.accumulate(map(len, texts)))
    frames = [
        (before, grant(1), began(), texts[0], goes_on_in("seg-a-1")),
        (grant(1, offset=ends[0], stdout=30), began(), texts[1], goes_on_in("seg-a-2")),
        (grant(1, offset=ends[1], stdout=60), began(), texts[2], ended(stdout=110)),
    ]
    paths = [
        write(tmp_path / "spool", f"seg-a-{place}", header(), *part)
        for place, part in enumerate(frames)
    ]
    return Parts(texts, ends, paths)


async def test_acknowledged_output_of_a_long_attempt_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its early segments are removed while it is not settled, and its digest is not forgotten."""
    # Soon, but not before they are removed: what is gone need not be synced any more.
    monkeypatch.setattr(spool_module, "OUTPUT_SYNC_S", 0.15)
    parts = _long_attempt(tmp_path)
    spool = Spool(tmp_path / "spool")
    [log] = await spool.reattach()
    log.acknowledged(parts.ends[0])
    assert len(log.places) == 3  # nobody has read so far, so nobody knows the digest there
    whole_log = log_of(await read(log))

    async with anyio.create_task_group() as group:
        group.start_soon(spool.keep)
        log.acknowledged(parts.ends[0] - 1)
        assert len(log.places) == 3
        log.acknowledged(parts.ends[1] + 5)
        await until(_gone(parts.paths[0]))
        await until(_gone(parts.paths[1]))
        await until(_idle(spool))
        group.cancel_scope.cancel()
    spool.close()

    again = Spool(tmp_path / "spool")
    [rest] = await again.reattach()
    records = await read(rest)
    assert output(records) == parts.texts[2]
    assert log_of(records) == whole_log
    rest.settle()
    again.close()
    assert not list((tmp_path / "spool").glob("seg-*"))


@pytest.mark.parametrize("gone", [[], [0], [0, 1], [1]])
async def test_a_kill_before_what_was_dropped_is_removed_costs_nothing(
    tmp_path: Path, gone: list[int]
) -> None:
    """The ledger knows what is settled, and only some of it went: the rest is told as one log."""
    parts = _long_attempt(tmp_path)
    kept = {path: path.read_bytes() for path in parts.paths}
    spool = Spool(tmp_path / "spool")
    [log] = await spool.reattach()
    whole_log = log_of(await read(log))
    async with anyio.create_task_group() as group:
        group.start_soon(spool.keep)
        log.acknowledged(parts.ends[1])
        await until(_gone(parts.paths[1]))
        group.cancel_scope.cancel()
    spool.close()
    for number, (path, content) in enumerate(kept.items()):
        if number not in gone:
            path.write_bytes(content)

    again = Spool(tmp_path / "spool")
    [rest] = await again.reattach()
    records = await read(rest)

    assert output(records) == parts.texts[2]
    assert log_of(records) == whole_log
    again.close()
    assert [path.exists() for path in parts.paths] == [False, False, True]


async def test_a_part_that_was_to_be_removed_is_settled_with_its_attempt(tmp_path: Path) -> None:
    """Killed before that, and kept by another attempt in the same file: it is not told later."""
    parts = _long_attempt(tmp_path, before=whole(2))
    spool = Spool(tmp_path / "spool")
    ledger = Ledger(tmp_path / "spool/ledger")
    ledger.remove(("job_1", 1), Log(parts.ends[0], chain(EMPTY_DIGEST, parts.texts[0])))
    ledger.write()
    ledger.close()
    spool.close()

    spool = Spool(tmp_path / "spool")
    logs = {log.job_id: log for log in await spool.reattach()}
    records = await read(logs["job_1"])
    assert output(records) == b"".join(parts.texts[1:])
    logs["job_1"].settle()
    spool.close()

    for _ in range(2):
        again = Spool(tmp_path / "spool")
        assert [log.job_id for log in await again.reattach()] == ["job_2"]
        again.close()


async def test_an_end_that_nobody_acknowledges_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, but not if it is acknowledged before: the usual job costs no sync."""
    synced: list[float] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        real(fd)
        synced.append(time.monotonic())

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    write(tmp_path / "spool", "seg-a-0", header(), whole(1))
    write(tmp_path / "spool", "seg-b-0", header(), whole(2))
    spool = Spool(tmp_path / "spool")
    prompt, late = await spool.reattach()

    async with anyio.create_task_group() as group:
        group.start_soon(spool.keep)
        await read(prompt)
        prompt.settle()
        began_at = time.monotonic()
        await read(late)

        async def done() -> bool:
            return bool(synced)

        await until(done)
        group.cancel_scope.cancel()
    spool.close()

    assert len(synced) == 1
    assert EXIT_SYNC_S <= synced[0] - began_at < 0.5


def test_a_spool_without_room_for_a_ledger_says_so(tmp_path: Path) -> None:
    """And lets go of its lock, so that the next try finds the spool as it was."""
    Spool(tmp_path / "spool").close()
    (tmp_path / "spool" / "ledger").unlink()
    (tmp_path / "spool" / "ledger").mkdir()

    for _ in range(2):
        with pytest.raises(StateUnavailable, match="ledger"):
            Spool(tmp_path / "spool")


async def test_output_is_synced_in_the_segment_that_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the same look that found it has shown where the log goes on."""
    synced: set[str] = set()
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        real(fd)
        synced.add(Path(f"/proc/self/fd/{fd}").readlink().name)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(spool_module, "OUTPUT_SYNC_S", 0.0)
    parts = _long_attempt(tmp_path)
    spool = Spool(tmp_path / "spool")
    [log] = await spool.reattach()

    async with anyio.create_task_group() as group:
        group.start_soon(spool.keep)
        await read(log)
        await until(_idle(spool))
        group.cancel_scope.cancel()
    spool.close()

    assert synced == {path.name for path in parts.paths}


def test_a_ledger_is_read_back(tmp_path: Path) -> None:
    """The last word about each thing counts, after a restart as before it."""
    ledger = Ledger(tmp_path / "ledger")
    ledger.settle("seg-a-0", 100, {("job_1", 1)})
    ledger.write()
    ledger.settle("seg-a-0", 200, set())
    ledger.settle("seg-b-0", 50, {("job_2", 1), ("job_3", 2)})
    ledger.remove(("job_4", 1), Log(77, b"\x01" * 32))
    ledger.remove(("job_5", 1), Log(77, None))
    ledger.write()
    ledger.settle("seg-c-0", 1, set())
    ledger.close()

    again = Ledger(tmp_path / "ledger")

    assert again.settled("seg-a-0") == (200, frozenset())
    assert again.settled("seg-b-0") == (50, frozenset({("job_2", 1), ("job_3", 2)}))
    assert again.removed(("job_4", 1)) == Log(77, b"\x01" * 32)
    assert again.removed(("job_5", 1)) == Log(77, None)
    assert again.settled("seg-c-0") == (0, frozenset())  # it was not written
    again.close()


def test_a_ledger_does_not_grow_for_ever(tmp_path: Path) -> None:
    """It is written anew with what still counts, and says the same."""
    ledger = Ledger(tmp_path / "ledger")
    many = {(f"job_{number:026}", 1) for number in range(500)}
    largest = 0
    for number in range(100):
        ledger.settle("seg-a-0", number, many)
        ledger.write()
        largest = max(largest, (tmp_path / "ledger").stat().st_size)
    ledger.forget("seg-gone-0")
    ledger.close()

    again = Ledger(tmp_path / "ledger")

    assert again.settled("seg-a-0") == (99, frozenset(many))
    assert largest < 1_200_000
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o600
    again.close()


async def test_what_went_in_earlier_lives_is_not_carried_along(tmp_path: Path) -> None:
    """A ledger that is written anew holds nothing of segments and attempts that are no more."""
    write(tmp_path / "spool", "seg-a-0", header(), whole(1), whole(2))
    ledger = Ledger(tmp_path / "spool/ledger")
    for number in range(10_000):
        ledger.settle(f"seg-gone{number:020}-0", 100, {(f"job_{number:026}", 1)})
        ledger.remove((f"job_{number:026}", 1), Log(77, b"\x01" * 32))
    ledger.write()
    ledger.close()
    assert (tmp_path / "spool/ledger").stat().st_size > 1_500_000

    spool = Spool(tmp_path / "spool")
    (await spool.reattach())[0].settle()
    spool.close()

    assert (tmp_path / "spool/ledger").stat().st_size < 1000
    again = Spool(tmp_path / "spool")
    assert [log.job_id for log in await again.reattach()] == ["job_2"]
    again.close()


def test_a_ledger_of_much_that_counts_is_not_written_anew_each_time(tmp_path: Path) -> None:
    """When all of it is still needed, the next entries are added to it as usual."""
    ledger = Ledger(tmp_path / "ledger")
    ledger.settle("seg-a-0", 0, {(f"job_{number:026}", 1) for number in range(40_000)})
    ledger.write()
    assert (tmp_path / "ledger").stat().st_size > 1_500_000

    files = set()
    for number in range(10):
        ledger.settle("seg-b-0", number, set())
        ledger.write()
        files.add((tmp_path / "ledger").stat().st_ino)
    ledger.close()

    assert len(files) == 1


def test_a_ledger_that_is_written_anew_is_there_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new name is brought to the disk too: what is synced later would be in no file else."""
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        real(fd)
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))

    monkeypatch.setattr(os, "fsync", fsync)
    ledger = Ledger(tmp_path / "ledger")
    for number in range(2):
        ledger.settle("seg-a-0", number, {(f"job_{number:026}", 1) for number in range(40_000)})
        ledger.write()
    ledger.close()

    assert synced == [str(tmp_path / ".new-ledger"), str(tmp_path)]
