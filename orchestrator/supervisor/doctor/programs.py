"""Where programs are found by a shell and by jobs, and what they say of themselves."""

import contextlib
import errno
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.supervisor.doctor.files import is_dir
from orchestrator.supervisor.doctor.process import folders
from orchestrator.supervisor.logic.doctor.facts import Programs
from orchestrator.supervisor.logic.doctor.programs import ASKED

PATIENCE_S: Final = 10.0
SHOWN_CHARS: Final = 60
STEPS: Final = 1_000
"""Folders and links on the way to a program: more are a circle of links."""


class Service(NamedTuple):
    """The PATH that jobs get."""

    path: Sequence[str]
    whose: str
    """Who has it, in words."""
    uid: int | None
    """The user who may have put there what is found; `None`: nobody knows."""


def look(environ: Mapping[str, str], service: Service | None, euid: int) -> Programs:
    """Look for programs on the PATH of the shell, and on that of the service.

    A program that somebody else may have put there is not started: it would be started as us.
    """
    shell = folders(environ)
    searched = shell if service is None else service.path
    found = {name: (_which(name, shell), _which(name, searched)) for name in ASKED}
    # What a script names in its first line is found by this, too.
    ours = [folder for folder in searched if _is_closed(Path(folder), euid)]
    versions, unasked = {}, {}
    for name, (_, path) in found.items():
        if path is None:
            continue
        if why := _why_not(path, service, euid):
            unasked[name] = why
        elif version := _version(path, ours, environ):
            versions[name] = version
    return Programs(
        shell=tuple(shell),
        service=None if service is None else tuple(service.path),
        whose="" if service is None else service.whose,
        present=frozenset(path for path in (*shell, *searched) if is_dir(Path(path))),
        found=found,
        versions=versions,
        unasked=unasked,
    )


def _why_not(path: str, service: Service | None, euid: int) -> str:
    """Return why a program is not started; nothing, if it may be."""
    if service is not None and service.uid != euid:
        whose = "another user" if service.uid is None else f"user {service.uid}"
        return f"jobs run as {whose}"
    return "" if _is_closed(Path(path), euid) else "other users may replace it"


def _is_closed(path: Path, euid: int) -> bool:
    """Tell whether nobody else can change what is at that place, or where a link there leads."""
    if not path.is_absolute():
        return False
    try:
        seen = [place.lstat() for place in _way(path)]
    except OSError:
        return False
    return all(each.st_uid in {0, euid} and not _is_loose(each.st_mode) for each in seen)


def _way(path: Path) -> Iterator[Path]:
    """Yield what the kernel looks at on its way to a place: folders, links, and what is there."""
    here, left = Path("/"), list(path.parts[:0:-1])
    yield here
    for _ in range(STEPS):
        if not left:
            return
        name = left.pop()
        if name == "..":
            here = here.parent
            continue
        yield (place := here / name)
        if place.is_symlink():
            leads_to = place.readlink()
            here = Path("/") if leads_to.is_absolute() else here
            left += [part for part in reversed(leads_to.parts) if part != "/"]
        else:
            here = place
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_loose(mode: int) -> bool:
    """Tell whether others may write there; of a sticky folder they may change only their own."""
    closed = stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
    return not closed and bool(mode & (stat.S_IWGRP | stat.S_IWOTH))


def _which(name: str, path: Sequence[str]) -> str | None:
    return shutil.which(name, path=":".join(path)) if path else None


def _version(program: str, path: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the first line that `--version` prints; it gets what a job would, and 10 seconds."""
    env = {"PATH": ":".join(path), **{k: environ[k] for k in ("HOME", "LANG") if k in environ}}
    try:
        process = subprocess.Popen(
            [program, "--version"],
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return ""
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return ""
    first = next(iter(said.decode(errors="replace").splitlines()), "")
    return "".join(filter(str.isprintable, first))[:SHOWN_CHARS].strip()
