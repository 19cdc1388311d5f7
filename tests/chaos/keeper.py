"""What a service manager does: start a program, and start it again whenever it has ended.

It knows nothing of the program but how it is started.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.records import now

PAUSE_S: Final = 0.1
"""Before a program is started again; less only heats the machine."""
STOP_S: Final = 30.0
ROOT: Final = Path(__file__).parents[2]


@dataclass(eq=False)
class Keeper:
    """One program that is kept."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    log: Path
    ends: list[tuple[float, int]] = field(default_factory=list)
    """When it ended, and with which code: −9 for a kill."""
    pid: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start it, and keep it from now on."""
        self._launch()
        self._thread = threading.Thread(target=self._keep, name=self.name, daemon=True)
        self._thread.start()

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                cwd=ROOT,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def _keep(self) -> None:
        while not self._over.is_set():
            assert self._process is not None
            try:
                code = self._process.wait(PAUSE_S)
            except subprocess.TimeoutExpired:
                continue
            self.ends.append((now(), code))
            if not self._over.wait(PAUSE_S):
                self._launch()

    def signal(self, number: signal.Signals) -> bool:
        """Signal it; tell whether it was there."""
        process = self._process
        if process is None or process.poll() is not None:
            return False
        os.kill(process.pid, number)
        return True

    def kill(self) -> None:
        """End it at once, and keep it no longer."""
        self._let_go()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _let_go(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> int:
        """Stop it in order, then less so, and return its exit code."""
        self._let_go()
        process = self._process
        if process is None:
            return 0
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
            if process.poll() is None:
                process.send_signal(number)
            try:
                return process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                continue
        return process.wait()
