"""What a program asked of the file system below one folder, and what it answered, in one order.

The record is made by `strace`, so it is of the program as it is, its libraries and its threads. A
call that another thread's call interrupts in the record has a beginning and an end: a write may be
on the disk from its beginning, a sync counts from its end and for what had ended when it began.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CALLS: Final = (
    "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,"
    "rmdir,link,linkat,symlink,symlinkat,lseek,sendfile,copy_file_range,sendto,sendmsg,execve"
)
_LONGEST: Final = 8 * 1024 * 1024
"""Bytes of one argument that are recorded: more than any program of ours writes at once."""
_UNSUPPORTED: Final = frozenset(
    {"writev", "pwritev", "pwritev2", "truncate", "sync_file_range", "copy_file_range", "link",
     "linkat", "symlink", "symlinkat", "sendfile", "creat", "open"}
)  # fmt: skip


_SYNCS: Final = frozenset({"fsync", "fdatasync"})


@dataclass(frozen=True, slots=True)
class Event:
    """A call that succeeded: its name, what it was about, and where in the record it lies."""

    name: str
    pid: int
    begins: int
    ends: int
    path: str = ""
    """The file or folder, or of a rename its source."""
    to: str = ""
    offset: int = -1
    """Where a write begins; -1 is wherever the last one ended."""
    data: bytes = b""
    """What was written or sent; of a truncation nothing, and `offset` is the length."""
    flags: str = ""

    @property
    def counts(self) -> int:
        """Return from when on it makes a difference: a sync when it is over, all else at once."""
        return self.ends if self.name in _SYNCS else self.begins


def available() -> str | None:
    """Return why nothing can be recorded here; `None` if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False
    )
    return (
        None
        if tried.returncode == 0
        else f"strace cannot trace here: {tried.stderr.decode().strip()}"
    )


def recording(output: Path) -> list[str]:
    """Return what is put before a command so that its calls are recorded in a file."""
    return [
        *("strace", "-f", "-qq", "-yy", "-xx", "-s", str(_LONGEST), "-e", "signal=none"),
        *("-e", f"trace={CALLS}", "-o", str(output)),
    ]


_LINE: Final = re.compile(rb"^(\d+) +(.*)$")
_RESUMED: Final = re.compile(rb"^<\.\.\. (\w+) resumed>(.*)$")
_CALL: Final = re.compile(rb"^(\w+)\((.*)\) += (-?\d+|\?)(.*)$", re.DOTALL)
_UNFINISHED: Final = b" <unfinished ...>"
_FD: Final = re.compile(rb"^(-?\d+|AT_FDCWD)(?:<(.*)>)?$")


def read(record: Path, folder: Path, *, after: int = 0) -> list[Event]:
    """Return what happened below a folder, and what was sent to sockets, in order.

    `after` is the number of its first moment: a record may continue another.
    """
    with record.open("rb") as lines:
        events = list(_events(lines, _hexed(os.fsencode(folder)), after))
    return sorted(events, key=lambda event: event.counts)


def _hexed(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in text)


def _events(lines: Iterable[bytes], folder: bytes, after: int) -> Iterator[Event]:
    begun: dict[int, tuple[int, bytes]] = {}
    for number, line in enumerate(lines, after):
        match = _LINE.match(line.rstrip())
        if match is None:
            continue
        pid, text = int(match[1]), match[2]
        if text.endswith(_UNFINISHED):
            begun[pid] = (number, text.removesuffix(_UNFINISHED))
            continue
        start = number
        if resumed := _RESUMED.match(text):
            start, beginning = begun.pop(pid, (number, b""))
            text = beginning + resumed[2]
        if folder not in text and b"<TCP" not in text and not text.startswith(b"execve"):
            continue
        event = _event(text, pid, start, number, folder)
        if event is not None:
            yield event


def _event(text: bytes, pid: int, begins: int, ends: int, folder: bytes) -> Event | None:
    call = _CALL.match(text)
    if call is None or call[3] == b"?" or int(call[3]) < 0:
        return None
    # Strings are hexadecimal, so a comma is always one between arguments.
    name, arguments, result = call[1].decode(), call[2].split(b", "), int(call[3])
    if name in _UNSUPPORTED and folder in call[2]:
        raise ValueError(f"a call that the disk model does not know: {name}")
    make = _MAKERS.get(name)
    if make is None:
        return None
    fields = make(arguments, result, call[3] + call[4])
    return None if fields is None else Event(name, pid, begins, ends, **fields)


def _text(argument: bytes) -> bytes:
    """Return the bytes of a string argument."""
    inner = argument.removeprefix(b'"').removesuffix(b'"')
    return bytes.fromhex(inner.replace(b"\\x", b"").decode())


def _path_of(argument: bytes) -> str:
    """Return where a descriptor leads."""
    match = _FD.match(argument)
    if match is None or match[2] is None or not match[2].startswith(b"\\x"):
        return ""
    return os.fsdecode(_text(match[2].partition(b"<")[0]))


def _named(folder: bytes, name: bytes) -> str:
    return str(Path(_path_of(folder)) / os.fsdecode(_text(name)))


Fields = dict[str, Any] | None
Maker = Callable[[list[bytes], int, bytes], Fields]


def _opened(arguments: list[bytes], _: int, whole: bytes) -> Fields:
    flags = arguments[2].decode()
    if "O_WRONLY" not in flags and "O_RDWR" not in flags:
        return None
    return {"path": _path_of(whole), "flags": flags}


def _wrote(arguments: list[bytes], result: int, _: bytes) -> Fields:
    if b"<TCP" in arguments[0]:
        return {"path": _socket(arguments[0]), "data": _text(arguments[1])[:result]}
    return {"path": _path_of(arguments[0]), "data": _text(arguments[1])[:result]}


def _wrote_at(arguments: list[bytes], result: int, _: bytes) -> Fields:
    at = int(arguments[3])
    return {"path": _path_of(arguments[0]), "data": _text(arguments[1])[:result], "offset": at}


def _sought(arguments: list[bytes], result: int, _: bytes) -> Fields:
    return {"path": _path_of(arguments[0]), "offset": result}


def _cut(arguments: list[bytes], _: int, __: bytes) -> Fields:
    return {"path": _path_of(arguments[0]), "offset": int(arguments[1])}


def _grown(arguments: list[bytes], _: int, __: bytes) -> Fields:
    return {
        "path": _path_of(arguments[0]),
        "flags": arguments[1].decode(),
        "offset": int(arguments[2]) + int(arguments[3]),
    }


def _synced(arguments: list[bytes], _: int, __: bytes) -> Fields:
    return {"path": _path_of(arguments[0])}


def _of_path(arguments: list[bytes], _: int, __: bytes) -> Fields:
    return {"path": os.fsdecode(_text(arguments[0]))}


def _of_place(arguments: list[bytes], _: int, __: bytes) -> Fields:
    flags = arguments[2].decode() if len(arguments) > 2 else ""
    return {"path": _named(arguments[0], arguments[1]), "flags": flags}


def _renamed(arguments: list[bytes], _: int, __: bytes) -> Fields:
    return {"path": os.fsdecode(_text(arguments[0])), "to": os.fsdecode(_text(arguments[1]))}


def _renamed_at(arguments: list[bytes], _: int, __: bytes) -> Fields:
    return {
        "path": _named(arguments[0], arguments[1]),
        "to": _named(arguments[2], arguments[3]),
    }


def _socket(argument: bytes) -> str:
    """Return the port at the other end."""
    match = re.search(rb"->[^>]*?:(\d+)\]", argument)
    return "" if match is None else f"tcp:{match[1].decode()}"


def _ran(arguments: list[bytes], _: int, __: bytes) -> Fields:
    return {"path": os.fsdecode(_text(arguments[0]))}


_MAKERS: Final[dict[str, Maker]] = {
    "openat": _opened,
    "write": _wrote,
    "sendto": _wrote,
    "pwrite64": _wrote_at,
    "lseek": _sought,
    "ftruncate": _cut,
    "fallocate": _grown,
    "fsync": _synced,
    "fdatasync": _synced,
    "rename": _renamed,
    "renameat": _renamed_at,
    "renameat2": _renamed_at,
    "unlink": _of_path,
    "unlinkat": _of_place,
    "rmdir": _of_path,
    "mkdir": _of_path,
    "mkdirat": _of_place,
    "execve": _ran,
}
