"""What `worker dev` and `worker once` are told: the environment, and a `.env` beside the project.

It asks nobody and starts nothing. The environment comes first, because somebody said it on purpose
just now. The names of older systems are understood, so that their files work unchanged.
"""

import difflib
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from orchestrator.kernel import paths
from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.kernel.files import private_dir, write_private
from orchestrator.protocol.tokens import WorkerToken
from worker.settings import read_token

FILE: Final = ".env"
IGNORE_FILE: Final = ".gitignore"
URL: Final = ("SERVER_URL", "CONVEX_URL")
TOKEN: Final = ("WORKER_TOKEN", "API_KEY")
TOKEN_FILE: Final = ("WORKER_TOKEN_FILE",)
NAME: Final = ("WORKER_NAME", "AGENT_ID")
TAGS: Final = ("WORKER_TAGS",)
KINDS: Final = ("WORKER_KINDS",)
SLOTS: Final = ("WORKER_CONCURRENCY",)
STATE: Final = ("WORKER_STATE_DIR",)
DIRECTORY: Final = ("WORKING_DIRECTORY",)
KNOWN: Final = frozenset(
    name
    for names in (URL, TOKEN, TOKEN_FILE, NAME, TAGS, KINDS, SLOTS, STATE, DIRECTORY)
    for name in names
)
OURS: Final = "WORKER_"
"""What begins like this is meant for us: what of it nobody knows is a mistake. All else in the file
is the project's."""
FORM: Final = (
    "a token looks like machine_…:worker_…:secret_…; enrol the worker again "
    "(ORCHESTRATOR.md, Another machine)"
)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known, by name; values may be secrets and are never shown."""

    folder: Path
    values: Mapping[str, str] = field(repr=False)

    def get(self, names: tuple[str, ...]) -> str:
        """Return the first value that is not empty; the newest name comes first."""
        return next((text for name in names if (text := self.values.get(name, "").strip())), "")

    def name_of(self, names: tuple[str, ...]) -> str:
        """Return under which name it was said."""
        return next((name for name in names if self.values.get(name, "").strip()), names[0])

    def name(self) -> str:
        """Return what the worker is called."""
        return self.get(NAME) or self.folder.name[:64] or "worker"

    def missing(self) -> list[str]:
        """Return what has to be known and is not, by its newest name."""
        needed = {URL: self.get(URL), TOKEN: self.get(TOKEN) or self.get(TOKEN_FILE)}
        return [names[0] for names, said in needed.items() if not said]

    def token(self) -> WorkerToken:
        """Return who the worker is."""
        if text := self.get(TOKEN):
            token = WorkerToken.parse(text)
            if token is None:
                raise ConfigInvalid(f"{self.name_of(TOKEN)} is no worker token", hint=FORM)
            return token
        return read_token(self._path(TOKEN_FILE))

    def settings(self) -> dict[str, object]:
        """Return the settings of a worker; its token is put where only its owner reads it."""
        token, state = self.token(), self.state_dir()
        write_private(state / "token", f"{token}\n")
        kinds = self._list(KINDS)
        return {
            "name": self.name(),
            "server_url": self.get(URL),
            "token_file": str(state / "token"),
            "working_directory": str(self._path(DIRECTORY)),
            "state_dir": str(state / "state"),
            "slots": self._slots(),
            "tags": self._list(TAGS),
            **({"kinds": kinds} if kinds else {}),
        }

    def _list(self, names: tuple[str, ...]) -> list[str]:
        return [word.strip() for word in self.get(names).split(",") if word.strip()]

    def _path(self, names: tuple[str, ...]) -> Path:
        """Return a path that is said as seen from the folder; the folder itself, if none is."""
        return self.folder / Path(self.get(names)).expanduser()

    def _slots(self) -> int:
        text = self.get(SLOTS) or "1"
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise ConfigInvalid(f"{SLOTS[0]} is {text!r}", hint="write a whole number from 1 on")
        return int(text)

    def state_dir(self) -> Path:
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
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from None
    _check(path, text)
    found = {name: value or "" for name, value in dotenv_values(stream=StringIO(text)).items()}
    said = {name: text for name, text in environ.items() if name in KNOWN and text.strip()}
    return Told(folder, {**found, **said})


def _check(path: Path, text: str) -> None:
    """Refuse what is meant for us and cannot be understood."""
    for line in parse_stream(StringIO(text)):
        said = line.original.string
        number = line.original.line + len(said) - len(said.lstrip("\n"))
        if line.error and OURS in said:
            raise ConfigInvalid(f"{path}:{number}: this is no NAME=VALUE", hint="write one a line")
        if line.key is not None and line.key.startswith(OURS) and line.key not in KNOWN:
            close = difflib.get_close_matches(line.key, sorted(KNOWN), n=1, cutoff=0.8)
            ours = sorted(name for name in KNOWN if name.startswith(OURS))
            raise ConfigInvalid(
                f"{path}:{number}: there is no setting {line.key}",
                hint=f"did you mean {close[0]}?" if close else f"there are {', '.join(ours)}",
            )


def open_to_others(folder: Path) -> bool:
    """Tell whether other users can read the file."""
    path = folder / FILE
    return path.exists() and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def save(folder: Path, answers: Mapping[str, str]) -> None:
    """Add what was answered at the end of the file, which is its owner's alone before that."""
    _append(folder / FILE, [f"{name}={text}" for name, text in answers.items()], mode=0o600)


def is_shared(folder: Path) -> bool:
    """Tell whether git would take the file along: it is a project's, and nothing excludes it."""
    if not (folder / ".git").exists():
        return False
    ignored = folder / IGNORE_FILE
    lines = ignored.read_text(errors="replace").split() if ignored.exists() else []
    return not {FILE, f"/{FILE}", f"{FILE}*", "*.env"} & set(lines)


def exclude(folder: Path) -> None:
    """Have git pass the file over."""
    _append(folder / IGNORE_FILE, [FILE], mode=None)


def _append(path: Path, lines: list[str], *, mode: int | None) -> None:
    """Add lines at the end; whatever is there already is not written again."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode or 0o644)
    with os.fdopen(descriptor, "rb+") as file:
        if mode is not None:
            os.fchmod(descriptor, mode)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write(("\n" * torn + "".join(f"{line}\n" for line in lines)).encode())
