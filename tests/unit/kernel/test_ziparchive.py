"""Archives from strangers: what is good is unpacked exactly, what is bad is refused by name."""

import stat
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.kernel.ziparchive import ZipLimits, check, extract
from orchestrator.protocol import limits
from tests.support.processes import open_descriptors
from tests.support.zips import (
    DESCRIPTOR,
    FULL32,
    UTF8,
    Item,
    archive,
    central_header,
    ending,
    large,
    local_header,
)

BIG = 50 * 1024 * 1024


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "upload.zip"
    path.write_bytes(data)
    return path


def _into(folder: Path) -> Path:
    into = folder / "into"
    into.mkdir(mode=0o700)
    return into


def _stored(name: str | bytes = "a", **more: object) -> Item:
    return Item(name, b"content", method=0, **more)  # type: ignore[arg-type]  # passed through


def _overlap() -> bytes:
    """Return an archive in which one entry is the content of another, as a better bomb has it."""
    inner = Item("b", b"x" * 2000)
    outer = Item("a", local_header(inner) + inner.pack(), method=0)
    body = local_header(outer) + outer.pack()
    directory = central_header(outer, 0) + central_header(inner, len(local_header(outer)))
    return body + directory + ending(2, len(directory), len(body))


BAD = {
    # name, archive, words of the message
    "path escape": (archive(Item("../evil")), '"../evil" has .. in its path'),
    "escape in the middle": (archive(Item("a/../../b")), '"a/../../b"'),
    "escape by a folder": (archive(Item("..//", b"")), ".."),
    "two dots": (archive(Item("..")), '".." has ..'),
    "one dot": (archive(Item(".")), '"." has .'),
    "dot in the path": (archive(Item("a/./b")), '"a/./b" has . in its path'),
    "absolute": (archive(Item("/abs")), '"/abs" has an absolute path'),
    "drive": (archive(Item("C:\\x")), "backslash"),
    "drive with slash": (archive(Item("C:/x")), '"C:/x" names a drive'),
    "backslash": (archive(Item("a\\..\\b")), '"a\\..\\b" has a backslash'),
    "network path": (archive(Item("\\\\host\\share")), "backslash"),
    "nul": (archive(Item("a\0b")), '"a\\u0000b" has a control character'),
    "newline": (archive(Item("a\nb")), "control character"),
    "escape sequence": (archive(Item("\x1b[2J")), '"\\u001b[2J" has a control character'),
    "not composed": (archive(Item("e\u0301")), "NFC"),
    "not UTF-8": (archive(Item(b"a\xff")), "UTF-8"),
    "unmarked": (archive(Item("é", flags=0)), "not marked as UTF-8"),
    "long part": (archive(Item("x" * 300)), "longer than 255 bytes"),
    "long name": (archive(Item("/".join(["x" * 200] * 6))), "longer than 1024 bytes"),
    "empty name": (archive(Item("")), '"" has an empty name'),
    "only a slash": (archive(Item("/", b"")), "empty name"),
    "empty part": (archive(Item("a//b")), "empty part"),
    "trailing dot": (archive(Item("a./b")), "ends with a dot or a space"),
    "trailing space": (archive(Item("a ")), "ends with a dot or a space"),
    "twice": (archive(Item("dup"), Item("dup")), '"dup" is there twice'),
    "twice but for case": (archive(Item("dup"), Item("DUP")), "differs only in case"),
    "folders but for case": (archive(Item("a/x"), Item("A/y")), "differs only in case"),
    "file and folder": (archive(Item("d"), Item("d/e")), '"d" is a file and a folder'),
    "folder and file": (archive(Item("d/", b""), Item("d")), '"d" is there twice'),
    "symbolic link": (archive(Item("l", b"/etc", mode=0o120777)), '"l" is a symbolic link'),
    "device": (archive(Item("d", b"", mode=stat.S_IFBLK | 0o600)), '"d" is a device'),
    "character device": (archive(Item("d", b"", mode=stat.S_IFCHR | 0o600)), "is a device"),
    "pipe": (archive(Item("p", b"", mode=stat.S_IFIFO | 0o600)), '"p" is a pipe'),
    "socket": (archive(Item("s", b"", mode=stat.S_IFSOCK | 0o600)), '"s" is a socket'),
    "folder as a file": (archive(Item("d", b"", mode=stat.S_IFDIR | 0o755)), "without the slash"),
    "file as a folder": (archive(Item("d/", b"", mode=stat.S_IFREG | 0o644)), "slash of a folder"),
    "folder with content": (archive(Item("d/", b"x")), '"d/" is a folder with content'),
    "bomb by ratio": (archive(Item("zeros", b"\0" * BIG)), '"zeros" unpacks from'),
    "declared too small": (
        archive(Item("lie", b"x" * 5000, local={"size": 9}, central={"size": 9})),
        '"lie" is larger than the 9 bytes',
    ),
    "declared too large": (
        archive(Item("lie", b"x" * 50, local={"size": 99}, central={"size": 99})),
        '"lie" is smaller than the 99 bytes',
    ),
    "sizes that differ": (archive(Item("a", central={"size": 8})), "contradict"),
    "names that differ": (archive(Item("a", local={"name": b"b"})), "contradict"),
    "methods that differ": (archive(Item("a", local={"method": 0})), "contradict"),
    "checksums that differ": (archive(Item("a", local={"crc": 1})), "contradict"),
    "stored with two sizes": (
        archive(Item("a", method=0, local={"size": 9}, central={"size": 9})),
        "two different sizes",
    ),
    "overlap": (_overlap(), "overlaps"),
    "same place twice": (
        archive(_stored("a"), _stored("b", central={"start": 0})),
        "overlaps",
    ),
    "place outside": (archive(_stored("a", central={"start": 10_000})), "before its first entry"),
    "place is no entry": (
        archive(_stored("a"), Item("b", local={"sign": b"PK\3\5"})),
        "does not begin where",
    ),
    "prepended data": (b"#!/bin/sh\n" + archive(Item("a")), "belong to no entry"),
    "prepended data, mended": (archive(Item("a"), before=b"#!/bin/sh\n"), "before its first entry"),
    "bytes between": (archive(Item("a"), between=b"hidden"), "followed by bytes"),
    "bytes between entries": (archive(Item("a", descriptor=b"hidden"), Item("b")), "followed by"),
    "appended data": (archive(Item("a")) + b"more", "data after its end"),
    "two archives": (archive(Item("a")) + archive(Item("b")), "belong to no entry"),
    "two ends": (
        archive(Item("a"), comment=ending(1, 0, 0)),
        "two ends",
    ),
    "encrypted": (archive(Item("a", flags=UTF8 | 1)), '"a" is encrypted'),
    "strongly encrypted": (archive(Item("a", flags=UTF8 | 0x41)), "is encrypted"),
    "unknown method": (archive(Item("a", method=99, packed=b"content")), "packed by method 99"),
    "bzip2": (archive(Item("a", method=12, packed=b"content")), "packed by method 12"),
    "bad checksum": (
        archive(Item("a", local={"crc": 1}, central={"crc": 1})),
        '"a" is damaged: its checksum',
    ),
    "no deflate": (archive(Item("a", packed=b"\xff" * 9)), '"a" is damaged: it cannot be inflated'),
    "deflate cut off": (archive(Item("a", packed=Item("a").pack()[:-1])), "cut off"),
    "bytes after deflate": (archive(Item("a", packed=Item("a").pack() + b"x")), "bytes behind"),
    "truncated": (archive(Item("a"))[:-1], "is cut off"),
    "half of it": (archive(Item("a"), Item("b"))[:60], "no zip file"),
    "empty file": (b"", "no zip file"),
    "no zip at all": (b"hello, world, this is no archive\n" * 9, "no zip file"),
    "directory cut": (archive(Item("a"), size=20, start=len(archive(Item("a"))) - 42), "damaged"),
    "more entries said": (archive(Item("a"), here=2, count=2), "damaged directory"),
    "fewer entries said": (
        archive(Item("a"), Item("b"), here=1, count=1),
        "longer than its entries",
    ),
    "two counts": (archive(Item("a"), here=2), "in two ways"),
    "volumes": (archive(Item("a"), disk=1), "one volume of several"),
    "entry on another volume": (archive(Item("a", central={"disk": 1})), "on another volume"),
    "zip64 without its record": (archive(Item("a"), start=FULL32), "lacks the record"),
    "zip64 without its field": (archive(Item("a", central={"size": FULL32})), "lacks the field"),
    "zip64 that contradicts": (large(lie=7), "contradicts its end"),
    "zip64 elsewhere": (large(said=0), "not where it should be"),
    "zip64 beyond the file": (large(said=2**63), "truncated"),
    "zip64 with a wrong start": (large(start=2**63), "belong to no entry"),
    "descriptor that lies": (
        archive(
            Item(
                "a",
                flags=UTF8 | DESCRIPTOR,
                local={"crc": 0, "size": 0, "packed": 0},
                descriptor=struct.pack("<3L", 1, 2, 3),
            )
        ),
        "followed by bytes",
    ),
    "descriptor missing": (
        archive(Item("a", flags=UTF8 | DESCRIPTOR, local={"crc": 0, "size": 0, "packed": 0})),
        "followed by bytes",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_bad_is_refused_by_name_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    """Looking and unpacking both refuse it, say what is wrong and what to do, and leave nothing."""
    data, words = BAD[case]
    path, into = _written(tmp_path, data), _into(tmp_path)

    with pytest.raises(RequestInvalid) as looked:
        check(path)
    with pytest.raises(RequestInvalid) as unpacked:
        extract(path, into)

    assert words in looked.value.message
    assert looked.value.message == unpacked.value.message
    assert looked.value.problem_code == "zip_unsafe"
    assert looked.value.hint
    assert looked.value.fields
    assert sorted(item.name for item in tmp_path.iterdir()) == ["into", "upload.zip"]
    assert list(into.iterdir()) == []


def test_the_limits_are_those_of_the_wire() -> None:
    """What an upload may be and what is unpacked are limited by the same numbers."""
    assert ZipLimits() == ZipLimits(
        entries=limits.ZIP_ENTRIES,
        total_bytes=limits.ZIP_TOTAL_BYTES,
        ratio=limits.ZIP_RATIO,
        ratio_free_bytes=limits.ZIP_RATIO_FREE_BYTES,
        name_bytes=limits.ZIP_NAME_BYTES,
        part_bytes=limits.ZIP_PART_BYTES,
    )


def test_a_bomb_by_total_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    """Many entries that are each allowed may still be too much together."""
    path = _written(tmp_path, archive(*(_stored(f"f{number}") for number in range(10))))

    with pytest.raises(RequestInvalid, match=r'more than 50 bytes, at "f7"'):
        check(path, ZipLimits(total_bytes=50))


def test_too_many_entries_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """The number in the end record is believed when it is too large."""
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as many:
        for number in range(limits.ZIP_ENTRIES + 1):
            many.writestr(f"f{number}", b"")

    with pytest.raises(RequestInvalid, match="20001 entries; at most 20000"):
        check(path)


def test_the_number_of_entries_that_needs_zip64_is_refused(tmp_path: Path) -> None:
    """One more than sixteen bits can count is no way around the limit."""
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as many:
        for number in range(65_536):
            many.writestr(f"f{number}", b"")

    with pytest.raises(RequestInvalid, match="65536 entries"):
        check(path)


def test_folders_that_names_imply_are_limited_too(tmp_path: Path) -> None:
    """A hundred long names imply fifty thousand folders; they are refused before they cost much."""
    deep = "a/" * 500
    path = _written(tmp_path, archive(*(_stored(f"{number}/{deep}f") for number in range(100))))

    tracemalloc.start()
    with pytest.raises(RequestInvalid, match="more than 1000 folders"):
        check(path, ZipLimits(entries=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 * 1024 * 1024


def test_folders_in_common_count_once(tmp_path: Path) -> None:
    """Many files in one deep folder imply that folder, and those above it, once."""
    path = _written(tmp_path, archive(*(_stored(f"a/b/c/f{number}") for number in range(100))))

    assert check(path, ZipLimits(entries=100)).files == 100


def test_small_files_of_zeros_are_no_bomb(tmp_path: Path) -> None:
    """The ratio counts only above one MiB."""
    path = _written(tmp_path, archive(Item("zeros", b"\0" * (1024 * 1024))))

    assert check(path).total_bytes == 1024 * 1024


def test_a_lying_size_costs_no_more_than_it_declares(tmp_path: Path) -> None:
    """An entry that declares nine bytes and inflates to fifty megabytes is stopped at once."""
    packed = Item("lie", b"\0" * BIG).pack()
    lie = {"size": 9, "crc": zlib.crc32(b"\0" * 9)}
    path = _written(tmp_path, archive(Item("lie", packed=packed, local=lie, central=lie)))
    into = _into(tmp_path)

    tracemalloc.start()
    with pytest.raises(RequestInvalid, match="larger than the 9 bytes"):
        extract(path, into)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8 * 1024 * 1024
    assert list(into.iterdir()) == []


def test_descriptors_are_closed_whatever_happens(tmp_path: Path) -> None:
    """Neither a refusal nor a success leaves a file open."""
    before = len(open_descriptors())
    for number, (data, _) in enumerate(BAD.values()):
        into = tmp_path / str(number)
        into.mkdir()
        with pytest.raises(RequestInvalid):
            extract(_written(tmp_path, data), into)

    assert len(open_descriptors()) == before
