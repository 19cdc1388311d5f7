"""What people and a worker do with a server while it is recorded, and what it promises them.

Each promise is what an answer said: it holds from the moment of that answer on, whatever happens to
the machine.
"""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from orchestrator.protocol import frames
from orchestrator.protocol.frames import FrameType
from tests.crash.calls import Answer, Caller
from tests.support.zips import Item, archive

HOST: Final = {
    "hostname": "oak",
    "platform": "linux",
    "arch": "x86_64",
    "cpu_count": 2,
    "memory_bytes": 1 << 30,
    "python": "3.11.7",
}
NOW_US: Final = 1_700_000_000_000_000
SIZES: Final = (0, 20, 900, 5_000, 30_000, 200_000)
"""Bytes of output that jobs write: none, in the row, outgrowing it, in parts."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that an answer said: which one, about what, and what exactly."""

    port: int
    kind: str
    about: str
    value: Any = None


@dataclass(slots=True)
class Truth:
    """What was asked for and what was said, by everybody."""

    promises: list[Promise] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    """All output, as frames, of each job's only attempt."""
    codes: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """Each idempotency key's name for its job."""

    def promised(self, answer: Answer, kind: str, about: str, value: Any = None) -> None:
        """Note what an answer said. Any thread may: the list is changed in one step."""
        self.promises.append(Promise(answer.port, kind, about, value))


class People:
    """Submit, upload, cancel."""

    def __init__(self, caller: Caller, truth: Truth, seed: int) -> None:
        self._caller = caller
        self._truth = truth
        self._chance = random.Random(seed)
        self._seed = seed

    def submit(self, number: int) -> None:
        """Submit one job; every third with a file, every seventh is cancelled."""
        key = f"key-{self._seed}-{number}"
        spec: dict[str, Any] = {
            "kind": "command",
            "params": {"argv": ["true", key]},
            "name": key,
        }
        if number % 3 == 0:
            spec["inputs"] = [{"file": self._upload(key), "unpack": "zip"}]
        answer = self._caller.call("POST", "/api/v1/jobs", spec, Idempotency_Key=key)
        job_id = answer.body["id"]
        self._truth.keys[key] = job_id
        self._truth.promised(answer, "submitted", job_id, key)
        if number % 5 == 0:
            again = self._caller.call("POST", "/api/v1/jobs", spec, Idempotency_Key=key)
            assert again.body["id"] == job_id
        if number % 7 == 0:
            answer = self._caller.call("POST", f"/api/v1/jobs/{job_id}/cancel")
            self._truth.promised(answer, "cancelled", job_id)

    def _upload(self, key: str) -> str:
        noise = self._chance.randbytes(self._chance.choice((100, 5_000, 60_000)))
        content = archive(Item(f"{key}.bin".encode(), noise))
        name = sha256(content).hexdigest()
        self._truth.files[name] = content
        answer = self._caller.call("POST", "/api/v1/files?check=zip", content)
        assert answer.body["sha256"] == name
        self._truth.promised(answer, "uploaded", name)
        return name


class Worker:
    """A worker that makes its calls one after the other."""

    def __init__(self, address: tuple[str, int], key: str, truth: Truth, seed: int) -> None:
        self._truth = truth
        self._chance = random.Random(seed)
        body = {"name": "one", "fingerprint": "fingerprint-of-oak", "host": HOST}
        token = Caller(address, f"Bearer {key}").call("POST", "/api/worker/v1/enrol", body)
        self._caller = Caller(address, f"Worker {token.body['token']}")
        self._number = 0
        self._session = self._open()

    def _call(self, name: str, body: dict[str, Any]) -> Answer:
        return self._caller.call("POST", f"/api/worker/v1/{name}", body)

    def _open(self) -> str:
        body = {
            "version": "0.1.0",
            "spool_id": f"spool-{self._chance.random()}",
            "slots": 4,
            "kinds": ["command"],
            "host": HOST,
            "takeover": True,
        }
        return str(self._call("sessions", body).body["session_id"])

    def work(self, until: Callable[[], bool]) -> None:
        """Take and finish attempts until there is nothing left to wait for."""
        while True:
            over = until()
            self._number += 1
            body = {"session_id": self._session, "number": self._number, "slots": 4, "wait_s": 0}
            answer = self._call("claim", body)
            grants = [(grant["job_id"], grant["attempt"]) for grant in answer.body["grants"]]
            for job_id, attempt in grants:
                self._truth.promised(answer, "claimed", job_id, attempt)
            for job_id, attempt in grants:
                self._run(job_id, attempt)
            if over and not grants:
                return

    def _report(self, *events: dict[str, Any]) -> Answer:
        return self._call("report", {"session_id": self._session, "events": list(events)})

    def _run(self, job_id: str, attempt: int) -> None:
        about = {"job_id": job_id, "attempt": attempt}
        answer = self._report({"type": "started", **about, "at_us": NOW_US, "pid": 4711})
        self._truth.promised(answer, "started", job_id, attempt)
        log, digest = self._write(job_id, attempt)
        code = self._chance.choice((0, 0, 3, 7))
        self._truth.codes[job_id] = code
        ended = {
            "type": "ended",
            **about,
            "at_us": NOW_US,
            "exit_code": code,
            "output_length": len(log),
            "output_digest": digest.hex(),
            "stdout_bytes": sum(len(frame.data) for frame in frames.decode(log)),
            "outcome": "failed" if code else "succeeded",
            **({"reason": "exit_nonzero"} if code else {}),
        }
        answer = self._report(ended)
        (ack,) = answer.body["acks"]
        if ack["settled"]:
            self._truth.promised(answer, "ended", job_id, code)

    def _write(self, job_id: str, attempt: int) -> tuple[bytes, bytes]:
        encoded = [
            frames.encode(FrameType.OUT, NOW_US, self._chance.randbytes(size))
            for size in self._pieces(self._chance.choice(SIZES))
        ]
        digest = frames.EMPTY_DIGEST
        for frame in encoded:
            digest = frames.chain(digest, frame)
        log = self._truth.logs[job_id] = b"".join(encoded)
        sent = 0
        while sent < len(encoded):
            several = encoded[sent : sent + self._chance.randint(1, 6)]
            offset = sum(map(len, encoded[:sent]))
            query = f"session_id={self._session}&job_id={job_id}&attempt={attempt}&offset={offset}"
            data = b"".join(several)
            answer = self._caller.call("POST", f"/api/worker/v1/output?{query}", data)
            self._truth.promised(answer, "output", job_id, answer.body["output_offset"])
            sent += len(several)
        return log, digest

    def _pieces(self, size: int) -> list[int]:
        pieces = []
        while size > 0:
            pieces.append(min(size, self._chance.choice((10, 400, 3_000, 40_000))))
            size -= pieces[-1]
        return pieces


def tell(
    address: tuple[str, int], keys: dict[str, str], truth: Truth, *, jobs: int, seed: int
) -> None:
    """Let two people submit jobs while a worker runs them, and note what was said."""
    people = [People(Caller(address, f"Bearer {keys['admin']}"), truth, seed + n) for n in (1, 2)]
    worker = Worker(address, keys["enrol"], truth, seed)

    def submit_all(person: People) -> None:
        for number in range(1, jobs // 2 + 1):
            person.submit(number)

    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(submit_all, person) for person in people]
        working = pool.submit(worker.work, lambda: all(future.done() for future in done))
        for future in (*done, working):
            future.result()
