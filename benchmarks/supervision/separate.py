"""No manager at all: programs that are started one after the other, each by its own interpreter."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.house import Unusable
from benchmarks.supervision import tree
from benchmarks.supervision.manager import Foreign, Took, see_off

PROGRAM: Final = Path(__file__).with_name("program.py")
STARTER: Final = """
import subprocess, sys
hello, count, program = sys.argv[1], int(sys.argv[2]), sys.argv[3]
kept = [subprocess.Popen([sys.executable, program, hello, f"w{n}"]) for n in range(count)]
for one in kept:
    one.wait()
"""


class Separate(Foreign):
    """What is possible with separate interpreters: they are only started."""

    name = "interpreters alone"

    def start(self) -> float:
        """Start them all from one small program."""
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(self.hello.path), str(self.count), str(PROGRAM)]
        )
        return self.all_ready() - begin

    def kill_one(self, pid: int) -> Took:
        """Refuse: nobody starts another."""
        raise Unusable(f"nobody replaces {pid}")

    def ask_for_more(self) -> Took | None:
        """Say that there is nobody to ask."""
        return None

    def change_one(self) -> Took | None:
        """Say that there is nobody to ask."""
        return None

    def stop(self) -> None:
        """Kill them all."""
        if self.process is not None:
            everybody = tree.family(self.process.pid)
            self.process.kill()
            self.process.wait()
            see_off(everybody)
        self.hello.close()
