"""Which spool this is: an id that it keeps wherever it is moved to, and that no copy of it shares.

It knows files and the machine, and no segment's content. The server gives a session all that an
earlier one with the same spool had; so two folders with one id would take each other's attempts,
and a copy would end the processes of what its original still runs, and tell that nobody knows how
they ended.
"""

import fcntl
import json
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from orchestrator.kernel import host
from orchestrator.kernel.errors import StateUnavailable
from orchestrator.kernel.files import write_private
from worker.shim import layout

_NAME: Final = "id"


@dataclass(frozen=True, slots=True)
class Identity:
    """What is in the file `id`. `path` and `machine` are where the spool was opened last."""

    id: str
    path: str
    machine: str
    copied_from: str | None = None
    """Of which spool it began as a copy."""
    foreign: tuple[str, ...] = ()
    """The segments that came with the copy: what is not over in them is the original's business.
    A shim's name never comes twice, so the list is true for ever."""


def identify(directory: Path) -> Identity:
    """Return who the spool in a folder is; the caller has its lock.

    A spool without an id gets one, and one that is proved to be a copy gets another one.
    """
    path = directory / _NAME
    here = Identity(secrets.token_hex(16), str(directory), host.machine_id())
    known = _read(path)
    if known is None:
        found = here
    elif _is_copy(known, here, directory):
        found = replace(here, copied_from=known.id, foreign=tuple(_segments(directory)))
    else:
        # Moved, or brought back from a backup: nobody else has this id, so it is still the one.
        found = replace(known, path=here.path, machine=here.machine)
    if found != known:
        write_private(path, json.dumps(asdict(found)))
    return found


def _is_copy(known: Identity, here: Identity, directory: Path) -> bool:
    """Tell whether it is proved that another folder is the original.

    Whoever writes to a segment in it is no copy's shim, so then it is the original whatever else
    has changed: a container that has got another machine id, for example.
    """
    if here.machine and known.machine and known.machine != here.machine:
        return not _is_in_use(directory)
    return known.path != here.path and _is_elsewhere(known, directory) and not _is_in_use(directory)


def _is_elsewhere(known: Identity, directory: Path) -> bool:
    """Tell whether the folder where it was last still has this id, and is another one."""
    try:
        there = Path(known.path) / _NAME
        other = _read(there)
        return other is not None and other.id == known.id and not there.samefile(directory / _NAME)
    except (OSError, StateUnavailable):
        return False


def _is_in_use(directory: Path) -> bool:
    """Tell whether a shim lives that writes to it."""
    for name in _segments(directory):
        with (directory / name).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _segments(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob(f"{layout.PREFIX}*"))


def _read(path: Path) -> Identity | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        # What a newer version has noted besides is not ours to know.
        known = {name: fields[name] for name in Identity.__slots__ if name in fields}
        return Identity(**{**known, "foreign": tuple(fields["foreign"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StateUnavailable(
            f"{path} does not say which spool this is: {error}",
            hint="bring it back from a backup; or remove it, and what runs or waits here is lost",
        ) from error
