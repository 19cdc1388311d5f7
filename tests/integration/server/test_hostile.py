"""Every field of every body with values that were made to hurt: always an answer, never a fault."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.integration.server.site import Site, bearer
from tests.integration.server.worker import HOST, NOW_US, Worker, at_work
from tests.support.builders import command, delay

JOB_ID = f"job_{'0' * 26}"
ATTEMPT = {"job_id": JOB_ID, "attempt": 1}
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63),
    1e308,
    "",
    " ",
    "0",
    "true",
    "null",
    "x" * 70_000,
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00",
    "a\u0000b",
    "\u202egnp.exe",
    "\r\nX-Evil: 1",
    "'; DROP TABLE job; --",
    "%s%n{0}${HOME}",
    "../../etc/passwd",
    "\U0001f600" * 300,
    [],
    [[]],
    {},
    {"": {"": {}}},
)
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/jobs": {
        **command("true", params={"shell": False, "cwd": ".", "stdin": "x"}),
        "name": "n",
        "priority": 1,
        "run_at": "2026-01-31T09:00:00Z",
        "requires": {"tags": ["a"], "platform": "linux", "worker": "w"},
        "timeout_s": 1.5,
        "silence_s": 1.5,
        "grace_s": 1.5,
        "retry": {"max_attempts": 2, "backoff": {"initial_s": 1, "factor": 2, "max_s": 3}},
        "max_lost": 1,
        "inputs": [{"file": "0" * 64, "unpack": "zip"}],
        "env": {"A": "1"},
        "labels": {"a": "b"},
    },
    "/api/v1/jobs/JOB/cancel": {"comment": "c"},
    "/api/worker/v1/enrol": {"name": "w", "fingerprint": "f" * 20, "host": HOST},
    "/api/worker/v1/token": {"overlap_s": 1.5},
    "/api/worker/v1/claim": {"session_id": "SESSION", "number": 1, "slots": 1},
    "/api/worker/v1/heartbeat": {
        "session_id": "SESSION",
        "claim_seen": 1,
        "attempts": [{**ATTEMPT, "cancelling": False}],
    },
    "/api/worker/v1/report": {
        "session_id": "SESSION",
        "events": [
            {"type": "started", **ATTEMPT, "at_us": NOW_US, "pid": 1},
            {"type": "output", **ATTEMPT, "offset": 0, "frames": ""},
            {"type": "released", **ATTEMPT},
            {
                "type": "ended",
                **ATTEMPT,
                "at_us": NOW_US,
                "started_at_us": NOW_US,
                "outcome": "failed",
                "reason": "signal",
                "message": "m",
                "exit_code": 1,
                "signal": 9,
                "result": {"a": [1]},
                "output_length": 0,
                "output_digest": "0" * 64,
            },
        ],
    },
    "/api/worker/v1/sessions": {
        "version": "1",
        "spool_id": "spool-of-one",
        "slots": 4,
        "kinds": ["command"],
        "tags": ["a"],
        "host": HOST,
        "held": [{**ATTEMPT, "phase": "running"}],
        "takeover": True,
    },
    "/api/worker/v1/goodbye": {"session_id": "SESSION"},
}


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where every value in a body is, the whole body included."""
    yield place
    if isinstance(value, dict):
        for name, below in value.items():
            yield from places(below, (*place, name))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from places(below, (*place, index))


def mutants(body: dict[str, Any]) -> Iterator[Any]:
    """Yield the body once for each place and each hostile value there, or nothing there."""
    for place in places(body):
        if not place:
            yield from HOSTILE
            continue
        for value in HOSTILE:
            changed = copy.deepcopy(body)
            _parent(changed, place)[place[-1]] = value
            yield changed
        removed = copy.deepcopy(body)
        del _parent(removed, place)[place[-1]]
        yield removed


def _parent(body: Any, place: tuple[str | int, ...]) -> Any:
    for part in place[:-1]:
        body = body[part]
    return body


@pytest.mark.parametrize("path", BODIES)
async def test_no_value_anywhere_makes_a_fault(site: Site, path: str) -> None:
    """Whatever stands in a field, the answer is a success or says what is wrong: never 5xx."""
    worker = await at_work(site)
    job_id = await site.submit(delay())
    headers = _headers(site, worker, path)
    met = set()

    for mutant in mutants(BODIES[path]):
        content = json.dumps(mutant).replace("SESSION", worker.session)
        answer = await site.http.post(path.replace("JOB", job_id), content=content, headers=headers)

        assert answer.status_code < 500, (mutant, answer.text)
        assert answer.status_code < 400 or answer.json()["code"]
        met.add(answer.status_code)

    assert 422 in met
    assert (await site.http.get("/health")).status_code == 200


def _headers(site: Site, worker: Worker, path: str) -> dict[str, str]:
    json_type = {"Content-Type": "application/json"}
    if path.endswith("enrol"):
        return json_type | bearer(site.key("enrol"))
    return json_type | (worker.headers if "/worker/" in path else site.admin)


async def test_no_bytes_on_a_socket_make_a_fault(site: Site) -> None:
    """Requests with bytes changed at random are answered or hung up on, and others are served."""
    chance = random.Random(7)
    whole = (
        f"POST /api/v1/jobs?x=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.key()}"
        "\r\nContent-Type: application/json\r\nContent-Length: 39\r\nConnection: close\r\n\r\n"
        '{"kind":"delay","params":{"ms":1}}     '
    ).encode()

    for _ in range(200):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        with anyio.move_on_after(0.5):  # some wait for a body that does not come
            answer = await site.raw(bytes(changed))

            assert not answer.startswith(b"HTTP/1.1 5"), (bytes(changed), answer)
    assert (await site.http.get("/ready")).status_code == 200
