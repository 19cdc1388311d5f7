"""The one reviewed table of who may call what, and how long a body may be.

A route that is not in this table cannot be called, whatever the router says: absence is refusal.
A test walks the router and compares, so that neither can have what the other has not.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from orchestrator.protocol import limits
from orchestrator.protocol.words import Scope

PUBLIC: Final = frozenset({"/health", "/api/health", "/ready"})
"""Exactly these paths need no credential: they say nothing that an address does not say."""
PUBLIC_METHODS: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One route: the scope that it asks for, the longest body that it reads, and what it shows.

    A route that does one thing and answers with another, as a cancel does with a job and its
    result, asks for the scope of what it shows as well.
    """

    method: str
    path: str
    scope: Scope
    body: int = 0
    shows: Scope | None = None
    vital: bool = False
    """Taken in also while the disk is full, from the room that is kept back for it."""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Return all scopes that it asks for."""
        return (self.scope,) if self.shows is None else (self.scope, self.shows)

    @property
    def may_wait(self) -> bool:
        """Tell whether it is refused while the disk is full."""
        return self.method not in PUBLIC_METHODS and not self.vital


_JSON: Final = limits.JSON_BODY_BYTES
_UPLOAD: Final = 2**63
"""Bounded by the setting for uploads, where the file is received."""

RULES: Final = (
    Rule("POST", "/api/v1/jobs", Scope.JOBS_WRITE, _JSON),
    Rule("GET", "/api/v1/jobs", Scope.JOBS_READ),
    Rule("GET", "/api/v1/jobs/{job_id}", Scope.JOBS_READ),
    Rule("PATCH", "/api/v1/jobs/{job_id}", Scope.JOBS_WRITE, _JSON, Scope.JOBS_READ),
    Rule("DELETE", "/api/v1/jobs/{job_id}", Scope.JOBS_WRITE, vital=True),
    Rule(
        "POST",
        "/api/v1/jobs/{job_id}/cancel",
        Scope.JOBS_CANCEL,
        _JSON,
        Scope.JOBS_READ,
        vital=True,
    ),
    Rule("POST", "/api/v1/jobs/{job_id}/retry", Scope.JOBS_WRITE, _JSON, Scope.JOBS_READ),
    Rule("POST", "/api/v1/jobs/hold", Scope.JOBS_WRITE, _JSON, Scope.JOBS_READ),
    Rule("POST", "/api/v1/jobs/release", Scope.JOBS_WRITE, _JSON, Scope.JOBS_READ),
    Rule("GET", "/api/v1/dead-letters", Scope.JOBS_READ),
    Rule("POST", "/api/v1/bulk", Scope.JOBS_WRITE, _JSON, Scope.JOBS_READ),
    Rule("GET", "/api/v1/bulk/{bulk_id}", Scope.JOBS_READ),
    Rule("GET", "/api/v1/retention", Scope.ADMIN),
    Rule("POST", "/api/v1/retention/prune", Scope.ADMIN, vital=True),
    Rule("POST", "/api/v1/batches", Scope.JOBS_WRITE, _JSON),
    Rule("GET", "/api/v1/batches", Scope.JOBS_READ),
    Rule("GET", "/api/v1/batches/{batch_id}", Scope.JOBS_READ),
    Rule("GET", "/api/v1/batches/{batch_id}/jobs", Scope.JOBS_READ),
    Rule("POST", "/api/v1/batches/{batch_id}/jobs", Scope.JOBS_WRITE, _JSON),
    Rule("POST", "/api/v1/batches/{batch_id}/close", Scope.JOBS_WRITE, _JSON),
    Rule("POST", "/api/v1/batches/{batch_id}/cancel", Scope.JOBS_CANCEL, _JSON, vital=True),
    Rule("POST", "/api/v1/batches/{batch_id}/retry-failed", Scope.JOBS_WRITE, _JSON),
    Rule("GET", "/api/v1/jobs/{job_id}/explain", Scope.JOBS_READ, shows=Scope.WORKERS_READ),
    Rule("GET", "/api/v1/jobs/{job_id}/events", Scope.JOBS_READ),
    Rule("GET", "/api/v1/jobs/{job_id}/events/stream", Scope.JOBS_READ),
    Rule("GET", "/api/v1/jobs/{job_id}/output", Scope.OUTPUT_READ),
    Rule("GET", "/api/v1/jobs/{job_id}/output/raw", Scope.OUTPUT_READ),
    Rule("GET", "/api/v1/jobs/{job_id}/output/stream", Scope.OUTPUT_READ, shows=Scope.JOBS_READ),
    Rule("POST", "/api/v1/schedules", Scope.JOBS_WRITE, _JSON, Scope.JOBS_READ),
    Rule("GET", "/api/v1/schedules", Scope.JOBS_READ),
    Rule("POST", "/api/v1/schedules/preview", Scope.JOBS_READ, _JSON),
    Rule("GET", "/api/v1/schedules/{schedule}", Scope.JOBS_READ),
    Rule("PATCH", "/api/v1/schedules/{schedule}", Scope.JOBS_WRITE, _JSON, Scope.JOBS_READ),
    Rule("DELETE", "/api/v1/schedules/{schedule}", Scope.JOBS_WRITE, vital=True),
    Rule(
        "POST",
        "/api/v1/schedules/{schedule}/pause",
        Scope.JOBS_WRITE,
        0,
        Scope.JOBS_READ,
        vital=True,
    ),
    Rule("POST", "/api/v1/schedules/{schedule}/resume", Scope.JOBS_WRITE, 0, Scope.JOBS_READ),
    Rule("POST", "/api/v1/schedules/{schedule}/run", Scope.JOBS_WRITE, 0, Scope.JOBS_READ),
    Rule("GET", "/api/v1/schedules/{schedule}/preview", Scope.JOBS_READ),
    Rule("GET", "/api/v1/schedules/{schedule}/history", Scope.JOBS_READ),
    Rule("GET", "/api/v1/queues", Scope.JOBS_READ),
    Rule("GET", "/api/v1/queues/{queue}", Scope.JOBS_READ),
    Rule("PATCH", "/api/v1/queues/{queue}", Scope.ADMIN, _JSON),
    Rule("DELETE", "/api/v1/queues/{queue}", Scope.ADMIN),
    Rule("POST", "/api/v1/queues/{queue}/pause", Scope.ADMIN, _JSON, vital=True),
    Rule("POST", "/api/v1/queues/{queue}/resume", Scope.ADMIN),
    Rule("POST", "/api/v1/files", Scope.FILES_WRITE, _UPLOAD),
    Rule("GET", "/api/v1/workers", Scope.WORKERS_READ),
    Rule("GET", "/api/v1/workers/{worker}", Scope.WORKERS_READ),
    Rule(
        "POST",
        "/api/v1/workers/{worker}/quarantine",
        Scope.WORKERS_WRITE,
        _JSON,
        Scope.WORKERS_READ,
    ),
    Rule(
        "POST", "/api/v1/workers/{worker}/release", Scope.WORKERS_WRITE, _JSON, Scope.WORKERS_READ
    ),
    Rule("GET", "/api/openapi.json", Scope.JOBS_READ),
    Rule("POST", "/api/worker/v1/enrol", Scope.WORKER_ENROL, _JSON),
    Rule("POST", "/api/worker/v1/token", Scope.WORKER, _JSON),
    Rule("POST", "/api/worker/v1/sessions", Scope.WORKER, _JSON, vital=True),
    Rule("POST", "/api/worker/v1/claim", Scope.WORKER, _JSON),
    Rule("POST", "/api/worker/v1/report", Scope.WORKER, limits.REPORT_BYTES, vital=True),
    Rule("POST", "/api/worker/v1/heartbeat", Scope.WORKER, _JSON, vital=True),
    Rule("POST", "/api/worker/v1/goodbye", Scope.WORKER, _JSON, vital=True),
    Rule("POST", "/api/worker/v1/output", Scope.WORKER, limits.OUTPUT_POST_BYTES, vital=True),
    Rule("GET", "/api/worker/v1/files/{sha256}", Scope.WORKER),
)

_PART: Final = re.compile(r"\{[a-z0-9_]+\}")


def _pattern(path: str) -> re.Pattern[str]:
    """Return what matches a path template; a part is one segment, never empty."""
    fixed = [re.escape(piece) for piece in _PART.split(path)]
    return re.compile("[^/]+".join(fixed))


@dataclass(frozen=True, slots=True)
class _Place:
    """A path and the rules of its methods."""

    pattern: re.Pattern[str]
    rules: MappingProxyType[str, Rule]


def _places() -> dict[str, _Place]:
    methods: dict[str, dict[str, Rule]] = {}
    for rule in RULES:
        methods.setdefault(rule.path, {})[rule.method] = rule
    return {
        path: _Place(_pattern(path), MappingProxyType(rules)) for path, rules in methods.items()
    }


_PLACES: Final = _places()
_EXACT: Final = {path: place for path, place in _PLACES.items() if "{" not in path}
_TEMPLATES: Final = tuple(place for path, place in _PLACES.items() if "{" in path)


def rules_for(path: str) -> MappingProxyType[str, Rule] | None:
    """Return the rules of a path by method, or `None` when there is nothing at that path."""
    if exact := _EXACT.get(path):
        return exact.rules
    for place in _TEMPLATES:
        if place.pattern.fullmatch(path):
            return place.rules
    return None


def allows(scopes: frozenset[Scope], wanted: Scope) -> bool:
    """Tell whether scopes suffice. `admin` stands for all of them but a worker's own."""
    return wanted in scopes or (Scope.ADMIN in scopes and wanted is not Scope.WORKER)
