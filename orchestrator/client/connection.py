"""Which server a command line talks to: what the environment says, else what runs on this machine.

It calls nobody. `orchestrator run` leaves a connection file for the same user, one for each data
directory; the environment comes first, because somebody said it on purpose. A key of this machine
is never sent to another address. A file whose run has ended is known by the process in it.
"""

import contextlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestrator.client.endpoint import Endpoint
from orchestrator.kernel import linux
from orchestrator.kernel.errors import ConfigInvalid, OrchestratorError, ServerUnreachable

URL: Final = "ORCHESTRATOR_URL"
API_KEY: Final = "ORCHESTRATOR_API_KEY"
_BYTES: Final = 64 * 1024
"""The file is two lines, a key is one; whatever is longer is something else."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is, and the key for it."""

    url: str
    credential: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Local:
    """What a connection file says."""

    url: str
    key_file: Path
    data_dir: str
    pid: int | None
    started: int | None
    boot: str

    @property
    def is_alive(self) -> bool:
        """Tell whether the run that wrote it goes on, as far as that can be seen."""
        if self.pid is None:
            return True
        if self.started is not None:
            # A pid is used again, after a boot very soon.
            return (self.boot, self.started) == (linux.boot_id(), linux.start_time(self.pid))
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True  # somebody has that pid
        return True


def find(environ: Mapping[str, str], files: Sequence[Path]) -> Connection:
    """Return the server to call, or say how to get one; of `files` the first is the usual one."""
    url, key = environ.get(URL, "").strip(), environ.get(API_KEY, "").strip()
    if url:
        Endpoint.parse(url, key or "-")  # what is wrong with it comes before what is missing
    if url and key:
        return Connection(url, key)
    found, faults = _read(files)
    if not found:
        raise next(iter(faults.values()), _nothing(files[0], url=url, key=key))
    here = _at(url, found, faults) if url else _chosen(found, faults, files[0])
    return Connection(here.url, key or _private_text(here.key_file).strip())


def data_dirs(files: Sequence[Path]) -> list[Path]:
    """Return the data directories of the local runs that go on."""
    found, _faults = _read(files)
    return [Path(known.data_dir) for known in found if known.is_alive]


def forget_ended(files: Sequence[Path]) -> None:
    """Remove the files of runs that were killed, which could not do it themselves."""
    for path in files:
        with contextlib.suppress(OSError, ConfigInvalid):
            known = _local(path)
            if known is not None and not known.is_alive:
                path.unlink()


def _read(files: Sequence[Path]) -> tuple[list[_Local], dict[Path, ConfigInvalid]]:
    """Return what can be read, and what is wrong with the rest: one bad file hides no server."""
    found, faults = [], {}
    for path in files:
        try:
            known = _local(path)
        except ConfigInvalid as error:
            faults[path] = error
        else:
            found += [] if known is None else [known]
    return found, faults


def _at(url: str, found: Sequence[_Local], faults: Mapping[Path, ConfigInvalid]) -> _Local:
    """Return the local server of that address."""
    for known in found:
        if url.rstrip("/") == known.url.rstrip("/"):
            return known
    for fault in faults.values():
        raise fault  # it may be that server's
    raise ConfigInvalid(
        f"{URL} names {url}, and there is no key for it",
        hint=f"set {API_KEY}; the key of the server on this machine ({found[0].url}) "
        "is not sent anywhere else",
    )


def _chosen(found: Sequence[_Local], faults: Mapping[Path, ConfigInvalid], usual: Path) -> _Local:
    """Return the one that runs; the usual one, if several do."""
    if usual in faults:
        raise faults[usual]  # nobody shall get to another server because of it
    alive = [known for known in found if known.is_alive]
    if not alive:
        for fault in faults.values():
            raise fault  # it may be of one that runs
        last = found[0]
        raise ServerUnreachable(
            f"the orchestrator of {last.data_dir}, which was at {last.url}, does not run any more",
            hint="start it again with `orchestrator run --local`"
            + ("" if last.data_dir == "this user" else f" (its --data-dir is {last.data_dir})"),
        )
    if len(alive) == 1 or _local(usual) == alive[0]:
        return alive[0]
    listed = ", ".join(f"{known.url} ({known.data_dir})" for known in alive)
    raise ConfigInvalid(
        f"several orchestrators of yours run here: {listed}",
        hint=f"say which one with {URL}; its key is found",
    )


def _local(path: Path) -> _Local | None:
    """Return what a connection file says, or `None` when there is none."""
    if not path.exists():
        return None
    try:
        content = json.loads(_private_text(path))
        pid, started = content.get("pid"), content.get("started")
        return _Local(
            url=str(content["url"]),
            key_file=Path(content["api_key_file"]),
            data_dir=str(content.get("data_dir", "this user")),
            pid=None if pid is None else int(pid),
            started=None if started is None else int(started),
            boot=str(content.get("boot", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigInvalid(
            f"the connection file {path} cannot be understood: {error!r}",
            hint="start `orchestrator run --local` again; it writes a new one",
        ) from None


def _private_text(path: Path) -> str:
    """Return a file's text, if nobody else could have written or read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            entry = os.fstat(descriptor)
            text = file.read(_BYTES).decode() if stat.S_ISREG(entry.st_mode) else ""
    except FileNotFoundError:
        raise ConfigInvalid(
            f"{path} is gone", hint=f"start `orchestrator run --local` again, or set {API_KEY}"
        ) from None
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error.strerror}",
            hint=f"run as the user who runs `orchestrator run`, or set {URL} and {API_KEY}",
        ) from None
    except UnicodeDecodeError:
        raise ConfigInvalid(f"{path} is not text", hint=f"set {URL} and {API_KEY}") from None
    if entry.st_mode & 0o077:
        raise ConfigInvalid(
            f"{path} is open to other users", hint=f"close it with: chmod 600 {path}"
        )
    return text


def _nothing(path: Path, *, url: str, key: str) -> OrchestratorError:
    hint = (
        "start one here with `orchestrator run --local`, "
        f"or set {URL} (http://host:8700) and {API_KEY}"
    )
    here = f"none runs on this machine ({path} does not exist)"
    if url:
        return ConfigInvalid(f"{URL} is set, but {API_KEY} is not, and {here}", hint=hint)
    if key:
        return ConfigInvalid(f"{API_KEY} is set, but {URL} is not, and {here}", hint=hint)
    return ServerUnreachable(f"no server is known: {here}", hint=hint)
