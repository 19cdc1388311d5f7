"""Bad input: each a clear refusal that names the place and the fault, and nothing is stored."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.protocol import limits
from tests.integration.server.site import Site, problem
from tests.support.builders import command

JOBS = "/api/v1/jobs"
DEEP = b'{"kind":"command","params":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}"
UNREADABLE = {
    "nothing": b"",
    "no JSON": b"kind: command",
    "cut off": b'{"kind": "command"',
    "trailing data": b'{"kind":"delay","params":{"ms":1}} x',
    "two values": b"{}{}",
    "bad UTF-8": b'{"kind":"\xff"}',
    "byte order mark": b'\xef\xbb\xbf{"kind":"delay"}',
    "UTF-16": '{"kind":"delay"}'.encode("utf-16"),
    "endless nesting": b"[" * 100_000,
    "deep nesting": DEEP,
    "a key twice": b'{"kind":"delay","kind":"command","params":{"ms":1}}',
    "a key twice inside": b'{"kind":"delay","params":{"ms":1,"ms":2}}',
    "NaN": b'{"kind":"delay","params":{"ms":NaN}}',
    "Infinity": b'{"kind":"delay","params":{"ms":-Infinity}}',
    "a float without end": b'{"kind":"delay","params":{"ms":1e999}}',
    "a number without end": b'{"kind":"delay","params":{"ms":' + b"9" * 5000 + b"}}",
    "64 bits": b'{"kind":"delay","params":{"ms":9223372036854775808}}',
    "too many keys": json.dumps({f"k{n}": 0 for n in range(10_001)}).encode(),
    "half a character": b'{"kind":"delay","name":"\\ud800"}',
}
"""What cannot be read, or is read differently by different parsers."""

ARGV = ["true"]
FAULTY: list[tuple[Any, str]] = [
    ([], "body"),
    (None, "body"),
    ("text", "body"),
    ({}, "kind"),
    ({"kind": "comand", "params": {"argv": ARGV}}, "kind"),
    ({"kind": 7}, "kind"),
    ({"kind": "command", "params": {"argv": ARGV}, "tmeout_s": 3}, "tmeout_s"),
    ({"kind": "command", "params": {"argv": ARGV}, "timeout_s": "3"}, "timeout_s"),
    ({"kind": "command", "params": {"argv": ARGV}, "timeout_s": 0}, "timeout_s"),
    ({"kind": "command", "params": {"argv": ARGV}, "timeout_s": 1e18}, "timeout_s"),
    ({"kind": "command", "params": {"argv": ARGV}, "priority": 1.0}, "priority"),
    ({"kind": "command", "params": {"argv": ARGV}, "priority": True}, "priority"),
    ({"kind": "command", "params": {"argv": ARGV}, "name": "a\nERROR"}, "name"),
    ({"kind": "command", "params": {"argv": ARGV}, "name": "x" * 201}, "name"),
    ({"kind": "command", "params": {"argv": ARGV}, "run_at": "tomorrow"}, "run_at"),
    ({"kind": "command", "params": {"argv": ARGV}, "run_at": "2026-01-31T09:00:00"}, "run_at"),
    ({"kind": "command", "params": {"argv": ARGV}, "env": {"A=B": "1"}}, "env"),
    ({"kind": "command", "params": {"argv": ARGV}, "env": {"A": "\0"}}, "env.A"),
    ({"kind": "command", "params": {"argv": ARGV}, "env": {"ORCHESTRATOR_X": "1"}}, "env"),
    ({"kind": "command", "params": {"argv": ARGV}, "requires": {"tgas": []}}, "requires.tgas"),
    ({"kind": "command", "params": {"argv": ARGV}, "inputs": [{"file": "x"}]}, "inputs.0.file"),
    ({"kind": "command", "params": {"argv": ARGV, "shell": "true"}}, "params.shell"),
    ({"kind": "command", "params": {"argv": "true"}}, "params.argv"),
    ({"kind": "command", "params": {"argv": []}}, "params.argv"),
    ({"kind": "command", "params": {"argv": ["a\0b"]}}, "params.argv.0"),
    ({"kind": "command", "params": {"argv": ["x" * 131_072]}}, "params.argv.0"),
    ({"kind": "command", "params": {"script": "true"}}, "params"),
    ({"kind": "command", "params": {"argv": ARGV, "timeout": 3}}, "params.timeout"),
    ({"kind": "command", "params": []}, "params"),
    ({"kind": "delay", "params": {"ms": -1}}, "params.ms"),
    ({"kind": "delay", "params": {"ms": "5"}}, "params.ms"),
]


async def nothing_was_stored(site: Site) -> None:
    """Fail when there is any job."""
    assert (await site.get(JOBS)).json()["items"] == []


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_cannot_be_read_is_refused(site: Site, name: str) -> None:
    """A body that is not plain JSON is 400 with what is wrong with it, and nothing is stored."""
    answer = await site.post(JOBS, UNREADABLE[name])

    problem(answer, 400, "json_invalid")
    await nothing_was_stored(site)


async def test_what_is_wrong_is_named_field_by_field(site: Site) -> None:
    """A body that is JSON and not a job is 422 with the field and its fault; nothing is stored."""
    for body, field in FAULTY:
        answer = await site.post(JOBS, body)

        told = problem(answer, 422, "request_invalid")
        assert told["fields"][0]["field"] == field, (body, told)
        assert told["fields"][0]["fault"]
    await nothing_was_stored(site)


async def test_a_mistyped_field_gets_a_suggestion(site: Site) -> None:
    """An unknown field is answered with the known one that was probably meant."""
    top = await site.post(JOBS, command("true", tmeout_s=3))
    below = await site.post(JOBS, command("true", requires={"platfrom": "linux"}))
    params = await site.post(JOBS, command("true", params={"agrv": []}))
    kind = await site.post(JOBS, {"kind": "comand", "params": {}})

    assert problem(top, 422, "request_invalid")["hint"] == "did you mean timeout_s?"
    assert problem(below, 422, "request_invalid")["hint"] == "did you mean platform?"
    assert problem(params, 422, "request_invalid")["hint"] == "did you mean argv?"
    assert "did you mean command?" in problem(kind, 422, "request_invalid")["hint"]
    assert "delay" in kind.json()["hint"]


async def test_a_refusal_repeats_no_value(site: Site) -> None:
    """What somebody sent may be a secret, so an answer names places and never values."""
    secret = "correct-horse-battery-staple"

    answer = await site.post(JOBS, command("true", env={"TOKEN": f"{secret}\0"}, name=[secret]))

    problem(answer, 422, "request_invalid")
    assert secret not in answer.text


async def test_a_body_of_two_mebibytes_is_refused(site: Site) -> None:
    """A body beyond the limit is 413, whether it says its length or comes in pieces."""
    body = json.dumps(command("true", name="x" * (2 * limits.MIB))).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    whole = await site.post(JOBS, body)
    headers = {**site.admin, "Content-Type": "application/json"}
    chunked = await site.http.post(JOBS, content=pieces(), headers=headers)

    assert problem(whole, 413, "body_too_large")["title"] == "Content Too Large"
    problem(chunked, 413, "body_too_large")
    await nothing_was_stored(site)


async def test_a_body_at_the_limit_is_taken(site: Site) -> None:
    """Exactly the largest body is read: what is refused then is its meaning, not its size."""
    body = json.dumps(command("true")).encode()

    answer = await site.post(JOBS, body + b" " * (limits.JSON_BODY_BYTES - len(body)))

    assert answer.status_code == 201


async def test_only_json_that_says_so_is_read(site: Site) -> None:
    """Forms, texts and other charsets are 415 with the header to send."""
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-7",
        "",
    ):
        answer = await site.post(JOBS, command("true"), **{"Content-Type": kind})

        assert answer.status_code == 415, kind
        assert answer.json()["hint"]
    await nothing_was_stored(site)


async def test_compressed_bodies_are_refused(site: Site) -> None:
    """Nothing is unpacked on the way in, so nothing can blow up there."""
    answer = await site.post(JOBS, b"\x1f\x8b", **{"Content-Encoding": "gzip"})

    problem(answer, 415, "encoding_refused")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/jobs?limit=-1", "limit"),
        ("/api/v1/jobs?limit=1000000000", "limit"),
        ("/api/v1/jobs?limit=abc", "limit"),
        ("/api/v1/jobs?limt=5", "limt"),
        ("/api/v1/jobs?state=lost", "state.0"),
        ("/api/v1/jobs?label=nothing", "label"),
        ("/api/v1/jobs?cursor=%27%20OR%201=1--", "cursor"),
        ("/api/v1/jobs/JOB/events?after=-1", "after"),
        ("/api/v1/jobs/JOB/output?after=one", "after"),
        ("/api/v1/jobs/JOB/output?attempt=0", "attempt"),
        ("/api/v1/jobs/JOB/output/raw?stream=stdin", "stream"),
        ("/api/v1/jobs/JOB/output/raw?strem=stdout", "strem"),
        ("/api/v1/jobs/JOB/output/stream?after=1.0", "after"),
        ("/api/v1/jobs/JOB/events/stream?after=1", "after"),
        ("/api/v1/jobs/JOB?wait=30", "wait"),
        ("/api/v1/workers?limit=5", "limit"),
        ("/api/v1/jobs/JOB/output/raw?attempt=99999999999999999999", "attempt"),
    ],
)
async def test_a_wrong_query_is_named(site: Site, path: str, field: str) -> None:
    """A parameter that is wrong or unknown is named like a field of a body."""
    job_id = await site.submit(command("true"))

    answer = await site.get(path.replace("JOB", job_id))

    assert answer.status_code == 422
    told = problem(answer, 422, answer.json()["code"])
    assert told["fields"][0]["field"] == field
