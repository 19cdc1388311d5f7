"""From what was typed to a job's spec, with every fault told in the words of the command line.

It asks no server. The spec is validated here by the same models as over there, so that a typing
error costs no upload, and so that a refusal can name the option instead of a field of JSON.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.commands import json_text
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits
from orchestrator.protocol.jobs import PARAMS, JobSpec
from orchestrator.protocol.words import Execution, OnFailure, WaitsFor

_OPTIONS: Final[Mapping[str, str]] = {
    "env": "--env",
    "grace_s": "--grace",
    "kind": "--kind",
    "labels": "--label",
    "name": "--name",
    "params.cwd": "--cwd",
    "params.script": "--shell",
    "params.stdin": "--stdin",
    "priority": "--priority",
    "requires.tags": "--tag or --requires",
    "retry.max_attempts": "--retries",
    "retry.on": "--retry-on",
    "retry.backoff": "--backoff",
    "max_lost": "--max-lost",
    "reattach_window_s": "--reattach-window",
    "execution": "--at-most-once",
    "depends_on": "--after",
    "queue_ttl_s": "--start-within",
    "expires_at": "--expires-at",
    "queue": "--queue",
    "fairness_key": "--fairness-key",
    "concurrency": "--concurrency",
    "rate_limit": "--rate",
    "deadline_s": "--deadline",
    "silence_s": "--silence",
    "unique.key": "--unique-key",
    "unique.scope": "--unique-scope",
    "unique.window_s": "--unique-window",
    "timeout_s": "--timeout",
    "params": "--params",
}
"""Longer paths stand before the shorter ones that they begin with, where it matters."""
_WORD: Final = re.compile(r"params\.argv\.(\d+)")
_SHOWN_CHARS: Final = 80
_SECRETIVE: Final = frozenset({"--env", "--stdin", "--params"})
"""Their values may be secrets, and are never repeated."""
_HINT: Final = "orchestrator jobs submit --help tells what each option takes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed; everything that was not is `None` or empty."""

    command: Sequence[str] = ()
    shell: str | None = None
    kind: str | None = None
    params: str | None = None
    cwd: str | None = None
    stdin: bytes | None = None
    name: str | None = None
    env: Mapping[str, str] | None = None
    tags: Sequence[str] = ()
    requires: str | None = None
    unique: Mapping[str, Any] | None = None
    place: Mapping[str, Any] | None = None
    labels: Mapping[str, str] | None = None
    priority: int | None = None
    timeout_s: float | None = None
    silence_s: float | None = None
    grace_s: float | None = None
    retries: int | None = None
    retry_on: Sequence[str] = ()
    backoff: Sequence[float] | None = None
    max_lost: int | None = None
    at_most_once: bool = False
    reattach_window_s: float | None = None
    after: Sequence[str] = ()
    after_end: Sequence[str] = ()
    if_it_fails: str | None = None
    queue_ttl_s: float | None = None
    expires_at: datetime | None = None
    deadline_s: float | None = None


def spec_of(asked: Asked) -> JobSpec:
    """Return the spec, or a refusal that names each option that is wrong."""
    fields: dict[str, Any] = {"kind": asked.kind or "command", "params": _params(asked)}
    tags = [*asked.tags, *([] if asked.requires is None else [asked.requires])]
    optional = {
        "name": asked.name,
        "priority": asked.priority,
        "timeout_s": asked.timeout_s,
        "silence_s": asked.silence_s,
        "grace_s": asked.grace_s,
        "requires": {"tags": tags} if tags else None,
        "retry": _retry(asked),
        "unique": None if asked.unique is None else dict(asked.unique),
        "max_lost": asked.max_lost,
        "execution": Execution.AT_MOST_ONCE if asked.at_most_once else None,
        "reattach_window_s": asked.reattach_window_s,
        "env": dict(asked.env) if asked.env else None,
        "labels": dict(asked.labels) if asked.labels else None,
        "depends_on": _dependencies(asked) or None,
        "queue_ttl_s": asked.queue_ttl_s,
        "expires_at": asked.expires_at,
        "deadline_s": asked.deadline_s,
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    fields |= asked.place or {}
    try:
        model = PARAMS.get(fields["kind"])
        if model is not None:
            _validate_params(model, fields["params"], whole=_typed(asked))
        return JobSpec.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from None


def _retry(asked: Asked) -> dict[str, Any] | None:
    if asked.retries is None:
        return None
    retry: dict[str, Any] = {"max_attempts": asked.retries + 1}
    if asked.retry_on:
        retry["on"] = tuple(asked.retry_on)
    if asked.backoff is not None:
        retry["backoff"] = dict(zip(("initial_s", "factor", "max_s"), asked.backoff, strict=False))
    return retry


def _dependencies(asked: Asked) -> list[dict[str, Any]]:
    on_failure = OnFailure(asked.if_it_fails or OnFailure.FAIL)
    success = [{"job": job_id, "on_failure": on_failure} for job_id in asked.after]
    return success + [{"job": job_id, "on": WaitsFor.FINISH} for job_id in asked.after_end]


def _typed(asked: Asked) -> str:
    """Return what the params were made of, for a fault of all of them together."""
    if asked.shell is not None:
        return "--shell"
    return "the command" if asked.command else "--params"


def _validate_params(model: type[Any], params: dict[str, Any], *, whole: str) -> None:
    try:
        model.model_validate(params)
    except ValidationError as error:
        raise _refusal(error, below="params.", whole=whole) from None


def _params(asked: Asked) -> dict[str, Any]:
    """Return the params of the job: of a command, or the JSON that was given."""
    command = {"command": asked.command, "--shell": asked.shell, "--cwd": asked.cwd}
    given = [
        name
        for name, value in (command | {"--stdin": asked.stdin}).items()
        if value is not None and value != ()
    ]
    custom = asked.params is not None or asked.kind not in {None, "command"}
    if custom and given:
        said = "--params" if asked.params is not None else f"--kind {asked.kind}"
        raise RequestInvalid(
            f"{said} and {given[0]} exclude each other",
            hint="a command's own options go with a command after --; other kinds take --params",
        )
    if custom:
        return _parsed(asked.params or "{}")
    if bool(asked.command) == (asked.shell is not None):
        raise RequestInvalid(
            "give either a command after -- or a --shell script"
            if asked.command
            else "there is nothing to run",
            hint="jobs submit -- make test; or --shell 'make | tee log'; or --kind and --params",
        )
    what: dict[str, Any] = (
        {"argv": list(asked.command)}
        if asked.shell is None
        else {"script": asked.shell, "shell": True}
    )
    if asked.cwd is not None:
        what["cwd"] = asked.cwd
    if asked.stdin is not None:
        what["stdin"] = _text(asked.stdin)
    return what


def _parsed(text: str) -> dict[str, Any]:
    if text.startswith("@"):
        text = _file(text[1:])
    try:
        value = json_text.read(text)
    except ValueError as error:
        raise RequestInvalid(f"--params is not JSON: {error}", hint='write {"ms": 20}') from None
    if not isinstance(value, dict):
        raise RequestInvalid("--params is not a JSON object", hint='write {"ms": 20}')
    return value


def _file(name: str) -> str:
    try:
        return Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RequestInvalid(f"--params: {name} cannot be read: {why}") from None


def _text(data: bytes) -> str:
    way_out = "give larger or binary input as a file: --upload"
    if len(data) > limits.STDIN_BYTES:
        raise RequestInvalid(
            f"--stdin is longer than {limits.STDIN_BYTES} bytes, the most a job can be sent",
            hint=way_out,
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RequestInvalid(
            f"--stdin is not UTF-8 text (byte {error.start})", hint=way_out
        ) from None


def _refusal(error: ValidationError, *, below: str = "", whole: str = "the job") -> RequestInvalid:
    faults = []
    details = error.errors(include_url=False)
    for detail in details:
        if any(_is_within(other["loc"], detail["loc"]) for other in details):
            continue  # a list is too short because of the item that is wrong
        inner = ".".join(map(str, detail["loc"]))
        option = option_of(below + inner) if inner else whole
        fault = detail["msg"].removeprefix("Value error, ")
        told_already = fault.startswith(repr(detail["input"]))
        value = "" if option in _SECRETIVE or told_already else _shown(detail["input"])
        place = f"{inner.removeprefix('params.')}: " if inner and option == "--params" else ""
        # A sentence begins small behind its place; a name in capitals stays as it is.
        begin = fault[:1] if fault[1:2].isupper() else fault[:1].lower()
        told = f"{place}{value}{begin}{fault[1:]}"
        faults.append((option or below + inner, told))
    first, fault = faults[0]
    rest = tuple(faults[1:])
    return RequestInvalid(f"{first}: {fault}", hint=_HINT, fields=rest)


def _is_within(place: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    """Tell whether a place in a document is inside of another one."""
    return len(place) > len(other) and place[: len(other)] == other


def option_of(field: str) -> str | None:
    """Return the option that a field of the API's JSON comes from, if one does."""
    word = _WORD.match(field)
    if word is not None:
        return f"the command's word {int(word[1]) + 1}"
    if field.startswith("params.argv"):
        return "the command"
    paths = (path for path in _OPTIONS if field == path or field.startswith(f"{path}."))
    return next((_OPTIONS[path] for path in paths), None)


def _shown(value: object) -> str:
    if not isinstance(value, str | int | float):
        return ""
    text = repr(value)
    return f"{text}: " if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…: "
