"""What an installed unit says, read back into what it was written from.

Only units of ours are read; whatever they do not say as `unit.py` writes it is not found, and then
the two texts differ, which is what somebody wants to know.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.supervisor.service.wanted import INTERRUPT_S, Reach, Role, ServiceWanted

_NOTICED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_SERVER: Final = ("server", "run")


def read(text: str, name: str, reach: Reach) -> ServiceWanted | None:
    """Return what a unit was written from; nothing, if it starts no program."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            said.setdefault(key, []).append(value)
    command = tuple(_plain(word, dollars=True) for word in _words(_one(said, "ExecStart")))
    if not command:
        return None
    at = next((i for i in range(len(command)) if command[i : i + 2] == _SERVER), None)
    stop = _one(said, "TimeoutStopSec")
    return ServiceWanted(
        name=name,
        reach=reach,
        role=Role.ORCHESTRATOR if at is None else Role.SERVER,
        command=command,
        account=_one(said, "User") or None,
        environment=_environment(said),
        credentials=tuple(_credential(value) for value in said.get("LoadCredential", ())),
        lives_in_a_home=_one(said, "ProtectHome") == "read-only",
        drain_timeout_s=float(stop) - INTERRUPT_S if stop.isdigit() and at is None else 0.0,
    )


def stop_timeout_s(text: str) -> float | None:
    """Return how long a unit gives us to stop, if it says so in seconds."""
    found = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def differences(text: str, written: str) -> tuple[str, ...]:
    """Return what two units do not have in common, in words; comments do not count."""
    old, new = _settings(text), _settings(written)
    missing = [f"{line} is missing" for line in new if line not in old]
    return (*missing, *(f"{line} is not written any more" for line in old if line not in new))


def _settings(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _one(said: Mapping[str, list[str]], key: str) -> str:
    return said.get(key, [""])[-1]


def _environment(said: Mapping[str, list[str]]) -> dict[str, str]:
    found = {}
    for value in said.get("Environment", ()):
        for word in _words(value):
            name, _, rest = _plain(word, dollars=False).partition("=")
            found[name] = rest
    return found


def _credential(value: str) -> tuple[str, Path]:
    name, _, path = value.partition(":")
    return name, Path("".join(_plain(word, dollars=True) for word in _words(path)))


def _words(text: str) -> list[str]:
    return [
        re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
        for found in _NOTICED.finditer(text)
    ]


def _plain(word: str, *, dollars: bool) -> str:
    """Undo what `unit.py` does so that systemd replaces nothing."""
    plain = word.replace("$$", "$") if dollars else word
    return plain.replace("%%", "%")
