"""`orchestrator run` with an embedded server, as a person starts it: from a `workers.yaml`.

What it says in its log is when something happened: a worker is ready when it has a session with the
server, which has synced that to the disk.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.house import Unusable, environment, free_port, stop
from benchmarks.load import Client
from benchmarks.supervision import tree
from benchmarks.supervision.manager import CHANGE_S, READY_S, Manager, Took, ms, see_off

Event = dict[str, Any]
WORKER: Final = "orch-worker"
_LOOK_S: Final = 0.001


class Orchestrator(Manager):
    """Ours."""

    name = "orchestrator"
    healthy_s = 62.0

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder, count)
        self._home = folder / "home"
        self._project = folder / "project"
        self._project.mkdir()
        self._config = self._home / "config" / "orchestrator" / "workers.yaml"
        self._config.parent.mkdir(parents=True)
        self._port = free_port()
        self._names = [f"w{number}" for number in range(count)]
        self._slots: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Log | None = None

    def start(self) -> float:
        """Start it; at its first start it enrols every worker, later it knows them."""
        self._write()
        begin = time.monotonic()
        path = self.folder / "log"
        with path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "run"],
                cwd=self._project,
                env=environment(self._home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._log = Log(path, self._process)
        ready = [self._log.next(_is_ready, begin + READY_S)[0] for _ in self._names]
        self._check()
        return ready[-1] - begin

    def _check(self) -> None:
        """Ask the server whether it, too, has all of them."""
        connection = self._home / "state" / "orchestrator" / "connection.json"
        known = json.loads(connection.read_text())
        client = Client(self._port, Path(known["api_key_file"]).read_text().strip())
        listed = asyncio.run(client.json("/api/v1/workers"))
        online = sum(worker["online"] for worker in listed["items"])
        if online != len(self._names):
            raise Unusable(f"the server has {online} workers of {len(self._names)}")

    @property
    def root(self) -> int:
        """Return the supervisor."""
        if self._process is None:
            raise Unusable("it does not run")
        return self._process.pid

    @property
    def log(self) -> "Log":
        """Return what it says."""
        if self._log is None:
            raise Unusable("it does not run")
        return self._log

    def programs(self) -> list[int]:
        """Return the workers."""
        return sorted(pid for pid in tree.family(self.root) if _name(pid) == WORKER)

    def forget(self) -> None:
        """Forget what it said until now."""
        self.log.forget()

    def ready_again(self) -> float:
        """Return when the next worker had its session."""
        return self.log.next(_is_ready, time.monotonic() + CHANGE_S)[0]

    def ask_for_more(self) -> Took | None:
        """Save the file with a worker more in it, and tell it to look."""
        self._names.append(f"more{len(self._names)}")
        parent = tree.parent_of(self.programs()[0])
        before = tree.children(parent)
        begin = self._save()
        accepted, _ = self.log.next(_is_applied, begin + CHANGE_S)
        started = tree.new_child(parent, before, CHANGE_S)
        ready = self.ready_again()
        return Took(
            started=None if started is None else ms(begin, started),
            ready=ms(begin, ready),
            accepted=ms(begin, accepted),
        )

    def change_one(self) -> Took | None:
        """Save the file with another concurrency of one worker, and tell it to look."""
        self._slots["w0"] = self._slots.get("w0", 1) + 1
        begin = self._save()
        accepted, _ = self.log.next(_is_applied, begin + CHANGE_S)
        done, _ = self.log.next(_is_updated, begin + CHANGE_S)
        return Took(ready=ms(begin, done), accepted=ms(begin, accepted))

    def _save(self) -> float:
        self.forget()
        begin = time.monotonic()
        self._write()
        os.kill(self.root, signal.SIGHUP)
        return begin

    def _write(self) -> None:
        workers = "".join(
            f"  - name: {name}\n    working_directory: {self._project}\n"
            f"    concurrency: {self._slots.get(name, 1)}\n"
            for name in self._names
        )
        server = f"  embedded: true\n  listen: 127.0.0.1:{self._port}\n"
        new = self._config.with_suffix(".new")
        new.write_text(f"version: 1\nserver:\n{server}workers:\n{workers}")
        new.chmod(0o600)
        new.replace(self._config)

    def stop(self) -> None:
        """Let it drain, which it has nothing to do for."""
        if self._process is not None:
            left = tree.family(self.root) - {self.root}
            stop(self._process)
            see_off(left)
        if self._log is not None:
            self._log.close()


class Log:
    """A log that is being written, from its beginning on."""

    def __init__(self, path: Path, writer: "subprocess.Popen[bytes]") -> None:
        self._file = path.open(encoding="utf-8")
        self._writer = writer
        self._part = ""

    def next(self, wanted: Callable[[Event], bool], deadline: float) -> tuple[float, Event]:
        """Return when the next such event was read, and the event."""
        while (now := time.monotonic()) < deadline:
            self._part += self._file.readline()
            if not self._part.endswith("\n"):
                if self._writer.poll() is not None:
                    raise Unusable("it has ended")
                time.sleep(_LOOK_S)
                continue
            line, self._part = self._part, ""
            if line.startswith("{") and wanted(event := json.loads(line)):
                return now, event
        raise Unusable("what was expected did not happen in time")

    def forget(self) -> None:
        """Pass over what is there."""
        while self._file.readline():
            pass
        self._part = ""

    def close(self) -> None:
        """Read no more."""
        self._file.close()


def _is_ready(event: Event) -> bool:
    return bool(event["event"] == "child.ready") and str(event["child"]).startswith("worker:")


def _is_applied(event: Event) -> bool:
    return bool(event["event"] == "config.applied" and event["plan"] != "nothing changes")


def _is_updated(event: Event) -> bool:
    return bool(event["event"] == "settings.updated")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
