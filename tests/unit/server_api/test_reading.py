"""How bodies are read: strictly, with every fault named, and no value repeated."""

import json
import time

import pytest

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.limits import JSON_DEPTH, JSON_KEYS
from orchestrator.server.api import strictness
from orchestrator.server.api.faults import COUNTED, SHOWN, nearest, path, plain
from orchestrator.server.api.parsing import parse


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    """Return brackets in brackets."""
    return (opening * levels + closing * levels).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b" [1, -2.5e3, true, null] ",
        b'{"a":{"b":[{}]},"b":{"a":1}}',
        b'{"text":"[[[[{{{{ \\" \\\\\\" :::: \\u00e4"}',
        '{"ä":"€"}'.encode(),
        b"9223372036854775807",
        b"-9223372036854775807",
        nested(JSON_DEPTH),
        json.dumps({f"k{n}": 0 for n in range(JSON_KEYS)}).encode(),
    ],
)
def test_ordinary_json_is_let_through(body: bytes) -> None:
    """What every parser reads alike passes, up to each limit."""
    strictness.check(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (nested(JSON_DEPTH + 1), "nested more than 32"),
        (nested(100_000), "nested more than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested more than 32"),
        (json.dumps({f"k{n}": 0 for n in range(JSON_KEYS + 1)}).encode(), "more than 10000 keys"),
        (b'{"a":1,"a":1}', "the key a is there twice"),
        (b'[{"x":{"b":1,"c":2,"b":3}}]', "the key b is there twice"),
        (b'{"a":1,"\\u0061":1}', "the key a is there twice"),
        (b"NaN", "NaN is not"),
        (b"[-Infinity]", "-Infinity is not"),
        (b"1e400", "too large"),
        (b"9223372036854775808", "63 bits"),
        (b"1" * 5000, "63 bits"),
        (b'{"a":1', "line 1, column"),
        (b"\xff", "byte 0 is not UTF-8"),
    ],
)
def test_what_parsers_disagree_about_is_refused(body: bytes, words: str) -> None:
    """Repeated keys, depth, odd numbers and broken text are told for what they are."""
    with pytest.raises(RequestInvalid, match=words) as refused:
        strictness.check(body)

    assert refused.value.problem_code == "json_invalid"


def test_hostile_strings_are_looked_at_in_linear_time() -> None:
    """A mebibyte of quotes and backslashes costs milliseconds, valid or not."""
    began = time.monotonic()
    strictness.check(b'["' + b'\\"' * 500_000 + b'"]')
    with pytest.raises(RequestInvalid):
        strictness.check(b'["' + b'\\"' * 500_000)

    assert time.monotonic() - began < 2


def test_a_repeated_key_is_found_in_linear_time() -> None:
    """One key twice among thousands is refused in milliseconds, however late it comes."""
    keys = [f"some_key_{number:05}" for number in range(JSON_KEYS - 1)]
    body = "{" + ",".join(f'"{key}":0' for key in [*keys, keys[-1]]) + "}"

    began = time.process_time()
    with pytest.raises(RequestInvalid, match=f"the key {keys[-1]} is there twice"):
        strictness.check(body.encode())

    assert time.process_time() - began < 0.3


def test_every_fault_is_told_at_once() -> None:
    """A request with several faults is answered with all of them, in one go."""
    body = b'{"kind":7,"tiemout_s":1,"priority":1000,"requires":{"tags":7}}'

    with pytest.raises(RequestInvalid) as refused:
        parse(JobSpec, body)

    assert dict(refused.value.fields).keys() == {
        "kind",
        "tiemout_s",
        "priority",
        "requires.tags",
    }
    assert refused.value.hint == "did you mean timeout_s?"


def test_thousands_of_faults_are_not_listed() -> None:
    """A request that is nothing but faults is refused in a sentence."""
    many = json.dumps({f"k{n}": 0 for n in range(COUNTED + 1)}).encode()
    some = json.dumps({f"k{n}": 0 for n in range(COUNTED - 10)}).encode()

    with pytest.raises(RequestInvalid, match="more than 1000 faults") as all_of_them:
        parse(JobSpec, many)
    with pytest.raises(RequestInvalid) as shown:
        parse(JobSpec, some)

    assert all_of_them.value.fields == ()
    assert len(shown.value.fields) == SHOWN


def test_faults_are_worded_for_people() -> None:
    """Places are written with dots, and sentences begin where the field's name ends."""
    assert path(("inputs", 0, "file")) == "inputs.0.file"
    assert path(("argv",), below="params") == "params.argv"
    assert len(path(("x" * 5000,))) == 100
    assert plain("Input should be a valid integer") == "must be a valid integer"
    assert plain("Value error, say shell: true") == "say shell: true"
    assert nearest("lables", ["labels", "kind"]) == "labels"
    assert nearest("zzz", ["labels", "kind"]) is None
