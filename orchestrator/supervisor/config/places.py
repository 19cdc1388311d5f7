"""Paths of a configuration, as absolute ones: relative to its file, with `~` and `${HOME}`."""

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_USER: Final = re.compile(r"~([^/]*)")


class PathFault(Exception):
    """A path that names nothing."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a file is, and where people are at home."""

    base: Path
    """The folder of the configuration."""
    environ: Mapping[str, str] = field(repr=False)

    def path(self, text: str) -> Path:
        """Return an absolute path without `.` and `..`; it need not exist."""
        told = text.replace("${HOME}", self.home()) if "${HOME}" in text else text
        if "${" in told:
            raise PathFault("only ${HOME} and ~ stand for something in a path")
        if found := _USER.match(told):
            told = (self._home_of(found[1]) if found[1] else self.home()) + told[found.end() :]
        return Path(os.path.normpath(self.base / told))

    def home(self) -> str:
        """Return where the user of this process is at home."""
        if said := self.environ.get("HOME"):
            return said
        try:
            return pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            raise PathFault(f"user {os.geteuid()} has no home: set HOME") from None

    @staticmethod
    def _home_of(user: str) -> str:
        try:
            return pwd.getpwnam(user).pw_dir
        except KeyError:
            raise PathFault(f"there is no user {user!r} on this machine") from None
