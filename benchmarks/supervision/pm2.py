"""PM2, with one list of all programs, as its manual says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.house import Unusable
from benchmarks.supervision import tree
from benchmarks.supervision.manager import CHANGE_S, Foreign, Took, see_off
from benchmarks.supervision.separate import PROGRAM


class Pm2(Foreign):
    """The one of the Node world."""

    name = "PM2"
    program: Path
    """Where it was installed."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder, count)
        self._env = {**os.environ, "PM2_HOME": str(folder / "home"), "BENCH_WORD": "-"}
        self._changes = 0

    def start(self) -> float:
        """Start all that is listed; its daemon goes on when the command has ended."""
        begin = time.monotonic()
        self._call("start", str(self._listed([f"w{number}" for number in range(self.count)])))
        return self.all_ready() - begin

    def _listed(self, names: list[str]) -> Path:
        path = self.folder / "programs.json"
        path.write_text(json.dumps({"apps": [self._one(name) for name in names]}))
        return path

    def _one(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "script": str(PROGRAM),
            "interpreter": sys.executable,
            "args": [str(self.hello.path), name],
            "out_file": os.devnull,
            "error_file": os.devnull,
        }

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.program), "--silent", *arguments]

    def _call(self, *arguments: str) -> None:
        subprocess.run(
            self._command(*arguments),
            env=self._env,
            check=True,
            timeout=CHANGE_S * 3,
            stdout=subprocess.DEVNULL,
        )

    @property
    def root(self) -> int:
        """Return the daemon."""
        try:
            return int((self.folder / "home" / "pm2.pid").read_text())
        except (OSError, ValueError):
            raise Unusable("PM2 does not run") from None

    def ask_for_more(self) -> Took | None:
        """Start one program more."""
        self._changes += 1
        listed = self._listed([f"more{self._changes}"])
        return self.asked(self._command("start", str(listed)), env=self._env)

    def change_one(self) -> Took | None:
        """Let one program have another environment."""
        self._changes += 1
        env = {**self._env, "BENCH_WORD": str(self._changes)}
        return self.asked(self._command("restart", "w0", "--update-env"), env=env)

    def stop(self) -> None:
        """End the daemon and what it keeps."""
        if (self.folder / "home" / "pm2.pid").exists():
            left = tree.family(self.root)
            self._call("kill")
            see_off(left)
        self.hello.close()
