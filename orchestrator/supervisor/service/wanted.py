"""What a service is to be: plain values that a unit file or a property list is written from.

It knows no service manager and holds no secret: everything in here can be read by every user of the
machine, because the files that it becomes can.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import ConfigInvalid

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", re.ASCII)
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT_PLACES: Final = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
"""A service that looked elsewhere than its person's command line would not be found by it."""


class Reach(StrEnum):
    """Whose service it is."""

    SYSTEM = "system"
    USER = "user"


class Role(StrEnum):
    """Which of our programs it runs."""

    ORCHESTRATOR = "orchestrator"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceWanted:
    """One service."""

    name: str
    reach: Reach
    role: Role
    command: tuple[str, ...]
    """The whole command line; its program is a whole path."""
    account: str | None = None
    """Who runs it, where that is not whoever installs it."""
    environment: Mapping[str, str]
    credentials: tuple[tuple[str, Path], ...] = ()
    """Names and files of what `${cred:…}` means: the manager reads them, so they may be root's."""
    lives_in_a_home: bool = False
    """Whether the program or its Python is in somebody's home, so that it must not be hidden."""
    drain_timeout_s: float = 600.0
    """How long jobs may go on when it stops, as the configuration says."""

    @property
    def stop_timeout_s(self) -> int:
        """Return when the manager loses patience: never before we do."""
        return round(self.drain_timeout_s) + INTERRUPT_S


INTERRUPT_S: Final = 60
"""What comes after a drain: jobs are interrupted and reported (35 s), a server ends (10 s)."""


def check_name(name: str) -> str:
    """Return a name that every manager accepts, or raise what is wrong with it."""
    if not NAME.fullmatch(name):
        raise ConfigInvalid(
            f"{name!r} cannot be the name of a service",
            hint="use up to 60 letters, digits, dots, dashes and underscores",
        )
    return name


def check_text(value: str, what: str) -> str:
    """Return a value that can stand in a line of a file, or raise."""
    if not value.isprintable():
        raise ConfigInvalid(
            f"{what} has a character that no service file can hold: {value!a}",
            hint="give it another name, or move it to a path without such characters",
        )
    return value


def kept_environment(
    environ: Mapping[str, str], reach: Reach, account: str | None
) -> dict[str, str]:
    """Return what of a person's environment the service gets: where programs and files are.

    Nothing else, because these files are readable for everybody. Somebody else's folders are none
    of ours.
    """
    found = [part for part in environ.get("PATH", "").split(":") if part.startswith("/")]
    path = ":".join(dict.fromkeys(found)) or DEFAULT_PATH
    own = reach is Reach.USER or account is None
    places = {name: environ[name] for name in KEPT_PLACES if own and environ.get(name)}
    kept = {"PATH": path, **places}
    return {name: check_text(value, name) for name, value in kept.items()}


def absolute(program: Path) -> str:
    """Return a program's whole path as text; links stay, because an upgrade moves them."""
    return check_text(str(program.absolute()), "the program's path")
