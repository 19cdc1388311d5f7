"""A worker's spool after a power cut, opened by the worker's own code, against what it promises.

An end that nobody has heard of is found again once it was synced, and it was synced in time. What
is found is the truth or a beginning of it, whatever was synced.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.kernel import linux
from orchestrator.protocol.frames import EMPTY_DIGEST, Frame, FrameType, chain, decode
from tests.crash.spool_story import Job, SpoolRecording
from tests.crash.trace import Event
from worker.records import Exited, Record, Wrote
from worker.spool import AttemptLog, Spool, remains

_NOBODY: Final = "a boot of which nobody is left"
_SPOOL: Final = "spool"


@dataclass(frozen=True, slots=True)
class _Promise:
    """From this moment on an attempt's end is on the disk, or at least that it was begun."""

    moment: int
    job_id: str
    what: str = "end"


class SpoolExaminer:
    """Knows when a recorded worker had what on the disk for good."""

    def __init__(self, recording: SpoolRecording) -> None:
        self._jobs = recording.jobs
        self._told = _told(recording)
        promises = [*_starts(recording), *_promises(recording)]
        self._promises = sorted(promises, key=lambda promise: promise.moment)
        self._moments = [promise.moment for promise in self._promises]
        self.broken = [
            f"the end of {job_id} was never synced"
            for job_id in recording.unheard - {p.job_id for p in promises if p.what == "end"}
        ]
        """Promises that were not even given in time."""

    def promised(self, cut: int) -> int:
        """Return how many promises had been given before that moment of the record."""
        return bisect_left(self._moments, cut)

    async def examine(self, folder: Path, cut: int) -> list[str]:
        """Open a spool as the worker would after a reboot; return what is wrong with it."""
        _forget_processes()
        (folder / _SPOOL).mkdir(mode=0o700, exist_ok=True)
        spool = Spool(folder / _SPOOL)
        found: list[str] = []
        known: set[tuple[str, str]] = set()
        try:
            for log in await spool.reattach():
                records = [record async for record in log.records()]
                told = cut > self._told.get(log.job_id, cut)
                found += _lies(log, records, self._jobs, told=told)
                known.add(("start", log.job_id))
                if isinstance(records[-1], Exited):
                    known.add(("end", log.job_id))
        finally:
            spool.close()
        given = {(p.what, p.job_id) for p in self._promises[: self.promised(cut)]}
        return found + [f"the {what} of {job_id} is lost" for what, job_id in given - known]


def _forget_processes() -> None:
    """Be on a machine that was started anew: no process of the record is alive, or ours to end."""

    def nobody() -> Iterator[int]:
        return iter(())

    linux.boot_id = lambda: _NOBODY
    remains._processes = nobody  # the one thing here that looks beyond the folder


def _lies(
    log: AttemptLog, records: list[Record], jobs: dict[str, Job], *, told: bool
) -> Iterable[str]:
    """Yield what is not true; of an end that was `told` before, nobody asks for the digest."""
    job = jobs.get(log.job_id)
    if job is None or log.attempt != 1:
        yield f"{log.key} was never granted"
        return
    pieces = [record for record in records if isinstance(record, Wrote)]
    begins = pieces[0].offset if pieces else 0
    frames, hole = _up_to_a_hole(pieces, begins)
    last = records[-1]
    # What is kept is told from the words of the command, or, once part of it is gone, from the log.
    said, truth = (frames, job.frames[begins:]) if begins else (_own_bytes(frames), job.output)
    if not truth.startswith(said):
        yield f"the output of {log.job_id} from {begins} on is not what was written"
    elif isinstance(last, Exited) and said != truth and not hole:
        yield f"{log.job_id} has ended, and its output from {begins} on is not complete"
    if isinstance(last, Exited):
        yield from _lies_about_the_end(last, job, whole=not hole and not told)


def _lies_about_the_end(end: Exited, job: Job, *, whole: bool) -> Iterable[str]:
    declared = (end.log.stdout_bytes, end.log.stderr_bytes)
    if declared != (len(job.output), 0):
        yield f"{len(job.output)} bytes were written, and {declared} are declared"
    if job.frames and whole and end.log.digest != _digest(job.frames):
        yield "a digest is not that of the output"
    if end.code != job.code:
        yield f"an end is told with {end.code}, not with {job.code}"


def _up_to_a_hole(pieces: list[Wrote], begins: int) -> tuple[bytes, bool]:
    """Return the frames before the first hole, and whether there is one, which is told as such."""
    frames = b""
    for piece in pieces:
        if piece.offset != begins + len(frames):
            return frames, True
        frames += piece.frames
    return frames, False


def _digest(frames: bytes) -> bytes:
    digest, start = EMPTY_DIGEST, 0
    for frame in decode(frames):
        digest, start = chain(digest, frames[start : frame.end]), frame.end
    return digest


def _own_bytes(frames: bytes) -> bytes:
    return b"".join(f.data for f in decode(frames) if f.type in {FrameType.OUT, FrameType.ERR})


def _told(recording: SpoolRecording) -> dict[str, int]:
    """Return when each job's end was first told to the server."""
    told: dict[str, int] = {}
    for event in recording.events:
        if event.path.startswith("tcp:") and b'"ended"' in event.data:
            for job_id in recording.jobs:
                if job_id.encode() in event.data:
                    told.setdefault(job_id, event.counts)
    return told


def _starts(recording: SpoolRecording) -> list[_Promise]:
    """Return, for each program that may be started only once, when it was."""
    return [
        _Promise(event.begins, recording.once[event.path], "start")
        for event in recording.events
        if event.name == "execve" and event.path in recording.once
    ]


def _promises(recording: SpoolRecording) -> list[_Promise]:
    """Return, for each end that nobody heard of, when it and the name of its file were synced."""
    syncs = _Syncs(str(recording.folder / _SPOOL), recording.unheard)
    for event in recording.events:
        syncs.take(event)
    return syncs.promises


class _Syncs:
    """Follows which ends are written, which of them synced, and which files named for good."""

    def __init__(self, spool: str, unheard: set[str]) -> None:
        self.promises: list[_Promise] = []
        self._spool = spool
        self._unheard = unheard
        self._job: dict[str, str] = {}
        self._renamed: dict[str, Event] = {}
        self._named: set[str] = set()
        self._written: dict[str, list[tuple[Event, str]]] = {}
        self._unnamed: dict[str, list[str]] = {}

    def take(self, event: Event) -> None:
        """Follow one event."""
        match event.name:
            case "pwrite64" if event.path.startswith(f"{self._spool}/"):
                for frame in decode(event.data):
                    self._wrote(frame, event)
            case "rename" | "renameat" | "renameat2":
                self._renamed[event.to] = event
                if event.path in self._job:
                    self._job[event.to] = self._job.pop(event.path)
            case "fdatasync" | "fsync" if event.path == self._spool:
                self._sync_names(event)
            case "fdatasync" | "fsync":
                self._sync_file(event)
            case _:
                pass

    def _wrote(self, frame: Frame, event: Event) -> None:
        if frame.type == FrameType.GRANT:
            self._job[event.path] = str(json.loads(frame.data)["job"])
        elif frame.type == FrameType.EXIT and (job := self._job[event.path]) in self._unheard:
            self._written.setdefault(event.path, []).append((event, job))

    def _sync_names(self, event: Event) -> None:
        self._named |= {to for to, done in self._renamed.items() if done.ends < event.begins}
        for path in self._named & self._unnamed.keys():
            self.promises += [_Promise(event.ends, job) for job in self._unnamed.pop(path)]

    def _sync_file(self, event: Event) -> None:
        written = self._written.pop(event.path, [])
        done = [job for wrote, job in written if wrote.ends < event.begins]
        self._written[event.path] = [pair for pair in written if pair[0].ends >= event.begins]
        if event.path in self._named:
            self.promises += [_Promise(event.ends, job) for job in done]
        elif done:
            self._unnamed.setdefault(event.path, []).extend(done)
