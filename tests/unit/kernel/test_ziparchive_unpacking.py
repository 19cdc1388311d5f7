"""Archives from strangers: what is good is unpacked exactly, and nothing lands outside."""

import io
import random
import shutil
import stat
import struct
import threading
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.kernel.ziparchive import ZipSummary, check, extract
from tests.support.zips import DESCRIPTOR, FULL32, UTF8, Item, archive, large, zip64_field

INNER = archive(Item("inner", b"x" * 100, method=0))


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "upload.zip"
    path.write_bytes(data)
    return path


def _into(folder: Path) -> Path:
    into = folder / "into"
    into.mkdir(mode=0o700)
    return into


def test_what_is_good_is_unpacked_exactly(tmp_path: Path) -> None:
    """Names, contents and whether something is a program survive; other mode bits do not."""
    data = archive(
        Item("src/", b"", mode=stat.S_IFDIR | 0o700),
        Item("src/main.c", b"int main;\n" * 100, mode=stat.S_IFREG | 0o600),
        Item("run.sh", b"#!/bin/sh\n", mode=stat.S_IFREG | 0o755),
        Item("setuid", b"x", mode=stat.S_IFREG | 0o4755),
        Item("deep/er/und/ünïcode €.txt", "grüße".encode(), method=0),
        Item("empty", b""),
        Item("inner.zip", INNER, method=0),
    )
    into = _into(tmp_path)

    summary = extract(_written(tmp_path, data), into)

    files = {str(p.relative_to(into)): p for p in into.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in files.items()} == {
        "src/main.c": b"int main;\n" * 100,
        "run.sh": b"#!/bin/sh\n",
        "setuid": b"x",
        "deep/er/und/ünïcode €.txt": "grüße".encode(),
        "empty": b"",
        "inner.zip": INNER,
    }
    modes = {name: stat.S_IMODE(path.stat().st_mode) for name, path in files.items()}
    assert modes["run.sh"] == modes["setuid"] == 0o755
    assert modes["src/main.c"] == modes["empty"] == 0o644
    assert summary == check(tmp_path / "upload.zip")
    assert summary == ZipSummary(6, 1, sum(path.stat().st_size for path in files.values()))


@pytest.mark.parametrize(
    "data",
    [
        large(),
        archive(Item("a"), comment=b"made by hand"),
        archive(),
        archive(
            Item(
                "a",
                flags=UTF8 | DESCRIPTOR,
                local={"crc": 0, "size": 0, "packed": 0},
                descriptor=struct.pack("<3L", zlib.crc32(b"content"), len(Item("a").pack()), 7),
            )
        ),
        archive(
            Item(
                "a",
                method=0,
                local={"size": FULL32, "packed": FULL32, "extra": zip64_field(7, 7)},
                central={"size": FULL32, "extra": zip64_field(7)},
            )
        ),
        archive(Item("a", flags=UTF8 | 2, local={"flags": UTF8})),
    ],
    ids=["zip64", "comment", "empty", "descriptor", "wide sizes", "packing hints"],
)
def test_unusual_but_sound_archives_are_taken(data: bytes, tmp_path: Path) -> None:
    """Large-file records, comments, descriptors and hints of other programs are no fault."""
    assert check(_written(tmp_path, data)).total_bytes in {0, 7}


def test_a_streamed_archive_is_taken(tmp_path: Path) -> None:
    """What a program writes that cannot seek back has its sizes behind the content."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]  # all that zipfile needs
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as streamed:
        streamed.writestr("a", b"hello" * 1000)
        with streamed.open("b", "w", force_zip64=True) as large:
            large.write(b"world")
    into = _into(tmp_path)

    extract(_written(tmp_path, bytes(pipe.data)), into)

    assert (into / "a").read_bytes() == b"hello" * 1000
    assert (into / "b").read_bytes() == b"world"


def test_a_second_archive_adds_and_never_replaces(tmp_path: Path) -> None:
    """Two archives may share a folder, not a file; a refused one leaves the other's alone."""
    into = _into(tmp_path)
    extract(_written(tmp_path, archive(Item("d/one", b"1"))), into)
    extract(_written(tmp_path, archive(Item("d/two", b"2"))), into)

    with pytest.raises(RequestInvalid, match='"d/one" exists already'):
        extract(_written(tmp_path, archive(Item("d/new/three"), Item("d/one", b"x"))), into)
    with pytest.raises(RequestInvalid, match='"d/one" exists already'):
        extract(_written(tmp_path, archive(Item("d/one/four"))), into)

    found = {str(p.relative_to(into)): p.read_bytes() for p in into.rglob("*") if p.is_file()}
    assert found == {"d/one": b"1", "d/two": b"2"}
    assert [item.name for item in sorted((into / "d").iterdir())] == ["one", "two"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """A folder of the archive that is a link on the disk is refused."""
    into, outside = _into(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (into / "d").symlink_to(outside)

    with pytest.raises(RequestInvalid, match='"d" exists already'):
        extract(_written(tmp_path, archive(Item("d/evil"))), into)

    assert list(outside.iterdir()) == []


@pytest.mark.timeout(60)  # twelve thousand files are made, and removed again
def test_swapping_folders_for_links_leads_nothing_outside(tmp_path: Path) -> None:
    """However a folder is swapped for a link while we unpack, no byte lands outside."""
    items = [Item(f"d{n % 7}/e/f{n}", b"x" * 3000) for n in range(120)]
    path = _written(tmp_path, archive(*items))
    outside = tmp_path / "outside"
    outside.mkdir()
    stop = threading.Event()
    roots = [tmp_path / f"into{number}" for number in range(100)]

    def swap() -> None:
        chance = random.Random(1)
        while not stop.is_set():
            for root in roots:
                victim = root / f"d{chance.randrange(7)}"
                try:
                    victim.rename(root / f"gone{chance.random()}")
                    victim.symlink_to(outside)
                except OSError:
                    continue

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for root in roots:
            root.mkdir()
            try:
                extract(path, root)
            except (RequestInvalid, OSError):
                continue
    finally:
        stop.set()
        swapper.join()

    assert list(outside.iterdir()) == []


@pytest.mark.timeout(60)
def test_flipped_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    """Of a thousand damaged archives each is refused cleanly or unpacks inside, within limits."""
    chance = random.Random(7)
    sound = archive(
        Item("src/", b"", mode=stat.S_IFDIR | 0o755),
        Item("src/main.c", b"int main(void);\n" * 200, mode=stat.S_IFREG | 0o644),
        Item("run.sh", b"#!/bin/sh\nexit 0\n", method=0, mode=stat.S_IFREG | 0o755),
        Item("data", chance.randbytes(2000)),
    )
    assert check(_written(tmp_path, sound)).files == 3
    outcomes = {True: 0, False: 0}
    for number in range(1000):
        damaged = bytearray(sound)
        for _ in range(chance.choice((1, 1, 2, 8))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        into = tmp_path / f"into{number}"
        into.mkdir()
        begun = time.monotonic()
        try:
            extract(_written(tmp_path, bytes(damaged)), into)
            outcomes[True] += 1
        except RequestInvalid:
            outcomes[False] += 1
            assert list(into.iterdir()) == []
        assert time.monotonic() - begun < 2
        shutil.rmtree(into)

    assert [path.name for path in tmp_path.iterdir()] == ["upload.zip"]
    assert outcomes[False] > 500
