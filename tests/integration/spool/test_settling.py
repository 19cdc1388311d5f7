"""What is settled is forgotten, what is not is kept; the ledger is for speed, not for truth."""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

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
    """In whatever order the server acknowledged."""
    write(tmp_path / "spool", "seg-a-0", header(), whole(1), whole(2), whole(3))
    spool = Spool(tmp_path / "spool")
    for log in await spool.reattach():
        if int(log.job_id[-1]) in settled:
            log.settle()
    spool.close()

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


async def test_acknowledged_output_of_a_long_attempt_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its early segments are removed while it is not settled, and its digest is not forgotten."""
    # Soon, but not before they are removed: what is gone need not be synced any more.
    monkeypatch.setattr(spool_module, "OUTPUT_SYNC_S", 0.15)
    texts = [b"one" * 10, b"two" * 10, b"three" * 10]
    first, second = len(out(texts[0])), len(out(texts[1]))
    parts = [
        (grant(1), began(), out(texts[0]), goes_on_in("seg-a-1")),
        (grant(1, offset=first), began(), out(texts[1]), goes_on_in("seg-a-2")),
        (grant(1, offset=first + second), began(), out(texts[2]), ended()),
    ]
    paths = [
        write(tmp_path / "spool", f"seg-a-{place}", header(), *frames)
        for place, frames in enumerate(parts)
    ]
    spool = Spool(tmp_path / "spool")
    [log] = await spool.reattach()
    log.acknowledged(first)
    assert len(log.places) == 3  # nobody has read so far, so nobody knows the digest there
    whole_log = log_of(await read(log))

    async with anyio.create_task_group() as group:
        group.start_soon(spool.keep)
        log.acknowledged(first - 1)
        assert len(log.places) == 3
        log.acknowledged(first + second + 5)
        await until(_gone(paths[0]))
        await until(_gone(paths[1]))
        await until(_idle(spool))
        group.cancel_scope.cancel()
    spool.close()

    again = Spool(tmp_path / "spool")
    [rest] = await again.reattach()
    records = await read(rest)
    assert output(records) == out(texts[2])
    assert log_of(records) == whole_log
    rest.settle()
    again.close()
    assert not list((tmp_path / "spool").glob("seg-*"))


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


def test_a_ledger_is_read_back(tmp_path: Path) -> None:
    """The last word about each thing counts, after a restart as before it."""
    ledger = Ledger(tmp_path / "ledger")
    ledger.settle("seg-a-0", 100, {("job_1", 1)})
    ledger.write()
    ledger.settle("seg-a-0", 200, set())
    ledger.settle("seg-b-0", 50, {("job_2", 1), ("job_3", 2)})
    ledger.remove(("job_4", 1), Log(77, b"\x01" * 32))
    ledger.write()
    ledger.settle("seg-c-0", 1, set())
    ledger.close()

    again = Ledger(tmp_path / "ledger")

    assert again.settled("seg-a-0") == (200, frozenset())
    assert again.settled("seg-b-0") == (50, frozenset({("job_2", 1), ("job_3", 2)}))
    assert again.removed(("job_4", 1)) == Log(77, b"\x01" * 32)
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
