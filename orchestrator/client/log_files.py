"""Reading a log that is written to files in turn, from its oldest line to the newest and on.

It asks nobody: who wonders why an orchestrator does not run has its workers' last words all the
same. It knows the names that `kernel/logs.py` gives, and no event.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

LOOK_S: Final = 0.2


def kept(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records that are there now, the oldest first; half a line is left for later."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=_age, reverse=True)
    for file in (*older, path):
        try:
            with file.open(encoding="utf-8", errors="replace") as lines:
                yield from filter(None, map(record, lines))
        except OSError:
            continue  # it was begun anew just now


def follow(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records that come from now on, in whichever file; it does not end by itself."""
    file = _opened(path, at_end=True)
    half = ""
    try:
        while True:
            # Looked at before it is read: what was written until it got another name is in it.
            moved = file is not None and _is_another(path, file.fileno())
            text = "" if file is None else file.read()
            *whole, half = (half + text).split("\n")
            yield from filter(None, map(record, whole))
            if file is None or moved:
                if file is not None:
                    file.close()
                file, half = _opened(path, at_end=False), ""
            if not moved:
                time.sleep(LOOK_S)
    finally:
        if file is not None:
            file.close()


def _opened(path: Path, *, at_end: bool) -> Any:  # noqa: ANN401 - a text file, or none
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if at_end:
        file.seek(0, os.SEEK_END)
    return file


def _is_another(path: Path, descriptor: int) -> bool:
    """Tell whether another file has that name by now."""
    try:
        there, ours = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def _age(path: Path) -> int:
    suffix = path.suffix[1:]
    return int(suffix) if suffix.isdigit() else 0


def record(line: str) -> dict[str, Any] | None:
    """Return what a line of a log says; nothing, if it is none."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
