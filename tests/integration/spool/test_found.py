"""What a worker finds in a spool: whole, torn, damaged, or of another time."""

import contextlib
import fcntl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.kernel import linux
from orchestrator.kernel.errors import VersionUnsupported
from orchestrator.protocol.frames import EMPTY_DIGEST, chain
from orchestrator.protocol.limits import FRAME_DATA_BYTES
from tests.integration.spool.files import (
    began,
    code,
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
from tests.support.processes import open_descriptors
from worker.records import Began, Cause, Exited, Log, Vanished
from worker.shim import layout
from worker.spool import Spool
from worker.spool.segment import BUFFER_BYTES


async def test_a_new_spool_is_empty_and_private(tmp_path: Path) -> None:
    """Nothing is found in it, and nobody else may look."""
    spool = Spool(tmp_path / "spool")

    assert await spool.reattach() == []

    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()} == {0o600}
    spool.close()


async def test_every_attempt_of_a_segment_is_found(tmp_path: Path) -> None:
    """Each with its own records, and with the digest of its own output."""
    write(tmp_path / "spool", "seg-a-0", header(), whole(1, b"one"), whole(2, b"two"))
    spool = Spool(tmp_path / "spool")

    first, second = await spool.reattach()

    assert (first.key, second.key) == (("job_1", 1), ("job_2", 1))
    for log, text, number in ((first, b"one", 1), (second, b"two", 2)):
        records = await read(log)
        assert records[0] == Began(2**22 + 2, 2)
        assert output(records) == out(text)
        assert code(records) == number
        assert log_of(records) == Log(len(out(text)), chain(EMPTY_DIGEST, out(text)), len(text))
    spool.close()


@pytest.mark.parametrize(
    ("frames", "phase", "may_have_run"),
    [
        ([grant(1)], "granted", True),
        ([grant(1), began()], "running", True),
        ([grant(1), began(), out(b"words")], "running", True),
    ],
)
async def test_an_attempt_without_end_has_vanished(
    tmp_path: Path, frames: list[bytes], phase: str, may_have_run: bool
) -> None:
    """What was granted and has no exit record is told as it is: nobody knows how it ended."""
    write(tmp_path / "spool", "seg-a-0", header(), *frames)
    spool = Spool(tmp_path / "spool")

    [log] = await spool.reattach()

    assert log.phase == phase
    records = await read(log)
    assert isinstance(records[-1], Vanished)
    assert records[-1].may_have_run is may_have_run
    assert records[-1].log.length == len(output(records))
    spool.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_torn_segment_is_read_up_to_the_tear(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever the cut, an attempt is whole, vanished with a beginning of its words, or absent."""
    first, second = whole(1, b"one" * 100), grant(2) + began() + out(b"a") + out(b"b") + ended(2)
    segment = header() + first + second
    cut = data.draw(st.integers(0, len(segment)))
    junk = data.draw(st.binary(max_size=40))

    async def look() -> None:
        path = write(tmp_path / "spool", "seg-a-0", segment[:cut] + junk)
        (tmp_path / "spool/ledger").unlink(missing_ok=True)
        spool = Spool(tmp_path / "spool")
        for log in await spool.reattach():
            records = await read(log)
            number = int(log.job_id[-1])
            expected = {1: out(b"one" * 100), 2: out(b"a") + out(b"b")}[number]
            if isinstance(records[-1], Exited):
                assert (code(records), output(records)) == (number, expected)
            else:
                assert cut < len(header() + first) + (len(second) if number == 2 else 0)
                assert expected.startswith(output(records))
        spool.close()
        path.unlink(missing_ok=True)

    anyio.run(look)


async def test_a_long_log_is_read_in_turn_with_everybody_else(tmp_path: Path) -> None:
    """A worker that finds megabytes which the server has goes on with its other work meanwhile."""
    piece = out(b"x" * (FRAME_DATA_BYTES - 1))
    write(tmp_path / "spool", "seg-a-0", header(), grant(1), began(), piece * 256, ended())
    spool = Spool(tmp_path / "spool")
    [log] = await spool.reattach()
    turns = 0

    async def work() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await read(log)
        group.cancel_scope.cancel()

    assert turns >= len(piece) * 256 // BUFFER_BYTES
    spool.close()


async def test_what_is_written_after_a_flipped_bit_is_not_believed(tmp_path: Path) -> None:
    """A damaged record ends what can be read, however whole the rest looks."""
    segment = bytearray(header() + whole(1) + whole(2))
    segment[len(header()) + len(grant(1)) + 20] ^= 1
    write(tmp_path / "spool", "seg-a-0", bytes(segment))
    spool = Spool(tmp_path / "spool")

    [log] = await spool.reattach()

    assert log.key == ("job_1", 1)
    assert isinstance((await read(log))[-1], Vanished)
    spool.close()


async def test_an_attempt_is_followed_through_its_segments(tmp_path: Path) -> None:
    """One log, however many files: the words are in order and the end is one."""
    texts = [b"one", b"two", b"three"]
    lengths = [len(out(text)) for text in texts]
    write(
        tmp_path / "spool",
        "seg-a-0",
        *(header(), whole(1), grant(2), began(), out(texts[0]), goes_on_in("seg-a-1")),
    )
    write(
        tmp_path / "spool",
        "seg-a-1",
        *(header(), grant(2, offset=lengths[0]), began(), out(texts[1]), goes_on_in("seg-a-2")),
    )
    write(
        tmp_path / "spool",
        "seg-a-2",
        *(header(), grant(2, offset=sum(lengths[:2])), began(), out(texts[2]), ended(2)),
        whole(3),
    )
    spool = Spool(tmp_path / "spool")

    logs = {log.job_id: await read(log) for log in await spool.reattach()}

    assert list(logs) == ["job_1", "job_2", "job_3"]
    assert output(logs["job_2"]) == b"".join(map(out, texts))
    assert code(logs["job_2"]) == 2
    assert sum(isinstance(record, Began) for record in logs["job_2"]) == 1
    spool.close()


async def test_a_shim_killed_while_it_went_on_is_followed(tmp_path: Path) -> None:
    """The new segment is there and the old one does not name it yet: both are one attempt."""
    write(tmp_path / "spool", "seg-a-0", header(), grant(1), began(), out(b"one"))
    write(tmp_path / "spool", "seg-a-1", header(), grant(1, offset=len(out(b"one"))), began())
    spool = Spool(tmp_path / "spool")

    [log] = await spool.reattach()
    records = await read(log)

    assert output(records) == out(b"one")
    assert isinstance(records[-1], Vanished)
    log.settle()
    spool.close()
    assert not list((tmp_path / "spool").glob("seg-*"))


async def test_nobody_else_is_taken_for_an_attempt_whose_end_a_power_cut_took(
    tmp_path: Path,
) -> None:
    """The shim had gone on to another attempt in another segment: each is told for itself."""
    write(tmp_path / "spool", "seg-a-0", header(), grant(1), began(), out(b"one"))
    write(tmp_path / "spool", "seg-a-1", header(), whole(2))
    spool = Spool(tmp_path / "spool")

    logs = {log.job_id: await read(log) for log in await spool.reattach()}

    assert output(logs["job_1"]) == out(b"one")
    assert isinstance(logs["job_1"][-1], Vanished)
    assert code(logs["job_2"]) == 2
    spool.close()


async def test_a_missing_segment_loses_its_attempt_alone(tmp_path: Path) -> None:
    """If somebody removed what an attempt went on in, nobody knows its end; the rest is told."""
    write(
        tmp_path / "spool",
        "seg-a-0",
        *(header(), whole(1), grant(2), began(), out(b"one"), goes_on_in("seg-a-1")),
    )
    spool = Spool(tmp_path / "spool")

    first, second = await spool.reattach()

    assert code(await read(first)) == 1
    for _ in range(2):
        records = await read(second)
        assert output(records) == out(b"one")
        assert isinstance(records[-1], Vanished)
        assert records[-1].may_have_run
    first.settle()
    second.settle()
    spool.close()
    assert not list((tmp_path / "spool").glob("seg-*"))


async def test_the_spool_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    """An older worker does not guess what a newer one has written."""
    path = write(tmp_path / "spool", "seg-a-0", header(format=2), whole(1))
    before = path.read_bytes()
    spool = Spool(tmp_path / "spool")

    with pytest.raises(VersionUnsupported, match="has format 2"):
        await spool.reattach()

    spool.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("broken", [0, 1, 2])
async def test_a_start_that_fails_midway_removes_nothing(tmp_path: Path, broken: int) -> None:
    """Whichever segment cannot be read: no end that nobody was told of goes with the others."""
    whole_ones = [header() + whole(number) for number in (1, 2, 3)]
    for place, content in enumerate(whole_ones):
        write(tmp_path / "spool", f"seg-{place}-0", content)
    write(tmp_path / "spool", f"seg-{broken}-0", header(format=2), whole(broken + 1))
    spool = Spool(tmp_path / "spool")
    with pytest.raises(VersionUnsupported):
        await spool.reattach()
    spool.close()

    write(tmp_path / "spool", f"seg-{broken}-0", whole_ones[broken])
    again = Spool(tmp_path / "spool")
    found = [(log.job_id, code(await read(log))) for log in await again.reattach()]
    again.close()

    assert found == [("job_1", 1), ("job_2", 2), ("job_3", 3)]


async def test_an_attempt_that_went_on_before_its_first_word_is_followed(tmp_path: Path) -> None:
    """Both of its parts begin at no output: the one with the higher number is where it runs.

    Taken the other way round its shim would count as gone: no order would reach it, and the command
    would be killed.
    """
    with _a_process(tmp_path / "spool") as (process, identity):
        write(
            tmp_path / "spool",
            "seg-a-9",
            *(header(**identity), grant(1), began(), goes_on_in("seg-a-10")),
        )
        path = write(
            tmp_path / "spool", "seg-a-10", header(**identity), grant(1, offset=0), began()
        )
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            spool = Spool(tmp_path / "spool")
            [log] = await spool.reattach()
            records = log.records()
            assert isinstance(await anext(records), Began)

            log.cancel(Cause.CANCELLED, grace_s=1)
            died_of = process.wait(10)
            file.write(out(b"late") + ended(7))
            file.flush()
            rest = [record async for record in records]

        assert died_of == -layout.CANCEL_SIGNAL
        assert output(rest) == out(b"late")
        assert code(rest) == 7
        spool.close()


@contextlib.contextmanager
def _a_process(spool: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Give a process that stands for a shim, and how a header names it."""
    spool.mkdir(mode=0o700)
    with subprocess.Popen(["sleep", "600"]) as process:
        started = linux.start_time(process.pid)
        yield process, {"pid": process.pid, "start_time": started, "boot_id": linux.boot_id()}
        process.kill()


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"junk"])
async def test_a_segment_that_a_power_cut_emptied_is_removed(
    tmp_path: Path, content: bytes
) -> None:
    """A name without content tells nothing, and stops nobody."""
    write(tmp_path / "spool", "seg-a-0", content)
    spool = Spool(tmp_path / "spool")

    assert await spool.reattach() == []

    spool.close()
    assert not (tmp_path / "spool/seg-a-0").exists()


async def test_unfinished_segments_are_removed(tmp_path: Path) -> None:
    """A shim that was killed while it began leaves nothing for ever."""
    write(tmp_path / "spool", ".new-seg-a-0", header())
    spool = Spool(tmp_path / "spool")

    await spool.reattach()

    spool.close()
    assert not list((tmp_path / "spool").glob(".new-*"))


async def test_segments_that_nobody_writes_hold_no_descriptors(tmp_path: Path) -> None:
    """After a long outage there are many, and a machine allows few files."""
    for number in range(300):
        write(tmp_path / "spool", f"seg-{number:016}-0", header(), whole(number))
    before = len(open_descriptors())
    spool = Spool(tmp_path / "spool")

    logs = await spool.reattach()
    for log in logs[:10]:
        await read(log)

    assert len(logs) == 300
    assert len(open_descriptors()) - before <= 2  # its lock and its ledger
    spool.close()
