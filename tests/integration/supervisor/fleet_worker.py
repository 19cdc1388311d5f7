"""A worker of a fleet, as small as it can be: forked, on a lifeline, without jobs.

It writes down what it hears. Files in its folder make it behave: `exit-code` ends it with that code
each time, `once` with that code once, `mute` lets it fall silent and deaf, `busy` keeps it from
finishing while it drains, `job` holds the id of a job that it says to run, `jobs` of how many.
"""

import json
import os
import select
import socket
import threading
from pathlib import Path
from typing import Any

from tests.integration.supervisor.small_server import note

BEAT_S = 0.2


def run_forked(args: dict[str, Any], fds: list[int]) -> int:
    """Work until told to stop."""
    worker = _Worker(args, socket.socket(fileno=fds[0]))
    code = worker.misfortune()
    return worker.work() if code is None else code


class _Worker:
    def __init__(self, args: dict[str, Any], line: socket.socket) -> None:
        self._args = args
        self._line = line
        self._folder = Path(args["state_dir"])
        self._allowed: int | None = None

    def _note(self, what: str) -> None:
        note(self._folder.parents[1], f"{self._args['name']} {what}")

    def misfortune(self) -> int | None:
        """Return with which code it ends instead of working."""
        for file in (self._folder / "exit-code", self._folder / "once"):
            if file.exists():
                code = int(file.read_text())
                self._note(f"ends with {code}")
                if file.name == "once":
                    file.unlink()
                return code
        return None if Path(self._args["working_directory"]).is_dir() else 78

    def work(self) -> int:
        """Obey until the end."""
        self._note(f"ready {os.getpid()} {json.dumps(self._args)}")
        self._send({"state": "ready"})
        while True:
            self._stand()
            if (self._folder / "mute").exists():
                self._note("falls silent")
                threading.Event().wait()
            if select.select([self._line], [], [], BEAT_S)[0]:
                data = self._line.recv(200_000)
                code = self._obey(json.loads(data)) if data else self._leave()
                if code is not None:
                    return code

    def _leave(self) -> int:
        self._note("heard the end")
        return 75

    def _obey(self, order: dict[str, Any]) -> int | None:
        self._note(f"heard {json.dumps(order)}")
        match order["do"]:
            case "update":
                self._args |= order["settings"]
            case "allow":
                self._allowed = order["slots"]
            case "stop":
                return 0
            case "drain" if not (self._folder / "busy").exists():
                return 0
        return None

    def _stand(self) -> None:
        paused, slots = self._args.get("paused"), self._args["slots"]
        standing = {
            "state": "paused" if paused else "ready",
            "reason": paused and paused["reason"],
            "slots": slots,
            "allowed": slots if self._allowed is None else self._allowed,
            "running": self._running(),
            "running_count": self._running_count(),
        }
        self._send({"standing": standing})

    def _running(self) -> list[dict[str, Any]]:
        """Return the job that it says to run, if it is to say so."""
        job = self._folder / "job"
        return [{"job": job.read_text(), "attempt": 1}] if job.exists() else []

    def _send(self, message: dict[str, Any]) -> None:
        self._line.send(json.dumps(message).encode())

    def _running_count(self) -> int:
        """Return how many jobs it says to run, of which it names one."""
        jobs = self._folder / "jobs"
        return int(jobs.read_text()) if jobs.exists() else len(self._running())
