"""A server's folder after a power cut, opened by the server, against what was promised."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from orchestrator.kernel.clock import SystemClock
from orchestrator.protocol.frames import decode
from orchestrator.server.app import opened_services
from orchestrator.server.operations.output import output_state
from orchestrator.server.output_log import OutputFiles
from orchestrator.server.services import Services
from orchestrator.server.settings import load
from orchestrator.server.store.interface import Reader, Row
from tests.crash.server_record import SMALL, Recording
from tests.crash.server_story import Promise, Truth
from tests.crash.trace import Event

_READ_AT_ONCE: Final = 1 << 20
_DONE: Final = {0: "succeeded"}
_BEHIND: Final = {
    "claimed": frozenset({"leased", "running", "cancelling", "succeeded", "failed", "cancelled"}),
    "started": frozenset({"running", "cancelling", "succeeded", "failed", "cancelled"}),
    "cancelled": frozenset({"cancelling", "cancelled", "succeeded", "failed"}),
}
"""The states that a job may be in once that was promised, with all that may have followed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the opened database holds."""

    jobs: dict[str, Row]
    keys: Counter[str]
    key_of: dict[str, str]
    files: dict[str, int]
    used: set[str]
    faults: list[str]


_JOBS: Final = """
    SELECT job.id, job.name, job.state, job.attempt, job.exit_code, attempt.declared_stdout,
        attempt.missing_bytes
    FROM job LEFT JOIN attempt ON attempt.job_id = job.id AND attempt.number = job.attempt
"""


def _look(reader: Reader, outputs: OutputFiles) -> tuple[Seen, dict[str, bytes]]:
    """Return what the database holds, and the logs of all jobs that were ever claimed."""
    keys = reader.rows("SELECT request_key, job_id FROM idempotency")
    faults = [str(row[0]) for row in reader.tuples("PRAGMA integrity_check") if row[0] != "ok"]
    faults += [f"foreign key: {row}" for row in reader.tuples("PRAGMA foreign_key_check")]
    jobs = reader.rows(_JOBS)
    logs = {row["id"]: _log(reader, outputs, row["id"]) for row in jobs if row["attempt"]}
    seen = Seen(
        jobs={row["id"]: row for row in jobs},
        keys=Counter(row["name"] for row in jobs),
        key_of={row["request_key"]: row["job_id"] for row in keys},
        files={row["sha256"]: row["size"] for row in reader.rows("SELECT sha256, size FROM file")},
        used={row["sha256"] for row in reader.rows("SELECT sha256 FROM job_file")},
        faults=faults,
    )
    return seen, logs


class ServerExaminer:
    """Knows what a recorded server promised, and when."""

    def __init__(self, recording: Recording) -> None:
        self._truth = recording.truth
        sent = {event.path: event.counts for event in recording.events if _is_socket(event)}
        when = [(sent[f"tcp:{promise.port}"], promise) for promise in recording.truth.promises]
        when.sort(key=lambda pair: pair[0])
        self._moments = [moment for moment, _ in when]
        self._promises = [promise for _, promise in when]
        self.broken: list[str] = []

    def promised(self, cut: int) -> int:
        """Return how many promises had been given before that moment of the record."""
        return bisect_left(self._moments, cut)

    async def examine(self, folder: Path, cut: int) -> list[str]:
        """Open a folder as the server would, and return every promise and rule that it breaks."""
        settings = load(folder, "127.0.0.1:1", insecure_http=False, environ=SMALL)
        async with opened_services(settings, folder, SystemClock()) as services:
            given = self._promises[: self.promised(cut)]
            return await _complaints(services, given, self._truth)


def _is_socket(event: Event) -> bool:
    """Tell whether it is an answer; the last piece of one is when it was complete."""
    return event.path.startswith("tcp:")


async def _complaints(services: Services, promises: list[Promise], truth: Truth) -> list[str]:
    seen, logs = await services.store.read(lambda reader: _look(reader, services.outputs))
    found = [*seen.faults, *_strangers(seen, truth), *_files(services, seen, promises, truth)]
    for promise in promises:
        found += _broken(promise, seen)
    reach = {p.about: p.value for p in promises if p.kind == "output"}
    for job_id, stored in logs.items():
        found += _output(job_id, seen.jobs[job_id], stored, reach.get(job_id, 0), truth)
    return found


def _strangers(seen: Seen, truth: Truth) -> list[str]:
    """Nothing is there that nobody asked for, and nothing twice."""
    found = [f"job {name} is there {count} times" for name, count in seen.keys.items() if count > 1]
    for job_id, row in seen.jobs.items():
        if seen.key_of.get(row["name"]) != job_id:
            found.append(f"job {job_id} is there without its idempotency key")
        if row["attempt"] > 1:
            found.append(f"job {job_id} has attempt {row['attempt']}")
        if row["state"] in {"succeeded", "failed"}:
            code = truth.codes.get(job_id)
            if row["exit_code"] != code or row["state"] != _DONE.get(row["exit_code"], "failed"):
                found.append(f"job {job_id} ended as {_words(row)}, not with {code}")
    return found


def _files(services: Services, seen: Seen, promises: list[Promise], truth: Truth) -> Iterable[str]:
    for name in seen.used - seen.files.keys():
        yield f"a job names file {name}, of which there is no row"
    for name in seen.files:
        path = services.files.path_of(name)
        if not path.exists():
            yield f"file {name} has a row and no content"
        elif sha256(path.read_bytes()).hexdigest() != name or name not in truth.files:
            yield f"file {name} has another content"
    for promise in promises:
        if promise.kind == "uploaded" and promise.about not in seen.files:
            yield f"the upload of {promise.about} is lost"


def _broken(promise: Promise, seen: Seen) -> Iterable[str]:
    row = seen.jobs.get(promise.about)
    match promise.kind:
        case "uploaded" | "output":
            return
        case "submitted":
            if row is None or row["name"] != promise.value:
                yield f"the submit of {promise.value} ({promise.about}) is lost"
        case "ended":
            if row is None or row["state"] not in {"succeeded", "failed", "cancelled"}:
                yield f"the end of {promise.about} is lost: {row and _words(row)}"
        case kind:
            if row is None or row["state"] not in _BEHIND[kind]:
                yield f"{promise.about} was {kind}, and that is lost: {row and _words(row)}"


def _words(row: Row) -> str:
    return f"{row['state']} at attempt {row['attempt']} with {row['exit_code']}"


def _log(reader: Reader, logs: OutputFiles, job_id: str) -> bytes:
    """Return a job's whole log, as the server would serve it."""
    state = output_state(reader, job_id, None)
    assert state is not None
    whole = bytearray()
    while len(whole) < state.length:
        chunk = logs.read(state, offset=len(whole), limit=_READ_AT_ONCE)
        if chunk is None:
            return bytes(whole)
        whole += chunk.frames
    return bytes(whole)


def _output(job_id: str, row: Row, stored: bytes, reach: int, truth: Truth) -> Iterable[str]:
    log = truth.logs.get(job_id, b"")
    if not log.startswith(stored):
        yield f"the output of {job_id} is not what was written"
    elif len(stored) < reach:
        yield f"the output of {job_id} was stored up to {reach}, and ends at {len(stored)}"
    elif row["state"] in {"succeeded", "failed"}:
        if len(stored) != len(log):
            yield f"{job_id} ended, and its output ends at {len(stored)} of {len(log)}"
        own = sum(len(frame.data) for frame in decode(log))
        declared, missing = row["declared_stdout"], row["missing_bytes"]
        if (declared, missing) != (own, 0):
            yield f"{job_id} wrote {own} bytes, {declared} are declared, {missing} missing"
