"""A whole installation in a temporary home: `orchestrator run --local`, and its command line.

Only what a user has is used: the program, its files, and HTTP.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.support.waiting import wait_until

PROGRAM = [sys.executable, "-m", "orchestrator"]
_NEVER_LENT = range(10_000, 32_000)
KEPT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH")


def free_port() -> int:
    """Return a port of the loopback address that was free a moment ago.

    It is none of those from which the kernel takes one for whoever calls somebody: another test's
    calls do not take it before its server does.
    """
    while True:
        port = secrets.choice(_NEVER_LENT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def homely(home: Path) -> dict[str, str]:
    """Return an environment in which every file goes below `home`."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_RUNTIME_DIR": str(home / "runtime"),
    }


def processes_below(marker: str) -> dict[int, str]:
    """Return pid → command line of live processes whose environment mentions `marker`."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if marker.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
    return found


@dataclass
class Installation:
    """One machine with its server, supervisor and worker. Use `installed()` to get one."""

    home: Path
    arguments: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    prefix: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def project(self) -> Path:
        """Return the directory in which the worker runs what has no inputs."""
        return self.home / "project"

    @property
    def options(self) -> list[str]:
        """Return what it is told to run."""
        return ["--local", f"--listen=127.0.0.1:{self.port}"]

    @property
    def ready_when(self) -> str:
        """Return what it prints when everything is up."""
        return "jobs submit"

    @property
    def env(self) -> dict[str, str]:
        """Return the environment of everything that is started here."""
        return homely(self.home) | self.variables

    @property
    def log(self) -> Path:
        """Return the file that holds what the supervisor printed."""
        return self.home / "run.log"

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        self.launch()
        wait_until(self._ready, timeout_s=30)

    def launch(self) -> None:
        """Start it without waiting."""
        self.project.mkdir(parents=True, exist_ok=True)
        log = self.log.open("ab")
        self._before = self.log.stat().st_size
        self.process = subprocess.Popen(
            [*self.prefix, *PROGRAM, "run", *self.options, *self.arguments],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()

    def _ready(self) -> bool:
        assert self.process is not None
        text = self.log.read_bytes()[self._before :].decode(errors="replace")
        assert self.process.poll() is None, text
        return self.ready_when in text

    def stop(self) -> int:
        """Stop it as Ctrl-C does, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def kill(self) -> None:
        """Kill the supervisor as the kernel would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def cli(
        self, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command line to its end."""
        return subprocess.run(
            [*self.prefix, *PROGRAM, *arguments],
            cwd=self.project,
            env=self.env | (env or {}),
            input=stdin,
            capture_output=True,
            timeout=90,
            check=False,
        )

    def follow(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command line whose output is read while it runs."""
        return subprocess.Popen(
            [*self.prefix, *PROGRAM, *arguments],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def json(self, *arguments: str) -> Any:
        """Run a command line with `--json` before any `--`, and return what it printed."""
        words = list(arguments)
        at = words.index("--") if "--" in words else len(words)
        done = self.cli(*words[:at], "--json", *words[at:])
        assert done.stdout, done.stderr.decode()
        return json.loads(done.stdout)

    def submit(self, *arguments: str) -> str:
        """Submit a job without waiting and return its id."""
        done = self.cli("jobs", "submit", *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def job(self, job_id: str) -> Any:
        """Return a job as `jobs show --json` shows it, without a program's start for each look."""
        with self.get(f"/api/v1/jobs/{job_id}") as answer:
            return json.load(answer)

    def wait_state(self, job_id: str, *states: str, timeout_s: float = 30) -> Any:
        """Wait until a job is in one of the states, and return it."""
        wait_until(lambda: self.job(job_id)["state"] in states, timeout_s=timeout_s)
        return self.job(job_id)

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """Return the administrator's key that the first start made."""
        state = self.home / "state/orchestrator"
        usual, others = state / "connection.json", sorted(state.glob("connections/*.json"))
        found = usual if usual.exists() else others[0]  # of data that is elsewhere
        return Path(json.loads(found.read_text())["api_key_file"]).read_text().strip()

    def get(self, path: str, **headers: str) -> Any:
        """Open a path of the API as an administrator; the caller reads and closes it."""
        sent = {"Authorization": f"Bearer {self.key}", **headers}
        return urlopen(Request(self.url + path, headers=sent), timeout=30)

    def children(self, needle: str) -> list[int]:
        """Return the pids of this installation's processes whose command line has `needle`."""
        return [pid for pid, line in processes_below(str(self.home)).items() if needle in line]

    def leftovers(self) -> dict[int, str]:
        """Return what still runs of this installation."""
        return processes_below(str(self.home))


@contextlib.contextmanager
def installed(
    home: Path,
    *arguments: str,
    prefix: list[str] | None = None,
    variables: dict[str, str] | None = None,
) -> Iterator[Installation]:
    """Give a running installation, and leave no process of it behind."""
    installation = Installation(
        home, list(arguments), prefix=prefix or [], variables=variables or {}
    )
    with kept(installation):
        yield installation


@contextlib.contextmanager
def kept(installation: Installation) -> Iterator[None]:
    """Start an installation, and leave no process and no file of it behind."""
    try:
        installation.start()
        yield
    finally:
        process = installation.process
        if process is not None and process.poll() is None:
            for _ in range(2):  # drain, then interrupt what still runs
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                    break
            else:
                process.kill()
                process.wait(10)
        for pid in installation.leftovers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(installation.home, ignore_errors=True)
