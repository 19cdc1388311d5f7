"""What a control server is told when it starts, checked before anything is opened.

It opens nothing and reads no environment of its own: the mapping is handed in. Every complaint says
which setting, what was expected, and what to write instead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from orchestrator.core.retention import USUAL, Retention
from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.protocol.limits import UPLOAD_BYTES

DEFAULT_LISTEN: Final = "127.0.0.1:8700"
MAX_UPLOAD: Final = "ORCHESTRATOR_MAX_UPLOAD_BYTES"
ALLOWED_HOSTS: Final = "ORCHESTRATOR_ALLOWED_HOSTS"
DATABASE: Final = "ORCHESTRATOR_DATABASE"
DISK_RESERVE: Final = "ORCHESTRATOR_DISK_RESERVE_BYTES"
KEEP_SUCCEEDED: Final = "ORCHESTRATOR_KEEP_SUCCEEDED_DAYS"
KEEP_FAILED: Final = "ORCHESTRATOR_KEEP_FAILED_DAYS"
_DAYS_CEILING: Final = 36_500
"""A century: whoever wants to keep all of it."""
_UPLOAD_CEILING: Final = 1024**4
_RESERVE_BYTES: Final = 32 * 1024 * 1024
"""Four thousand ends of jobs that print the 8 KiB which a report carries."""
_RESERVE_FLOOR: Final = 1024 * 1024
_RESERVE_CEILING: Final = 1024**3
_LISTEN: Final = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.%]+)\]|(?P<name>[^:\s\[\]]+)):(?P<port>[0-9]{1,5})"
)
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server: where it listens, where it keeps its data, what it accepts."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8700
    insecure_http: bool = False
    """Serve plain HTTP where other machines can reach it: keys then cross the network readable."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, beside the loopback ones, under which it is called."""
    max_upload_bytes: int = UPLOAD_BYTES
    database: str | None = field(default=None, repr=False)
    """The address of a PostgreSQL database, maybe with its password; `None` for a file."""
    reserve_bytes: int = _RESERVE_BYTES
    """Room on the disk that is kept back for what becomes of jobs."""
    retention: Retention = USUAL
    """For how long finished jobs are kept."""


def load(
    data_dir: Path,
    listen: str = DEFAULT_LISTEN,
    *,
    insecure_http: bool = False,
    database: str | None = None,
    environ: Mapping[str, str],
) -> ServerSettings:
    """Return the settings that the command line and the environment give.

    `database` is the command line's, and counts before the environment's.
    """
    host, port = _listen(listen)
    return ServerSettings(
        data_dir,
        host,
        port,
        insecure_http,
        _hosts(environ.get(ALLOWED_HOSTS, "")),
        _bytes(environ, MAX_UPLOAD, UPLOAD_BYTES, range(1, _UPLOAD_CEILING + 1)),
        _typed(database) or _database(environ.get(DATABASE), DATABASE),
        _bytes(environ, DISK_RESERVE, _RESERVE_BYTES, range(_RESERVE_FLOOR, _RESERVE_CEILING + 1)),
        Retention(
            _days(environ, KEEP_SUCCEEDED, USUAL.succeeded_days),
            _days(environ, KEEP_FAILED, USUAL.failed_days),
        ),
    )


def _listen(text: str) -> tuple[str, int]:
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ConfigInvalid(
            f"{text!r} is not an address to listen on",
            hint=f"write host:port, for example {DEFAULT_LISTEN} or [::1]:8700",
        )
    return match["six"] or match["name"], int(match["port"])


def _hosts(text: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for name in names:
        if not _HOST.fullmatch(name):
            raise ConfigInvalid(
                f"{ALLOWED_HOSTS}: {name!r} is not the name of a host",
                hint="list names without scheme and port, separated by commas",
            )
    return names


def _bytes(environ: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = environ.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text[:20]) not in allowed:
        raise ConfigInvalid(
            f"{name}: {text[:100]!r} is not a number of bytes that can be meant",
            hint=f"write a whole number from {allowed[0]} to {allowed[-1]}, for example {default}",
        )
    return int(text)


def _days(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) <= _DAYS_CEILING:
        raise ConfigInvalid(
            f"{name}: {text[:100]!r} is not a number of days that can be meant",
            hint=f"write a whole number from 1 to {_DAYS_CEILING}, for example {default:g}",
        )
    return float(text)


def _typed(url: str | None) -> str | None:
    """Return an address from the command line, which everybody on the machine can read."""
    if url is not None and _has_password(url):
        raise ConfigInvalid(
            "--database: every user of this machine can read a password on a command line",
            hint=f"set {DATABASE} instead, or put the password into ~/.pgpass",
        )
    return _database(url, "--database")


def _database(url: str | None, name: str) -> str | None:
    """Return an address that can be meant. It is never quoted, because it may hold a password."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    is_ours = parts.scheme in {"postgresql", "postgres"} and parts.path.strip("/")
    # Behind the host: then the host is a piece of a password that holds a slash.
    if not is_ours or "@" in parts.path:
        raise ConfigInvalid(
            f"{name}: this is not the address of a PostgreSQL database",
            hint="write postgresql://user@host:5432/name, with every character of the password "
            "that is neither a letter nor a digit as %XX",
        )
    return url


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.password is not None or "password" in dict(parse_qsl(parts.query))


def shown_database(url: str | None) -> str:
    """Return which database that is, in words that may be logged."""
    if url is None:
        return "sqlite"
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    host = parts.netloc.rpartition("@")[2] or "localhost"
    return f"postgresql://{user}{host}{parts.path}"
