"""Which packages this program needs, and which are installed beside it."""

import re
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from orchestrator.supervisor.logic.doctor.facts import Package

OURS: Final = "orchestrator"
_NEEDED: Final = re.compile(r"([\w.-]+)\s*>=\s*([\w.]+)$")
"""An extra has a condition behind it, and is for those who want it."""


def needed() -> tuple[Package, ...]:
    """Return them all; nothing, if we are not installed as a package."""
    return tuple(_needed())


def _needed() -> Iterator[Package]:
    try:
        requirements = metadata.requires(OURS) or ()
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        if found := _NEEDED.match(requirement):
            yield Package(name=found[1], least=found[2], version=_version(found[1]))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
