"""Record a server through a story: two lives, the first ended in order and the second by force."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from orchestrator.server.app import RESERVE
from tests.crash import trace
from tests.crash.server_story import Truth, tell
from tests.crash.trace import Event

_READY: Final = b'"server.started"'
_ROOT: Final = Path(__file__).parents[2]
SMALL: Final = {"ORCHESTRATOR_DISK_RESERVE_BYTES": str(1 << 20)}
"""The reserve is made anew in each state: the smallest is enough to be in the way."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A folder's story: what was changed in it, what was answered, and what it all meant."""

    folder: Path
    events: list[Event]
    truth: Truth


@contextlib.contextmanager
def _server(
    folder: Path, record: Path, mutant: str, last: signal.Signals
) -> Iterator[tuple[str, int]]:
    command = [
        *(sys.executable, "-m", "tests.crash.mutants", mutant, "orchestrator"),
        *("server", "run", f"--data-dir={folder}", "--listen=127.0.0.1:0"),
    ]
    environ = {**os.environ, **SMALL, "PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(
        [*trace.recording(record), *command], env=environ, stderr=subprocess.PIPE, cwd=_ROOT
    ) as strace:
        assert strace.stderr is not None
        try:
            said = b""
            for line in strace.stderr:
                said += line
                if _READY in line:
                    break
            else:
                raise AssertionError(f"the server did not start: {said.decode()}")
            port = int(line.split(b"127.0.0.1:")[1].split(b'"')[0])
            yield "127.0.0.1", port
        finally:
            for server in psutil.Process(strace.pid).children():
                server.send_signal(last)
            strace.stderr.read()


def record_server(workplace: Path, *, jobs: int, seed: int, mutant: str = "none") -> Recording:
    """Run the story and return all of it; with a mutant, of a server that makes that mistake."""
    folder = workplace / "server"
    folder.mkdir(mode=0o700)
    events: list[Event] = []
    truth = Truth()
    for life, last in enumerate((signal.SIGTERM, signal.SIGKILL)):
        record = workplace / f"record.{life}"
        with _server(folder, record, mutant, last) as address:
            keys = {
                name: (folder / f"{name}.key").read_text().strip() for name in ("admin", "enrol")
            }
            tell(address, keys, truth, jobs=jobs // 2, seed=seed + 10 * life)
        events += trace.read(record, folder, after=events[-1].ends + 1 if events else 0)
        record.unlink()
    # The reserve means nothing but room, and would only be copied into every state.
    reserve = str(folder / RESERVE)
    return Recording(folder, [event for event in events if event.path != reserve], truth)
