"""Run the yardstick: programs that this machine can start in a second, and syncs of its disk.

In C where there is a compiler. Without one, Python's `posix_spawn` is close enough to compare with
(its cost is the kernel's, not Python's), and the table says which of the two it was.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("yardstick.c")
SECONDS = 1.5
FALLBACK = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
begin, count = time.monotonic(), 0
while time.monotonic() - begin < float(sys.argv[2]):
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    count += 1
print(count / (time.monotonic() - begin))
"""


@dataclass(frozen=True)
class Yardstick:
    """A way to measure it; `what` says which."""

    what: str
    program: Path | None

    @classmethod
    def build(cls, folder: Path) -> "Yardstick":
        """Compile the C program into `folder`, or fall back to Python."""
        compiler = shutil.which("cc")
        if compiler is not None:
            program = folder / "yardstick"
            made = subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=False)
            if made.returncode == 0:
                return cls("C, posix_spawn of /bin/true, one pinned process per core", program)
        return cls("PYTHON (no C compiler here), posix_spawn, one pinned process per core", None)

    def measure(self) -> float:
        """Return programs started per second, by all cores together."""
        if self.program is not None:
            command = [str(self.program), str(SECONDS)]
            return float(subprocess.run(command, check=True, capture_output=True).stdout)
        running = [
            subprocess.Popen(
                [sys.executable, "-c", FALLBACK, str(core), str(SECONDS)], stdout=subprocess.PIPE
            )
            for core in os.sched_getaffinity(0)
        ]
        return sum(float(process.communicate()[0]) for process in running)


def cores() -> int:
    """Return how many processors this run may use."""
    return len(os.sched_getaffinity(0))


def sync_ms(folder: Path, count: int = 200) -> float:
    """Return the median time of one small synced write, in milliseconds."""
    times = []
    path = folder / "sync"
    with path.open("wb", buffering=0) as file:
        for _ in range(count):
            begin = time.perf_counter()
            file.write(b"\0" * 4096)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begin) * 1000)
    path.unlink()
    return statistics.median(times)


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds `folder`, as Linux names it."""
    best, kind = Path("/"), "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, name, *_ = line.split()
        where = Path(mount)
        if folder.resolve().is_relative_to(where) and len(where.parts) >= len(best.parts):
            best, kind = where, name
    return kind
