"""What the models refuse, as problems in words of ours.

pydantic names a location and a kind of error; here they become a place in the file and a sentence
for the person who wrote it. Values are not repeated: any of them may be a secret.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from orchestrator.supervisor.config.model import (
    NAME,
    Common,
    Disk,
    File,
    Limits,
    Log,
    Machine,
    Metrics,
    Server,
    Worker,
)
from orchestrator.supervisor.config.problem import Problem
from orchestrator.supervisor.config.text.document import Mark
from orchestrator.supervisor.config.text.sheet import Sheet, Steps

_PARTS: Final[Mapping[str, type[BaseModel]]] = {
    "server": Server,
    "machine": Machine,
    "disk": Disk,
    "metrics": Metrics,
    "log": Log,
    "defaults": Common,
    "limits": Limits,
    "workers": Worker,
}
_MEANT: Final[Mapping[str, str]] = {
    "cwd": "working_directory",
    "directory": "working_directory",
    "dir": "working_directory",
    "path": "working_directory",
    "url": "server_url",
    "server": "server_url",
    "slots": "concurrency",
    "cpu": "cpus",
    "environment": "env",
    "id": "name",
    "api_key": "token",
    "secret": "token",
}
"""What the keys are called elsewhere."""
_KEY_CHARS: Final = 60
_SENTENCES: Final[Mapping[str, tuple[str, str | None]]] = {
    "string_type": ("this must be text", 'put it in quotes: "…"'),
    "int_type": ("this must be a whole number", "write it without quotes and unit"),
    "int_from_float": ("this must be a whole number", None),
    "int_parsing_size": ("this number is too large", None),
    "float_type": ("this must be a number", "write it without quotes and unit"),
    "finite_number": ("this must be a number", None),
    "bool_type": ("this must be true or false", "write it so, without quotes"),
    "tuple_type": ("this must be a list", "write [one, two], or one '- item' in a line"),
    "dict_type": ("this must be a mapping", "write 'NAME: value' lines below it, indented"),
    "model_type": ("this must be a mapping", "write 'key: value' lines below it, indented"),
    "string_too_short": ("this is empty", None),
    "string_pattern_mismatch": (
        "this is not written as a tag is",
        "letters, digits and . _ : / = + - are allowed, a letter or digit first",
    ),
}


def complain(error: ValidationError, sheet: Sheet) -> list[Problem]:
    """Return one problem for everything that the models refused."""
    return [_problem(dict(each), sheet) for each in error.errors(include_url=False)]


def title(sheet: Sheet, steps: Steps) -> str:
    """Return what a part of the file is called: `worker 'web'`, or `limits of worker 'web'`."""
    words = [str(step) for step in steps if isinstance(step, str) and step != "workers"]
    worker = ""
    if len(steps) >= 2 and steps[0] == "workers" and isinstance(steps[1], int):
        name = sheet.text((*steps[:2], "name"))
        worker = f"worker {name!r}" if name else f"worker {steps[1] + 1}"
    return " of ".join([*reversed(words), *([worker] if worker else [])]) or "the file"


def _problem(error: dict[str, Any], sheet: Sheet) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    steps: Steps = tuple(step for step in error["loc"] if step != "[key]")
    at = sheet.key_at(steps) if "[key]" in error["loc"] else sheet.value_at(steps)
    match kind:
        case "extra_forbidden":
            return _unknown(sheet, steps)
        case "missing":
            message = f"{steps[-1]!r} is missing in {title(sheet, steps[:-1])}"
            hint = "write 'version: 1' at the top" if steps == ("version",) else None
            return sheet.problem(at, "missing-key", message, hint=hint)
        case "said":
            return sheet.problem(at, "value", context["what"], hint=context.get("hint"))
        case "value_error":
            return sheet.problem(at, "value", f"this {context['error']}")
        case "tuple_type" if steps == ("workers",):
            hint = f"write '- name: {_name(sheet)}', and its keys below it, for each worker"
            return sheet.problem(at, "value", "this must be a list", hint=hint)
        case "literal_error":
            return sheet.problem(at, "value", f"this must be {context['expected']}")
        case _:
            return _by_kind(sheet, at, error)


def _name(sheet: Sheet) -> str:
    """Return what somebody calls the first worker who wrote a mapping; else an example."""
    first = next(iter(sheet.keys(("workers",))), "")
    is_name = len(first) <= _KEY_CHARS and first not in Worker.model_fields
    return first if is_name and re.fullmatch(NAME, first, re.ASCII) else "web"


def _by_kind(sheet: Sheet, at: Mark, error: Mapping[str, Any]) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _SENTENCES:
        message, hint = _SENTENCES[kind]
        return sheet.problem(at, "value", message, hint=hint)
    return sheet.problem(at, "value", _range(kind, context) or f"this cannot be: {error['msg']}")


def _range(kind: str, context: Mapping[str, Any]) -> str | None:
    """Return what is wrong with something that is too much or too little."""
    match kind:
        case "greater_than_equal":
            return f"this must be at least {context['ge']:,}"
        case "greater_than":
            return f"this must be more than {context['gt']:,}"
        case "less_than_equal":
            return f"this must be at most {context['le']:,}"
        case "string_too_long":
            return f"this is longer than {context['max_length']:,} characters"
        case "too_long":
            return f"these are more than {context['max_length']:,}"
        case "too_short":
            return "this list is empty; leave it out, or put something in it"
        case _:
            return None


def _unknown(sheet: Sheet, steps: Steps) -> Problem:
    *around, key = steps
    part = next((s for s in reversed(around) if isinstance(s, str) and s in _PARTS), None)
    known = list((_PARTS[part] if part is not None else File).model_fields)
    meant = _MEANT.get(str(key).lower())
    close = difflib.get_close_matches(str(key).lower().replace("-", "_"), known, 1, 0.6)
    guess = close[0] if close else meant if meant in known else None
    shown = str(key) if len(str(key)) <= _KEY_CHARS else f"{str(key)[:_KEY_CHARS]}…"
    message = f"unknown key {shown!r} in {title(sheet, tuple(around))}"
    if guess is not None:
        message += f": did you mean {guess!r}?"
    hint = None if guess is not None else f"there are: {', '.join(known)}"
    return sheet.problem(sheet.key_at(steps), "unknown-key", message, hint=hint)
