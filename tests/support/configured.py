"""An installation that runs what a `workers.yaml` says: an embedded server, and many workers."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tests.support.installation import Installation, kept
from tests.support.waiting import wait_until


class Configured(Installation):
    """One machine with its file. Use `configured()` to get one."""

    server: Mapping[str, Any] = MappingProxyType({})
    """What else the file says of the server."""

    @property
    def file(self) -> Path:
        """Return its configuration."""
        return self.home / "workers.yaml"

    @property
    def options(self) -> list[str]:
        """Return what it is told to run."""
        return [f"--config={self.file}"]

    @property
    def ready_when(self) -> str:
        """Return what it prints when everything is up."""
        return "Running "

    def save(self, *workers: dict[str, Any], **machine: Any) -> None:
        """Write the file as an editor does: beside it, then over it."""
        document = {
            "version": 1,
            "server": {"listen": f"127.0.0.1:{self.port}", **self.server},
            "machine": machine,
            "defaults": {"working_directory": str(self.project)},
            "workers": list(workers),
        }
        new = self.home / "workers.yaml.new"
        new.write_text(yaml.safe_dump(document, sort_keys=False))
        new.chmod(0o600)
        new.replace(self.file)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name in the log of all that runs."""
        lines = self.log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if event["event"] == name]

    def wait_for_event(self, name: str, *, count: int = 1, **keys: Any) -> dict[str, Any]:
        """Return the last event of that name with those keys, waiting for so many of them."""

        def matching() -> list[dict[str, Any]]:
            found = [event for event in self.events(name) if event.items() >= keys.items()]
            return found if len(found) >= count else []

        return wait_until(matching, timeout_s=40, what=f"{name} {keys} in {self.log}")[-1]


@contextlib.contextmanager
def configured(home: Path, *workers: dict[str, Any], **machine: Any) -> Iterator[Configured]:
    """Give a running machine with these workers, and leave no process of it behind."""
    installation = Configured(home)
    installation.project.mkdir(parents=True)
    installation.save(*workers, **machine)
    with kept(installation):
        yield installation
