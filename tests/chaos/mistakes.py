"""Requests that nobody should send, and that the server must refuse without losing its temper."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.chaos.caller import Answer, Caller

JOBS: Final = "/api/v1/jobs"
NOBODY: Final = "job_" + "0" * 26
JSON: Final = {"Content-Type": "application/json"}
NO_FILE: Final = {"kind": "delay", "params": {"ms": 0}, "inputs": [{"file": "0" * 64, "name": "x"}]}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One kind of bad input."""

    name: str
    make: Callable[[Caller], Answer]


MISTAKES: Final = (
    Mistake("not JSON", lambda c: c.call("POST", JOBS, b"{", headers=JSON)),
    Mistake("no kind", lambda c: c.call("POST", JOBS, {"params": {}})),
    Mistake("unknown kind", lambda c: c.call("POST", JOBS, {"kind": "comand", "params": {}})),
    Mistake("unknown field", lambda c: c.call("POST", JOBS, {"kind": "delay", "prams": {}})),
    Mistake("wrong type", lambda c: c.call("POST", JOBS, {"kind": "delay", "params": {"ms": "x"}})),
    Mistake("key twice", lambda c: c.call("POST", JOBS, b'{"kind":"a","kind":"b"}', headers=JSON)),
    Mistake("deep", lambda c: c.call("POST", JOBS, b"[" * 5_000 + b"]" * 5_000, headers=JSON)),
    Mistake("large", lambda c: c.call("POST", JOBS, b" " * 1_200_000, headers=JSON)),
    Mistake("bad key", lambda c: c.post_once(JOBS, {"kind": "delay"}, "a b")),
    Mistake("no such job", lambda c: c.call("GET", f"{JOBS}/{NOBODY}")),
    Mistake("no id", lambda c: c.call("GET", f"{JOBS}/../../etc/passwd")),
    Mistake("bad cursor", lambda c: c.call("GET", f"{JOBS}?cursor=%00")),
    Mistake("bad method", lambda c: c.call("DELETE", JOBS)),
    Mistake("no zip", lambda c: c.call("POST", "/api/v1/files?check=zip", b"PK no")),
    Mistake("no file", lambda c: c.call("POST", JOBS, NO_FILE)),
    Mistake("wrong key", lambda c: Caller(c.port, "pak_wrong").call("GET", JOBS)),
)
