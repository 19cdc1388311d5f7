"""Configuration files for tests: a private folder with directories, tokens and a `workers.yaml`."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.protocol.tokens import WorkerToken, make_token
from orchestrator.supervisor.config.loader import Loaded, load

URL: Final = "https://control.example.com"


def token(number: int = 0) -> str:
    """Return a well-formed token, another one for each number."""
    digits = str(number).rjust(26, "0")
    secret = make_token("secret", hashlib.sha256(digits.encode()).digest())
    return str(WorkerToken(f"machine_{digits}", f"worker_{digits}", secret))


class ConfigFolder:
    """A folder that only its owner enters, with `web/` in it and tokens in `tokens/`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.home.chmod(0o700)
        self.path = home / "workers.yaml"
        self.environ: dict[str, str] = {"HOME": str(home), "PATH": os.environ.get("PATH", "")}
        (home / "web").mkdir()

    def private(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        """Write a file beside the configuration."""
        path = self.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def load(self, content: str | bytes, *, mode: int = 0o600) -> Loaded:
        """Write the configuration and load it."""
        self.private(self.path.name, content, mode)
        return load(self.path, self.environ, state_dir=self.home)

    def worker(self, number: int = 0, **keys: str) -> str:
        """Return the YAML of a worker with which nothing is wrong, with some keys said anew."""
        said: Mapping[str, str] = {
            "name": f"w{number}",
            "token": token(number),
            "working_directory": "web",
            "server_url": URL,
            **keys,
        }
        lines = [f"{name}: {value}" for name, value in said.items() if value]
        return "  - " + "\n    ".join(lines) + "\n"

    def workers(self, *entries: str) -> Loaded:
        """Load a file of these workers."""
        return self.load("version: 1\nworkers:\n" + "".join(entries))


def words(loaded: Loaded) -> str:
    """Return everything that a person would read of it."""
    return "\n".join(line for problem in loaded.problems for line in problem.render())
