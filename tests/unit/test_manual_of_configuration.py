"""The manual's table of the configuration is that of the models, and of the plan of a change."""

import re
from typing import Final

import pytest
from pydantic import BaseModel

from orchestrator.supervisor.config.model import (
    Disk,
    File,
    Limits,
    Log,
    Machine,
    Metrics,
    Server,
    Worker,
)
from orchestrator.supervisor.config.quantities import duration_s, size_bytes
from orchestrator.supervisor.logic.plan import OF_MACHINES, OF_SERVERS, OF_WORKERS, When
from tests.support import documents

PARTS: Final[dict[str, type[BaseModel]]] = {
    "": File,
    "server.": Server,
    "machine.": Machine,
    "machine.disk.": Disk,
    "machine.metrics.": Metrics,
    "machine.log.": Log,
    "workers[].": Worker,
    "workers[].limits.": Limits,
}
INNER: Final = {"server", "machine", "defaults", "workers", "disk", "limits", "metrics", "log"}
OLD: Final = {"convex_url"}
"""Told in the row of its new name."""
PLANNED: Final = {
    "drain_timeout": "drain_timeout_s",
    "env_file": "env",
    "kill_grace": "kill_grace_s",
    "listen": "port",
    "min_free": "min_free_bytes",
    "server_url": "identity",
    "spool_max": "spool_max_bytes",
    "watch_config": "watch",
}
"""What a key becomes among the wanted values."""
WHENS: Final = {
    "now": When.NOW,
    "next job": When.NEXT_JOB,
    "next start": When.NEXT_START,
    "drains and restarts": When.RESTARTS,
}
ROWS: Final = {
    row[0].strip("`"): row[1:]
    for row in documents.rows(documents.section("ORCHESTRATOR.md", "Keys"))
}


def _fields() -> dict[str, tuple[str, type[BaseModel]]]:
    return {
        prefix + name: (name, part)
        for prefix, part in PARTS.items()
        for name in part.model_fields
        if name not in INNER | OLD
    }


def test_every_key_is_explained() -> None:
    """Each key of the models has its row, and there is no row without a key."""
    assert set(ROWS) == set(_fields())


@pytest.mark.parametrize("key", _fields())
def test_what_is_meant_without_a_key_is_told(key: str) -> None:
    """Where a default is a value, the manual has the same one."""
    name, part = _fields()[key]
    field = part.model_fields[name]
    told = re.match(r"`([^`]+)`", ROWS[key][1])

    if field.is_required():
        assert ROWS[key][1] == "needed"
    elif told and field.default is not None and name != "listen":
        assert _same(told[1], field.default), key


def _same(told: str, default: object) -> bool:
    for read in (duration_s, size_bytes):
        try:
            return read(told) == default
        except ValueError:
            continue
    return told in {str(default), str(default).lower()}


@pytest.mark.parametrize("key", [key for key in _fields() if key != "version"])
def test_when_a_change_applies_is_told(key: str) -> None:
    """The last column is what the plan of a reload says of the same value."""
    name, _ = _fields()[key]
    prefix = key.removesuffix(name)
    planned = PLANNED.get(name, name)
    every: dict[str, dict[str, When | None]] = {
        "": {"include": When.NOW},
        "server.": dict(OF_SERVERS),
        "machine.": dict(OF_MACHINES) | {"tags": OF_WORKERS["tags"]},
        "machine.disk.": dict(OF_MACHINES),
        "machine.metrics.": {planned: OF_MACHINES["metrics"], name: OF_MACHINES["metrics"]},
        "machine.log.": {planned: OF_MACHINES["log"]},
        "workers[].": dict(OF_WORKERS) | {"token": When.RESTARTS},
        "workers[].limits.": {planned: OF_WORKERS["limits"]},
    }
    whens = every[prefix]
    if name == "embedded":
        whens["embedded"] = When.NOW

    told = ROWS[key][2].partition(";")[0]

    assert WHENS[told] is whens[planned]
