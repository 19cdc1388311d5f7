"""What somebody asked of a job, in words: whatever its spec says that not every job has.

Pure. Nothing is known here of which field matters: what differs from a job that says nothing is
told, also what another version has added and this one has no words for.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from orchestrator.commands.moments import rough
from orchestrator.protocol.jobs import JobSpec, RetryBackoff
from orchestrator.protocol.words import IfTaken, OnConflict, OnFailure, WaitsFor

ELSEWHERE: Final = frozenset(
    {"kind", "params", "name", "labels", "queue", "priority", "run_at", "expires_at"}
)
"""Told by the job itself, where most of them may have been changed since."""
_INSIDE: Final = ("requires",)
"""Of these each part is a fact of its own."""
_FILE_CHARS: Final = 12


def facts(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values of what was said."""
    usual = dict(_parts(JobSpec(kind="command").model_dump(mode="json")))
    return [
        (_NAMES.get(name, name), _WORDS.get(name, in_words)(value))
        for name, value in _parts(spec)
        if name not in ELSEWHERE and value is not None and value != usual.get(name)
    ]


def in_words(value: object) -> str:
    """Return a value as it could be typed: a text, words for a shell, or JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return shlex.join(value)
    return json.dumps(value, ensure_ascii=False)


def _parts(spec: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in spec.items():
        if name in _INSIDE and isinstance(value, Mapping):
            yield from value.items()
        else:
            yield name, value


def _listed(value: Iterable[str]) -> str:
    return ", ".join(value)


def _jobs(value: list[dict[str, str]]) -> str:
    return ", ".join(_job(one) for one in value)


def _job(one: Mapping[str, str]) -> str:
    if one.get("on") == WaitsFor.FINISH:
        return f"{one['job']} (its end)"
    then = one.get("on_failure", OnFailure.FAIL)
    return one["job"] if then == OnFailure.FAIL else f"{one['job']} (if it fails: {then})"


def _keys(value: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{one['key']}={one['limit']}"
        + ("" if one.get("strategy", IfTaken.WAIT) == IfTaken.WAIT else f" ({one['strategy']})")
        for one in value
    )


def _rates(value: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['key']}={one['count']}/{rough(one['per_s'])}" for one in value)


def _retry(value: Mapping[str, Any]) -> str:
    said = [f"{value['max_attempts']} tries"]
    if value.get("on", ["any"]) != ["any"]:
        said.append(f"of {_listed(value['on'])}")
    pauses = value.get("backoff")
    if pauses is not None and pauses != RetryBackoff().model_dump(mode="json"):
        said.append(
            f"pauses {rough(pauses['initial_s'])}, {pauses['factor']:g}, {rough(pauses['max_s'])}"
        )
    return "; ".join(said)


def _unique(value: Mapping[str, Any]) -> str:
    said = [value.get("key") or f"by {value.get('by')}"]
    if value.get("scope"):
        said.append(f"among {_listed(value['scope'])}")
    if value.get("window_s") is not None:
        said.append(f"for {rough(value['window_s'])}")
    if value.get("on_conflict", OnConflict.RETURN) != OnConflict.RETURN:
        said.append(f"else {value['on_conflict']}")
    return "; ".join(said)


def _files(value: list[dict[str, str | None]]) -> str:
    return ", ".join(
        f"{one.get('name') or one.get('unpack')} ({str(one['file'])[:_FILE_CHARS]}…)"
        for one in value
    )


_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fairness_key": "fairness key",
        "queue_ttl_s": "start within",
        "deadline_s": "deadline",
        "worker": "only on",
        "timeout_s": "timeout",
        "silence_s": "silence",
        "grace_s": "grace",
        "max_lost": "max lost",
        "concurrency": "keys",
        "rate_limit": "rates",
        "reattach_window_s": "reattach window",
        "depends_on": "depends on",
    }
)
_WORDS: Final[Mapping[str, Callable[[Any], str]]] = MappingProxyType(
    {
        "queue_ttl_s": rough,
        "deadline_s": rough,
        "tags": _listed,
        "timeout_s": rough,
        "silence_s": rough,
        "grace_s": rough,
        "retry": _retry,
        "concurrency": _keys,
        "rate_limit": _rates,
        "reattach_window_s": rough,
        "unique": _unique,
        "inputs": _files,
        # Their values may be secrets: who wants them asks for JSON.
        "env": _listed,
        "depends_on": _jobs,
    }
)
