"""Every file of `config_examples/` is what it seems: a configuration that runs."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.configs import ConfigFolder, token, words
from tests.support.source import ROOT

EXAMPLES = sorted((ROOT / "config_examples").iterdir())
DIRECTORY = re.compile(r"working_directory\"?: *\"?(~/[^\s\",]+)")
REFERENCE = re.compile(r"(?<!\$)\$\{(\w+):([^}]*)\}")


def _furnish(config: ConfigFolder, text: str) -> None:
    """Put there what an example names: directories, token files, variables, a password manager."""
    programs = config.home / "programs"
    programs.mkdir()
    config.environ["PATH"] = f"{programs}:{config.environ['PATH']}"
    config.environ["CREDENTIALS_DIRECTORY"] = str(config.home / "credentials")
    for folder in DIRECTORY.findall(text):
        _in_home(config, folder).mkdir(parents=True, exist_ok=True)
    for path in re.findall(r"env_file: (~/\S+)", text):
        _private(_in_home(config, path), "MODE=fast\n")
    for number, (kind, what) in enumerate(REFERENCE.findall(text)):
        match kind:
            case "file":
                _private(_in_home(config, what), token(number) + "\n")
            case "env":
                config.environ[what] = token(number)
            case "cred":
                _private(config.home / "credentials" / what, token(number))
            case _:
                program = programs / what.split()[0]
                program.write_text(f"#!/bin/sh\necho {token(number)}\n")
                program.chmod(0o700)


def _in_home(config: ConfigFolder, path: str) -> Path:
    return config.home / path.removeprefix("~/")


def _private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_loaded(example: Path, config: ConfigFolder) -> None:
    """Where its directories and tokens are, nothing is wrong with an example, not even a little."""
    text = example.read_text()
    _furnish(config, text)
    config.path = config.home / example.name
    shutil.copy(example, config.path)

    loaded = config.load(text)

    assert words(loaded) == ""
    assert loaded.wanted is not None
    assert loaded.wanted.workers


def test_there_are_examples_of_every_kind() -> None:
    """There is one in JSON and several in YAML, and no key is in them that means nothing."""
    names = {path.name for path in EXAMPLES}

    assert {path.suffix for path in EXAMPLES} == {".json", ".yaml"}
    assert len(names) >= 5
    assert json.loads((ROOT / "config_examples/workers.json").read_text())["version"] == 1
    assert all("yaml-language-server" in p.read_text() for p in EXAMPLES if p.suffix == ".yaml")
