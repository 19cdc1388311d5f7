"""What a worker makes of a log of which a part is gone: a hole stays one, and nobody guesses."""

from pathlib import Path

from tests.integration.spool.files import began, ended, grant, header, log_of, out, read, write
from worker.records import Log, Wrote
from worker.spool import Spool


async def test_what_a_lost_segment_held_is_still_counted(tmp_path: Path) -> None:
    """The shim's own counts stand in what follows, so nobody takes a hole for the whole output."""
    offset = len(out(b"first")) + len(out(b"second"))
    third = grant(1, offset=offset, stdout=11, stderr=4), began(), out(b"third")
    write(tmp_path / "spool", "seg-a-0", header(), grant(1), began(), out(b"first"))
    path = write(tmp_path / "spool", "seg-a-1", header(), *third, ended(stdout=16, stderr=9))

    async def count() -> tuple[int, int]:
        spool = Spool(tmp_path / "spool")
        [log] = await spool.reattach()
        last = log_of(await read(log))
        spool.close()
        return last.stdout_bytes, last.stderr_bytes

    assert await count() == (16, 9)
    # Without an end: what was counted at the last segment's beginning, and what is there.
    path.write_bytes(b"".join([header(), *third]))
    assert await count() == (16, 4)


async def test_what_a_power_cut_took_between_two_segments_is_a_hole(tmp_path: Path) -> None:
    """Output behind it keeps its place in the log, so that nobody takes the rest for the whole."""
    said = [out(b"one"), out(b"two"), out(b"three")]
    later = grant(1, offset=len(said[0] + said[1])) + began() + said[2] + ended()
    write(tmp_path / "spool", "seg-a-0", header(), grant(1), began(), said[0])
    write(tmp_path / "spool", "seg-a-1", header(), later)

    spool = Spool(tmp_path / "spool")
    (log,) = await spool.reattach()
    records = await read(log)
    spool.close()

    places = [record.offset for record in records if isinstance(record, Wrote)]
    assert places == [0, len(said[0] + said[1])]
    # Nobody knows its digest: that of what is left would be the digest of something else.
    assert log_of(records) == Log(len(b"".join(said)), None, stdout_bytes=8)


async def test_the_digest_of_a_log_without_its_beginning_is_unknown(tmp_path: Path) -> None:
    """A disk has lost what the ledger knew of it: what is left is not taken for the whole."""
    lost, said = len(out(b"one")), out(b"two")
    later = grant(1, offset=lost, stdout=3) + began() + said + ended(stdout=6)
    write(tmp_path / "spool", "seg-a-1", header(), later)

    spool = Spool(tmp_path / "spool")
    (log,) = await spool.reattach()
    records = await read(log)
    spool.close()

    assert [record.offset for record in records if isinstance(record, Wrote)] == [lost]
    assert log_of(records) == Log(lost + len(said), None, stdout_bytes=6)
