"""A person who asks a doctor, and what that finds: programs, and the unit of a service."""

import json
from pathlib import Path
from typing import Any

from orchestrator.supervisor.service import unit
from orchestrator.supervisor.service.wanted import Reach, Role, ServiceWanted
from tests.integration.cli.commands import CommandLine
from tests.support.configs import ConfigFolder, token
from tests.support.fake_api import Asked, FakeApi, Reply, answer, problem

ASKED = "/api/worker/v1/files/" + "0" * 64
HEALTH = "/api/health"


class Doctor:
    """A person with a configuration, whose servers answer as they are told."""

    def __init__(self, cli: CommandLine, config: ConfigFolder, fake: FakeApi) -> None:
        self.cli = cli
        self.config = config
        self.fake = fake
        self.state = cli.folder / "state/orchestrator"
        fake.on("GET", HEALTH, answer({"ok": True}))
        fake.on("GET", ASKED, self._answer)

    def _answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Worker {token(1)}":
            return problem(401, "unauthenticated", "who are you?")
        return problem(404, "not_found", "there is no session")

    def write(self, *entries: str, more: str = "") -> None:
        """Write the configuration."""
        text = f"version: 1\n{more}workers:\n" + "".join(entries)
        self.config.private("workers.yaml", text)

    def worker(self, number: int = 1, **keys: str) -> str:
        """Return a worker of the server that is there."""
        return self.config.worker(number, **{"server_url": self.fake.url, **keys})

    def looks(self, *words: str, env: dict[str, str] | None = None) -> dict[str, Any]:
        """Return the report, whose exit code says the same."""
        done = self.cli("doctor", str(self.config.path), "--json", *words, env=env)
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if report["ok"] else 3), done
        return report

    def problems(self, *words: str, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Return what is a problem."""
        found = self.looks(*words, env=env)["checks"]
        return [each for each in found if each["grade"] == "problem"]

    def said(self, check: str, env: dict[str, str] | None = None) -> list[tuple[str, str]]:
        """Return grade and sentence of everything that is said of one thing."""
        found = self.looks(env=env)["checks"]
        return [(each["grade"], each["seen"]) for each in found if each["check"] == check]


def script(folder: Path, name: str, text: str) -> Path:
    """Write a program that does that, and return its folder."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return folder


def install(doctor: Doctor, path: str, **more: Any) -> Path:
    """Write the unit of a user's service, as `service install` did once."""
    wanted = ServiceWanted(
        name="orchestrator",
        reach=Reach.USER,
        role=Role.ORCHESTRATOR,
        command=("/bin/orchestrator", "run"),
        environment={"PATH": path},
        **more,
    )
    file = doctor.cli.folder / "config/systemd/user/orchestrator.service"
    file.parent.mkdir(parents=True)
    file.write_text(unit.render(wanted, 252))
    return file
