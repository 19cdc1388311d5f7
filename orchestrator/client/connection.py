"""Which server a command line talks to: what the environment says, else what runs on this machine.

It calls nobody. `orchestrator run` leaves a connection file for the same user; the environment
comes first, because somebody said it on purpose. A key of this machine is never sent to another
address.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

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


def find(environ: Mapping[str, str], connection_file: Path) -> Connection:
    """Return the server to call, or say how to get one."""
    url, key = environ.get(URL, "").strip(), environ.get(API_KEY, "").strip()
    if url and key:
        return Connection(url, key)
    here = _local(connection_file)
    if here is None:
        raise _nothing(connection_file, url=url, key=key)
    address, key_file = here
    if url and url.rstrip("/") != address.rstrip("/"):
        raise ConfigInvalid(
            f"{URL} names {_without_userinfo(url)}, and there is no key for it",
            hint=f"set {API_KEY}; the key of the server on this machine ({address}) "
            "is not sent anywhere else",
        )
    return Connection(address, key or _private_text(key_file).strip())


def _local(path: Path) -> tuple[str, Path] | None:
    """Return address and key file from the connection file, or `None` when there is none."""
    if not path.exists():
        return None
    try:
        content = json.loads(_private_text(path))
        return str(content["url"]), Path(content["api_key_file"])
    except (ValueError, TypeError, KeyError) as error:
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


def _without_userinfo(url: str) -> str:
    head, _, rest = url.rpartition("@")
    return f"…@{rest}" if head else url


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
