"""What `worker dev` and `worker once` are told: the environment, and a `.env` beside the project.

It asks nobody and starts nothing. The environment comes first, because somebody said it on purpose
just now. The names of older systems are understood, so that their files work unchanged.
"""

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from orchestrator.kernel import paths
from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.kernel.files import private_dir, write_private
from orchestrator.protocol.tokens import WorkerToken

FILE: Final = ".env"
URL: Final = ("SERVER_URL", "CONVEX_URL")
TOKEN: Final = ("WORKER_TOKEN", "API_KEY")
NAME: Final = ("WORKER_NAME", "AGENT_ID")
TAGS: Final = ("WORKER_TAGS",)
SLOTS: Final = ("WORKER_CONCURRENCY",)
STATE: Final = ("WORKER_STATE_DIR",)
NEEDED: Final = (URL, TOKEN)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known, by name; values may be secrets and are never shown."""

    folder: Path
    values: Mapping[str, str] = field(repr=False)

    def get(self, names: tuple[str, ...]) -> str:
        """Return the first value that is not empty; the newest name comes first."""
        return next((text for name in names if (text := self.values.get(name, "").strip())), "")

    def missing(self) -> list[str]:
        """Return what has to be known and is not, by its newest name."""
        return [names[0] for names in NEEDED if not self.get(names)]

    def settings(self) -> dict[str, object]:
        """Return the settings of a worker; its token is put where only its owner reads it."""
        token = self.get(TOKEN)
        if WorkerToken.parse(token) is None:
            raise ConfigInvalid(
                f"{TOKEN[0]} is no worker token",
                hint="a token looks like machine_…:worker_…:secret_…; enrol the worker again "
                "(ORCHESTRATOR.md, Another machine)",
            )
        state = self._state_dir()
        write_private(state / "token", f"{token}\n")
        return {
            "name": self.get(NAME) or self.folder.name[:64] or "worker",
            "server_url": self.get(URL),
            "token_file": str(state / "token"),
            "working_directory": str(self.folder),
            "state_dir": str(state / "state"),
            "slots": self._slots(),
            "tags": [tag.strip() for tag in self.get(TAGS).split(",") if tag.strip()],
        }

    def _slots(self) -> int:
        text = self.get(SLOTS) or "1"
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise ConfigInvalid(f"{SLOTS[0]} is {text!r}", hint="write a whole number from 1 on")
        return int(text)

    def _state_dir(self) -> Path:
        """Return where this folder's worker keeps its memory: one for each folder."""
        if told := self.get(STATE):
            return private_dir(Path(told))
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        private_dir(paths.state_dir())
        private_dir(paths.state_dir() / "dev")
        return private_dir(paths.state_dir() / "dev" / digest)


def read(folder: Path, environ: Mapping[str, str]) -> Told:
    """Return what the environment and the file in `folder` say."""
    path = folder / FILE
    try:
        found = {name: text or "" for name, text in dotenv_values(path).items()}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from None
    known = {name for names in (URL, TOKEN, NAME, TAGS, SLOTS, STATE) for name in names}
    said = {name: text for name, text in environ.items() if name in known and text.strip()}
    return Told(folder, {**found, **said})


def open_to_others(folder: Path) -> bool:
    """Tell whether other users can read the file."""
    path = folder / FILE
    return path.exists() and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def save(folder: Path, answers: Mapping[str, str]) -> None:
    """Add what was answered to the file, which is its owner's alone from then on."""
    path = folder / FILE
    before = path.read_text() if path.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    write_private(path, before + "".join(f"{name}={text}\n" for name, text in answers.items()))
