"""An orchestrator that is a service of a booted machine, with a home and a port of its own."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orchestrator.supervisor.service import unit
from orchestrator.supervisor.service.wanted import Reach, Role, ServiceWanted
from tests.support.booted import ACCOUNT, UID, Booted
from tests.support.installation import free_port
from tests.support.source import ROOT
from tests.support.waiting import wait_until

PROGRAM: Final = str(ROOT / ".venv/bin/orchestrator")
VERSION: Final = 252
PATIENCE_S: Final = 60.0
CONFIG: Final = """\
version: 1
server: {{embedded: true, listen: "127.0.0.1:{port}"}}
machine: {{drain_timeout: {drain:g}s, watch_config: false}}
workers:
"""


@dataclass
class Service:
    """One service."""

    machine: Booted
    name: str
    account: str = ACCOUNT
    drain_timeout_s: float = 30.0
    port: int = field(default_factory=free_port)
    places: tuple[str, ...] = ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
    """The folders that it does not share with others of the machine."""
    more: Mapping[str, str] = field(default_factory=dict)
    """What else its command line finds around it."""

    @property
    def home(self) -> str:
        """Return where everything of it is, as the machine sees it."""
        return f"/var/lib/{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """Return what its programs and its command line go by."""
        own = {name: f"{self.home}/{name[4:8].lower()}" for name in self.places}
        home = self.home if own else f"/var/lib/{ACCOUNT}"
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, **own, **self.more}

    @property
    def wanted(self) -> ServiceWanted:
        """Return the service as it is installed."""
        return ServiceWanted(
            name=self.name,
            reach=Reach.SYSTEM,
            role=Role.ORCHESTRATOR,
            account=self.account,
            command=(PROGRAM, "run", f"--config={self.config}"),
            environment=self.environment,
            drain_timeout_s=self.drain_timeout_s,
        )

    @property
    def config(self) -> str:
        """Return where its configuration is."""
        return f"{self.home}/workers.yaml"

    def configure(self, *workers: str) -> None:
        """Write the configuration, which is read when somebody says so."""
        path = self.machine.place(self.config)
        folder = f"{self.home}/project"
        entries = [
            f"  - {{name: {name}, working_directory: {folder}, concurrency: 2}}\n"
            for name in workers
        ]
        path.write_text(
            CONFIG.format(port=self.port, drain=self.drain_timeout_s) + "".join(entries)
        )
        path.chmod(0o600)
        os.chown(path, self._uid, self._uid)

    @property
    def _uid(self) -> int:
        return UID if self.account == ACCOUNT else 0

    def prepare(self) -> None:
        """Make its folders and its configuration."""
        for folder in (self.home, f"{self.home}/project"):
            self.machine.place(folder).mkdir(mode=0o700)
            os.chown(self.machine.place(folder), self._uid, self._uid)
        self.configure("web")

    def install(self, **drop_in: str) -> None:
        """Write the unit, with lines of `[Service]` in a drop-in."""
        self.prepare()
        units = self.machine.place("/etc/systemd/system")
        (units / f"{self.name}.service").write_text(unit.render(self.wanted, VERSION))
        if drop_in:
            lines = [f"{key}={value}" for key, value in drop_in.items()]
            (units / f"{self.name}.service.d").mkdir()
            text = "\n".join(["[Service]", *lines, ""])
            (units / f"{self.name}.service.d/test.conf").write_text(text)
        self.control("daemon-reload")

    def control(self, *words: str, timeout_s: float = 60) -> str:
        """Run systemctl."""
        return self.machine.must("systemctl", *words, timeout_s=timeout_s)

    def show(self, name: str) -> str:
        """Return a property of the unit."""
        return self.machine.show(f"{self.name}.service", name)

    @property
    def pid(self) -> str:
        """Return the pid of the supervisor, as the machine counts."""
        return self.show("MainPID")

    def cli(self, *words: str) -> str:
        """Run a command line of the person whose service it is."""
        change = ("setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups")
        return self.machine.must(*change, PROGRAM, *words, env=self.environment)

    def submit(self, script: str) -> "Job":
        """Submit a job that writes its pid first, and return it when it has."""
        name = f"job-{os.urandom(4).hex()}"
        job = Job(self, self.cli("jobs", "submit", "--", "sh", "-c", f"echo $$ >{name}; {script}"))
        path = self.file(name)
        wait_until(
            lambda: path.exists() and path.read_text().strip(),
            timeout_s=PATIENCE_S,
            what=f"the job began{self.machine.said()}",
        )
        job.pid = path.read_text().strip()
        return job

    def file(self, name: str) -> Path:
        """Return a file in the folder of the jobs, as it is seen from here."""
        return self.machine.place(f"{self.home}/project/{name}")

    def wait_active(self) -> None:
        """Wait until the unit is active."""
        wait_until(
            lambda: self.show("ActiveState") == "active",
            timeout_s=PATIENCE_S,
            what=f"active{self.machine.said()}",
        )


@dataclass
class Job:
    """One job of it."""

    service: Service
    id: str
    pid: str = ""

    @property
    def shown(self) -> Any:
        """Return it as the server has it."""
        return json.loads(self.service.cli("jobs", "show", "--json", self.id))

    @property
    def is_alive(self) -> bool:
        """Tell whether its process is there."""
        return self.service.machine.run("kill", "-0", self.pid).returncode == 0

    def wait(self, state: str) -> Any:
        """Return it as soon as it is in a state."""
        wait_until(lambda: self.shown["state"] == state, timeout_s=PATIENCE_S, what=state)
        return self.shown
