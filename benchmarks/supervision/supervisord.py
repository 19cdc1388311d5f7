"""supervisord, with one section for each program, as its manual says."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.supervision.manager import Foreign, Took
from benchmarks.supervision.separate import PROGRAM

MAIN: Final = """[supervisord]
nodaemon=true
logfile={folder}/log
pidfile={folder}/pid
childlogdir={folder}
[unix_http_server]
file={folder}/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/sock
[include]
files={folder}/programs/*.conf
"""
ONE: Final = """[program:{name}]
command={python} {program} {hello} {name}
environment=BENCH_WORD="{word}"
autorestart=true
stdout_logfile=NONE
stderr_logfile=NONE
"""


class Supervisord(Foreign):
    """The one that is found everywhere."""

    name = "supervisord"
    bin: Path
    """Where it was installed."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder, count)
        self._file = folder / "supervisord.conf"
        self._file.write_text(MAIN.format(folder=folder))
        (folder / "programs").mkdir()
        self._changes = 0
        for number in range(count):
            self._write(f"w{number}")

    def _write(self, name: str, word: str = "-") -> None:
        text = ONE.format(
            name=name, python=sys.executable, program=PROGRAM, hello=self.hello.path, word=word
        )
        (self.folder / "programs" / f"{name}.conf").write_text(text)

    def start(self) -> float:
        """Start it."""
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [self.bin / "supervisord", "-c", self._file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self.all_ready() - begin

    def ask_for_more(self) -> Took | None:
        """Add a section, and tell it to look."""
        self._changes += 1
        self._write(f"more{self._changes}")
        return self._update()

    def change_one(self) -> Took | None:
        """Change a section, and tell it to look."""
        self._changes += 1
        self._write("w0", word=str(self._changes))
        return self._update()

    def _update(self) -> Took:
        return self.asked([str(self.bin / "supervisorctl"), "-c", str(self._file), "update"])
