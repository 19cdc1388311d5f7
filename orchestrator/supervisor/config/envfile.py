"""A file of NAME=VALUE lines for jobs, read as `.env` files are, with every line that is none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final, NamedTuple

from dotenv.parser import parse_stream

from orchestrator.supervisor.config import modes
from orchestrator.supervisor.config.problem import Level

BYTES: Final = 256 * 1024
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class EnvFault(NamedTuple):
    """Why it cannot be used, or not as it is."""

    message: str
    hint: str | None = None
    level: Level = Level.ERROR


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What was found."""

    values: Mapping[str, str] = field(repr=False)
    faults: tuple[EnvFault, ...] = ()


def read(path: Path) -> EnvFile:
    """Return the variables of a file; nothing in it is replaced by anything."""
    try:
        taken = modes.take(path, BYTES)
        text = taken.raw.decode("utf-8-sig")
    except modes.Untaken as why:
        return EnvFile({}, (EnvFault(why.message, why.hint),))
    except UnicodeDecodeError:
        return EnvFile({}, (EnvFault(f"{path} is not UTF-8 text"),))
    if len(taken.raw) > BYTES:
        return EnvFile({}, (EnvFault(f"{path} is longer than {BYTES:,} bytes"),))
    faults, values = [], {}
    if taken.open_to_others:
        hint = f"if there are secrets in it, close it with: {taken.open_to_others}"
        faults.append(EnvFault(f"other users can read {path}", hint, Level.WARNING))
    for line in parse_stream(StringIO(text)):
        if line.key is None and not line.error:
            continue
        at = f"{path}:{line.original.line + _blank_lines(line.original.string)}"
        if line.error or line.key is None or not _NAME.fullmatch(line.key):
            faults.append(EnvFault(f"{at}: this is no NAME=VALUE", "comments begin with #"))
        elif line.key.startswith("ORCHESTRATOR_"):
            what = f"{at}: names that begin with ORCHESTRATOR_ are given by the worker itself"
            faults.append(EnvFault(what))
        elif "\0" in (line.value or ""):
            faults.append(EnvFault(f"{at}: the value holds the character NUL"))
        else:
            values[line.key] = line.value or ""
    return EnvFile(values, tuple(faults))


def _blank_lines(text: str) -> int:
    """Return how many empty lines the parser counts to what follows them."""
    return text[: len(text) - len(text.lstrip())].count("\n")
