"""What is installed: locked by hash, from anywhere, and each package for a reason."""

import re
import sys
import tomllib
from typing import Any

import pytest

from tests.support import documents
from tests.support.source import ROOT, product

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
BLOCK = re.compile(
    r"^([a-z0-9-]+)==(\S+)[^\n]*\n((?:    --hash=sha256:[0-9a-f]{64}[ \\]*\n?)+)", re.MULTILINE
)
MODULES = {"dotenv": "python-dotenv", "pydantic_core": "pydantic", "yaml": "pyyaml"}
"""Modules that are not called like their package."""


def _names(requirements: list[Any]) -> set[str]:
    named = [text for text in requirements if isinstance(text, str)]
    return {re.split(r"[<>=\[ ;]", text)[0].lower() for text in named}


def _declared() -> set[str]:
    project = PYPROJECT["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    return _names([*project["dependencies"], *extras])


def test_every_locked_package_has_its_hashes() -> None:
    """Nothing is installed that is not byte for byte what was locked."""
    assert BLOCK.sub("", LOCK).strip() == ""


def test_the_lock_names_no_address() -> None:
    """The lock installs from whatever index a machine is configured for."""
    assert "://" not in LOCK
    assert "--index" not in LOCK


def test_the_lock_has_everything_that_is_declared() -> None:
    """What pyproject.toml asks for, to run and to develop, is in the lock."""
    locked = {name for name, _, _ in BLOCK.findall(LOCK)}

    assert _declared() | _names(PYPROJECT["dependency-groups"]["dev"]) <= locked


def test_running_needs_less_than_developing() -> None:
    """What `make run` installs is a part of the lock: what is declared, and what builds it."""
    locked = {name for name, _, _ in BLOCK.findall(LOCK)}
    running = set((ROOT / ".ci/running").read_text().split())
    groups = PYPROJECT["dependency-groups"]

    assert _declared() | _names(groups["build"]) <= running
    assert running < locked
    assert running.isdisjoint(_names(groups["dev"]))


def test_every_package_that_is_imported_is_declared() -> None:
    """No program leans on a package that came along with another one."""
    imported = {
        name.partition(".")[0]: source.path
        for source in product()
        for name in source.imported_modules
    }
    foreign = {
        MODULES.get(name, name.replace("_", "-")): path
        for name, path in imported.items()
        if name not in sys.stdlib_module_names | {"orchestrator", "worker", "None"}
    }

    assert {name: path for name, path in foreign.items() if name not in _declared()} == {}


def test_every_package_has_its_reason() -> None:
    """The decision about dependencies names each package that is declared, and no other."""
    table = documents.rows(documents.section("docs/adr/0002-dependencies.md", "Decision"))

    explained = {name for row in table for name in row[0].split(", ")}

    assert explained == _declared()


@pytest.mark.parametrize("script", ["orchestrator", "worker"])
def test_the_programs_have_their_entry(script: str) -> None:
    """Each script that is installed leads to a function that exists."""
    module, _, function = PYPROJECT["project"]["scripts"][script].partition(":")

    source = next(s for s in product() if s.path == module.replace(".", "/") + ".py")

    assert function in source.functions
