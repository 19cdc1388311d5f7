"""Where a worker's token is said, and how another one takes its place.

Only what stands in the file, or in a file that it names, can be replaced here. What comes from a
variable, a command or a service manager has a home of its own, and is renewed there.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.kernel.errors import NotFound, Refused, StateUnavailable
from orchestrator.kernel.files import write_private
from orchestrator.kernel.listening import url_at
from orchestrator.supervisor.config import edits
from orchestrator.supervisor.config.loader import load
from orchestrator.supervisor.config.places import Folders
from orchestrator.supervisor.logic.wanted import MachineWanted, WorkerWanted

_OF_FILE: Final = re.compile(r"\$\{file:([^{}]+)\}")


class Credential(NamedTuple):
    """A worker's token, its server, and where another token is to be written."""

    worker: str
    token: str
    server_url: str
    config: Path
    kept: Path | None
    """`None`: it stands in the configuration itself."""

    @property
    def home(self) -> Path:
        """Return the file that it stands in."""
        return self.config if self.kept is None else self.kept

    def replace(self, token: str, environ: Mapping[str, str]) -> None:
        """Let another token stand where this one does."""
        if self.kept is None:
            edits.put(self.config, environ, f"{self.worker}.token", token).write()
        else:
            write_private(self.kept, f"{token}\n")


def credential(path: Path, environ: Mapping[str, str], name: str) -> Credential:
    """Return the token of a worker, if another one can be written in its place."""
    wanted = load(path, environ).wanted
    worker = next((one for one in wanted.workers if one.name == name), None) if wanted else None
    if wanted is None or worker is None:
        raise NotFound(
            f"{path} has no worker {name!r} that could be run",
            hint="orchestrator check tells what is wrong with it",
        )
    if worker.token is None:
        raise Refused(
            f"{name} has no token in {path}: the orchestrator enrols it, and keeps its token",
            hint="nothing is to be done: it gets another one when its server does not know the old",
        )
    said = str(edits.said(path, environ, f"{name}.token"))
    found = _OF_FILE.fullmatch(said)
    if found is None and "${" in said:
        raise Refused(
            f"the token of {name} comes from {said}, where nothing can be written from here",
            hint="keep it in a file instead: '${file:tokens/" + name + "}'",
        )
    kept = None
    if found is None:
        # A file that cannot be edited is better met now than with another token in the hand.
        edits.put(path, environ, f"{name}.token", worker.token)
    else:
        kept = Path(os.path.realpath(Folders(path.parent, environ).path(found[1])))
    told = Credential(name, worker.token, _url(wanted, worker), path, kept)
    if not os.access(told.home.resolve().parent, os.W_OK):
        raise StateUnavailable(
            f"a new token could not be written into {told.home}",
            hint="ask as the user whose file that is",
        )
    return told


def _url(wanted: MachineWanted, worker: WorkerWanted) -> str:
    if worker.identity.server_url or wanted.server is None:
        return worker.identity.server_url
    return url_at(wanted.server.host, wanted.server.port)
