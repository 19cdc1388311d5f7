"""Jobs with every default, so that a test names only what matters to it.

All come from the same JSON that a person would send, because that is where strictness begins.
"""

import json
from typing import Any

from orchestrator.protocol.jobs import JobSpec


def command(*argv: str, params: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return the JSON of a command job: `true`, unless `argv` says otherwise."""
    given = {"argv": list(argv or ("true",)), **(params or {})}
    return {"kind": "command", "params": given, **fields}


def script(text: str, *, params: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return the JSON of a job that gives `text` to a shell."""
    given = {"script": text, "shell": True, **(params or {})}
    return {"kind": "command", "params": given, **fields}


def delay(ms: int = 0, **fields: Any) -> dict[str, Any]:
    """Return the JSON of a job that only waits."""
    return {"kind": "delay", "params": {"ms": ms}, **fields}


def spec(job: dict[str, Any] | None = None, **fields: Any) -> JobSpec:
    """Return a job (by default `true`) as the server would read it from a request."""
    return JobSpec.model_validate_json(json.dumps({**(job or command()), **fields}))
