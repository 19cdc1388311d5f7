"""Archives that no zip program would make: every field of every header can be told a lie."""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

UTF8 = 1 << 11
DESCRIPTOR = 1 << 3
UNIX = 3 << 8
FULL32 = 0xFFFF_FFFF


@dataclass
class Item:
    """An entry; `local` and `central` override fields of one of its two headers."""

    name: str | bytes
    content: bytes = b"content"
    method: int = 8
    mode: int = 0
    flags: int = UTF8
    packed: bytes | None = None
    extra: bytes = b""
    descriptor: bytes = b""
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    @property
    def raw_name(self) -> bytes:
        """Return the bytes of its name."""
        return self.name if isinstance(self.name, bytes) else self.name.encode()

    def fields(self, **changed: Any) -> dict[str, Any]:
        """Return what both headers say, with changes."""
        packed = self.pack()
        return {
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.content),
            "packed": len(packed),
            "size": len(self.content),
            "name": self.raw_name,
            "extra": self.extra,
            **changed,
        }

    def pack(self) -> bytes:
        """Return the bytes between its header and the next entry's."""
        if self.packed is not None:
            return self.packed
        if self.method == 0:
            return self.content
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.content) + packer.flush()


def local_header(item: Item) -> bytes:
    """Return an entry's own header."""
    said = item.fields(**item.local)
    numbers = (said["flags"], said["method"], 0, 0x21, said["crc"], said["packed"], said["size"])
    lengths = (len(said["name"]), len(said["extra"]))
    head = struct.pack("<4s5H3L2H", said.get("sign", b"PK\3\4"), 20, *numbers, *lengths)
    return head + bytes(said["name"]) + bytes(said["extra"])


def central_header(item: Item, start: int) -> bytes:
    """Return what the directory says of an entry."""
    said = item.fields(**item.central)
    numbers = (said["flags"], said["method"], 0, 0x21, said["crc"], said["packed"], said["size"])
    lengths = (len(said["name"]), len(said["extra"]), 0)
    place = (said.get("disk", 0), 0, item.mode << 16, said.get("start", start))
    head = struct.pack("<4s6H3L5H2L", b"PK\1\2", UNIX | 20, 20, *numbers, *lengths, *place)
    return head + bytes(said["name"]) + bytes(said["extra"])


def ending(count: int, size: int, start: int, **changed: Any) -> bytes:
    """Return the end of an archive; `changed` are lies about it."""
    return _ending({"here": count, "count": count, "size": size, "start": start, **changed})


def _ending(given: dict[str, Any]) -> bytes:
    said: dict[str, Any] = {"comment": b"", "disk": 0} | given
    numbers = (said["disk"], 0, said["here"], said["count"], said["size"], said["start"])
    return struct.pack("<4s4H2LH", b"PK\5\6", *numbers, len(said["comment"])) + bytes(
        said["comment"]
    )


def archive(*items: Item, before: bytes = b"", between: bytes = b"", **end: Any) -> bytes:
    """Return an archive of those entries; `end` overrides fields of its end."""
    body, directory = before, b""
    for item in items:
        directory += central_header(item, len(body))
        body += local_header(item) + item.pack() + item.descriptor
    body += between
    plain = {"here": len(items), "count": len(items), "size": len(directory), "start": len(body)}
    return body + directory + _ending(plain | end)


def zip64_field(*numbers: int) -> bytes:
    """Return the field that holds the numbers which a header is too narrow for."""
    return struct.pack("<2H", 1, 8 * len(numbers)) + struct.pack(f"<{len(numbers)}Q", *numbers)


def _zip64_end(count: int, size: int, start: int, *, at: int, said: int | None = None) -> bytes:
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    return wide + struct.pack("<4sLQL", b"PK\6\7", 0, at if said is None else said, 1)


def large(*, start: int | None = None, said: int | None = None, lie: int = 0) -> bytes:
    """Return a small archive that says everything the large way."""
    plain = archive(Item("a"))
    body, end = plain[:-22], plain[-22:]
    _, _, _, _, count, size, first, _ = struct.unpack("<4s4H2LH", end)
    wide = _zip64_end(count, size, first if start is None else start, at=len(body), said=said)
    return body + wide + ending(0xFFFF, FULL32, lie or FULL32)
