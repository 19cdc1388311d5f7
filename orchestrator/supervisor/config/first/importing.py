"""The files of older systems, as a configuration of this one: `workers.json` and `.env`.

Their values are taken as they are. Tokens are put into files of their own, so that the
configuration itself holds no secret; what is no token yet is told when the result is checked.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values

from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.protocol.tokens import WorkerToken
from orchestrator.supervisor.config import modes
from orchestrator.supervisor.config.first.writing import HEAD
from orchestrator.supervisor.config.text import document

_URLS: Final = ("server_url", "convex_url")
_ENV_TOKENS: Final = ("WORKER_TOKEN", "API_KEY")
_ENV_URLS: Final = ("SERVER_URL", "CONVEX_URL")
_ENV_NAMES: Final = ("WORKER_NAME", "AGENT_ID")
_ENV_DIRECTORY: Final = "WORKING_DIRECTORY"
_ENV_TAGS: Final = "WORKER_TAGS"
_ENV_SLOTS: Final = "WORKER_CONCURRENCY"
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One worker of an older file."""

    name: str
    token: str = field(repr=False)
    working_directory: str
    server_url: str
    more: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> list[Entry]:
    """Return the workers of an older system's file, or say why there are none."""
    try:
        raw = modes.take(path, document.BYTES).raw
        text = raw.decode("utf-8-sig")
    except modes.Untaken as why:
        raise ConfigInvalid(why.message, hint=why.hint) from None
    except UnicodeDecodeError:
        raise ConfigInvalid(f"{path} is not UTF-8 text") from None
    if len(raw) > document.BYTES:
        raise ConfigInvalid(f"{path} is longer than {document.BYTES:,} bytes")
    if path.suffix == ".json" or text.lstrip().startswith("{"):
        return _of_json(path, text)
    return [_of_env(path, text)]


def as_yaml(entries: list[Entry], tokens: Mapping[str, str]) -> str:
    """Return a configuration of these workers; `tokens` says what stands for whose token."""
    lines = [f"{HEAD}version: 1", "workers:"]
    for entry in entries:
        said = {
            "name": entry.name,
            "token": tokens[entry.name],
            "working_directory": entry.working_directory,
            "server_url": entry.server_url,
            **entry.more,
        }
        text = [f"{name}: {quoted(value)}" for name, value in said.items() if value]
        lines.append("  - " + "\n    ".join(text))
    return "\n".join(lines) + "\n"


def quoted(value: object) -> str:
    """Return a value as YAML reads it back."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z~/$][\w./~-]*|https?://[\w.:/-]+", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def name_for(text: str, taken: set[str]) -> str:
    """Return a name that is one, and that no other worker has."""
    base = _NOT_IN_A_NAME.sub("-", text.lower()).strip("-._")[:48] or "worker"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


def _of_json(path: Path, text: str) -> list[Entry]:
    read = document.read(text.encode(), must_be_json=True)
    if read.root is None or read.faults:
        fault = read.faults[0] if read.faults else document.Fault(document.Mark(1, 1), "", "empty")
        raise ConfigInvalid(
            f"{path}:{fault.at.line}:{fault.at.column}: {fault.message}", hint=fault.hint
        )
    found = json.loads(text)
    workers = found.get("workers") if isinstance(found, dict) else None
    if not isinstance(workers, list) or not workers:
        hint = 'it looks like {"workers": [{"token": …, "working_directory": …, "convex_url": …}]}'
        raise ConfigInvalid(f"{path} has no list of workers in it", hint=hint)
    taken: set[str] = set()
    return [_of_item(path, number, item, taken) for number, item in enumerate(workers, 1)]


def _of_item(path: Path, number: int, item: object, taken: set[str]) -> Entry:
    if not isinstance(item, dict):
        raise ConfigInvalid(f"{path}: worker {number} is not an object")
    known = {"token", "working_directory", "name", *_URLS}
    for key, value in item.items():
        if key not in known:
            hint = f"known are: {', '.join(sorted(known))}"
            raise ConfigInvalid(f"{path}: worker {number} has an unknown key {key!r}", hint=hint)
        if not isinstance(value, str):
            raise ConfigInvalid(f"{path}: {key} of worker {number} is no text")
    folder = item.get("working_directory", "")
    return Entry(
        name=name_for(item.get("name") or Path(folder).name or "worker", taken),
        token=item.get("token", "").strip(),
        working_directory=_moved(path, folder),
        server_url=next((item[key] for key in _URLS if item.get(key)), ""),
    )


def _of_env(path: Path, text: str) -> Entry:
    said = {name: value or "" for name, value in dotenv_values(stream=StringIO(text)).items()}

    def first(names: tuple[str, ...]) -> str:
        return next((said[name].strip() for name in names if said.get(name, "").strip()), "")

    token = first(_ENV_TOKENS)
    if not token and not first(_ENV_URLS):
        hint = "a .env has WORKER_TOKEN=… and SERVER_URL=… (or CONVEX_URL=…) in it"
        raise ConfigInvalid(f"{path} holds no worker", hint=hint)
    folder = said.get(_ENV_DIRECTORY, "").strip() or str(path.parent)
    more: dict[str, Any] = {}
    if tags := [tag.strip() for tag in said.get(_ENV_TAGS, "").split(",") if tag.strip()]:
        more["tags"] = tags
    if (slots := said.get(_ENV_SLOTS, "").strip()).isdigit():
        more["concurrency"] = int(slots)
    return Entry(
        name=name_for(first(_ENV_NAMES) or Path(folder).name, set()),
        token=token,
        working_directory=_moved(path, folder),
        server_url=first(_ENV_URLS),
        more=more,
    )


def _moved(path: Path, folder: str) -> str:
    """Return a directory so that it means the same in a file that is elsewhere."""
    if not folder or folder.startswith(("/", "~", "$")):
        return folder
    return str(path.parent.resolve() / folder)


def is_token(text: str) -> bool:
    """Tell whether it can be put into a file of its own."""
    return WorkerToken.parse(text) is not None
