"""Record a worker through a story: jobs that report, jobs that nobody hears of, a power cut."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from orchestrator.protocol.frames import FrameType, decode
from tests.crash import trace
from tests.crash.trace import Event
from tests.support.fake_attempt import FakeAttempt
from tests.support.fake_server import FakeServer, serving
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

_ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 120.0
"""Under the recorder a worker is some ten times slower."""
SYNC_S: Final = 15.0
"""The promise is 200 ms for an exit and a second for output; the recorder is slow."""
ROTATING_BYTES: Final = 9 * 1024 * 1024
"""Output that does not fit into one segment."""


@dataclass(slots=True)
class Job:
    """What a command does: what it says, how it ends, and whether it ends at all."""

    output: bytes
    code: int
    """Its exit code; -1 if it still runs when the power goes."""
    frames: bytes = b""
    """Its whole log as the server has it at the end; nothing, if the server never got it all."""


@dataclass(slots=True)
class SpoolRecording:
    """A worker's folder and its story."""

    folder: Path
    events: list[Event]
    jobs: dict[str, Job]
    unheard: set[str]
    """Jobs that ended while the server was away: nobody but the spool knows of it."""
    once: dict[str, str]
    """The programs that may be started only once, and their jobs."""


@dataclass(slots=True)
class _Place:
    """The story while it is told."""

    home: Path
    server: FakeServer
    chance: random.Random
    jobs: dict[str, Job] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.home / "state"

    def submit(self, size: int, *, when: str = "", ends: bool = True, until: str = "") -> str:
        """Queue a command that says so many bytes once the file `when` is there.

        It ends, if it does, once the file `until` is there.
        """
        number = len(self.jobs)
        code = self.chance.choice((0, 3, 9)) if ends else -1
        output = self.chance.randbytes(size // 2).hex().encode()
        (self.home / f"say.{number}").write_bytes(output)
        script = [
            *([f"until [ -e {self.home / when} ]; do sleep 0.05; done"] if when else []),
            f"cat {self.home / f'say.{number}'}",
            *([f"until [ -e {self.home / until} ]; do sleep 0.05; done"] if until else []),
            f"exit {code}" if ends else "exec sleep 300",
        ]
        job_id = self.server.sh("; ".join(script), timeout_s=600.0)
        self.jobs[job_id] = Job(output, code)
        return job_id

    def submit_once(self) -> tuple[str, str]:
        """Queue a program of its own that may be started only once; return it and its job."""
        program = self.home / "once"
        program.write_text("#!/bin/sh\nexec sleep 300\n")
        program.chmod(0o700)
        job_id = self.server.submit(argv=[str(program)], execution="at_most_once", timeout_s=600.0)
        self.jobs[job_id] = Job(b"", -1)
        return str(program), job_id

    def open(self, name: str) -> None:
        """Let the jobs go on that wait for this."""
        (self.home / name).touch()


@contextlib.contextmanager
def _worker(place: _Place, record: Path, mutant: str) -> Iterator[None]:
    """Run a worker; at the end everything of it is killed at once."""
    token = place.home / "token"
    token.write_text(place.server.token + "\n")
    token.chmod(0o600)
    (place.home / "project").mkdir()
    command = [
        *(sys.executable, "-m", "tests.crash.mutants", mutant, "worker", "run"),
        *(f"--server-url={place.server.url}", f"--token-file={token}", "--slots=5"),
        *(f"--directory={place.home / 'project'}", f"--state-dir={place.state}"),
    ]
    env = clean_environment(place.home, PYTHONPATH=str(_ROOT))
    traced = [*trace.recording(record), *command]
    with (
        (place.home / "worker.log").open("wb") as log,
        subprocess.Popen(traced, env=env, stderr=log, cwd=_ROOT) as strace,
    ):
        try:
            yield
        finally:
            everybody = psutil.Process(strace.pid).children(recursive=True)
            for process in everybody:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGSTOP)
            for process in everybody:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(everybody, timeout=PATIENCE_S)


def _tell(place: _Place, record: Path) -> tuple[set[str], dict[str, str]]:
    """Run jobs that are heard of; then some that nobody hears of.

    One of these is long: the server has its beginning, which is removed, and never hears its end.
    Return the latter, and the program that may be started only once.
    """
    server = place.server
    # First of all: it syncs the names of all segments, which is nobody else's merit.
    program, once = place.submit_once()
    server.running(once, timeout_s=PATIENCE_S)
    for size in (0, 40, 3_000, 90_000, 40):
        # One after the other, by one shim: those of later are new, and with the names of their
        # segments it is durable what was removed before.
        job_id = place.submit(size)
        server.end(job_id, timeout_s=PATIENCE_S)
        place.jobs[job_id].frames = bytes(server.attempts[job_id, 1].output)
    long = place.submit(ROTATING_BYTES, until="away")
    beginning = server.running(long, timeout_s=PATIENCE_S)
    _wait_until_dropped(place, beginning)
    unheard = [long, *(place.submit(size, when="away") for size in (20, 60_000))]
    running = place.submit(2_000, when="away", ends=False)
    for job_id in (*unheard[1:], running):
        server.running(job_id, timeout_s=PATIENCE_S)
    server.stop()
    begin = record.stat().st_size
    place.open("away")
    _wait_until_ended(place, set(unheard))
    _wait_until_synced(place, record, begin)
    # All that it said came before the server went away.
    place.jobs[long].frames = bytes(beginning.output)
    return set(unheard), {program: once}


def _wait_until_dropped(place: _Place, attempt: FakeAttempt) -> None:
    """Wait until the worker has removed the beginning of a log that goes on."""

    def dropped() -> bool:
        spool = place.state / "spool"
        numbers = {path.name.rpartition("-")[0]: 0 for path in spool.glob("seg-*-1")}
        return (
            len(attempt.output) > ROTATING_BYTES
            and bool(numbers)
            and not any((spool / f"{stem}-0").exists() for stem in numbers)
        )

    wait_until(dropped, timeout_s=PATIENCE_S, what="the beginning of a long log was removed")


def _wait_until_ended(place: _Place, jobs: set[str]) -> None:
    """Wait until the spool has the ends of all these jobs."""

    def ended() -> bool:
        found: set[str] = set()
        for path in (place.state / "spool").glob("seg-*"):
            job = ""
            for frame in decode(path.read_bytes()):
                if frame.type == FrameType.GRANT:
                    job = json.loads(frame.data)["job"]
                elif frame.type == FrameType.EXIT:
                    found.add(job)
        return jobs <= found

    wait_until(ended, timeout_s=PATIENCE_S, what="the ends were in the spool")


def _wait_until_synced(place: _Place, record: Path, begin: int) -> None:
    """Wait until each segment that was written since was synced behind its last record."""
    segments = {os.fsencode(path).hex().encode() for path in (place.state / "spool").glob("seg-*")}

    def synced() -> bool:
        open_ends: set[bytes] = set()
        with record.open("rb") as lines:
            lines.seek(begin)
            for line in lines:
                known = {name for name in segments if name in line.replace(b"\\x", b"")}
                if b" pwrite64(" in line:
                    open_ends |= known
                elif b" fdatasync(" in line or b" fsync(" in line:
                    open_ends -= known
        return not open_ends

    # A worker that never does it is found out later, by what is on the disk.
    with contextlib.suppress(AssertionError):
        wait_until(synced, timeout_s=SYNC_S, what="all segments were synced")


def record_worker(workplace: Path, *, seed: int, mutant: str = "none") -> SpoolRecording:
    """Run the story and return all of it; with a mutant, of a worker that makes that mistake."""
    home = workplace / "worker"
    home.mkdir(mode=0o700)
    record = workplace / "record"
    with serving() as server:
        place = _Place(home, server, random.Random(seed))
        with _worker(place, record, mutant):
            unheard, once = _tell(place, record)
        events = trace.read(record, place.state)
        record.unlink()
    # Beside its original a state would be taken for a copy of it.
    shutil.rmtree(place.state)
    return SpoolRecording(place.state, events, place.jobs, unheard, once)
