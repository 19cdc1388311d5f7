"""What changes between two configurations, for whom, and when it applies.

    web: concurrency 1→2 (now) · api: env (next job) · db: server_url (drains, then restarts)

One table says of every key of the wanted values when a change of it applies; a test walks the
values, so none is forgotten. Who is who is decided by identity and not by name: a worker that is
called something else is the same one. Nothing here does anything, and no secret is shown.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.supervisor.logic.wanted import (
    JobLimits,
    MachineWanted,
    ServerWanted,
    WorkerIdentity,
    WorkerWanted,
)


class When(StrEnum):
    """When a change applies. Beyond *next start* the worker's process does not outlive it."""

    NOW = "now"
    NEXT_JOB = "next job"
    NEXT_START = "next start"
    RESTARTS = "drains, then restarts"
    ENDS = "drains, then ends"


OF_WORKERS: Final[Mapping[str, When | None]] = MappingProxyType(
    {
        "name": When.NOW,
        "identity": When.RESTARTS,
        "token": When.NOW,  # of the same worker: only its secret
        "working_directory": When.RESTARTS,
        "place": None,  # where it stands in a file changes nothing
        "enabled": When.NOW,
        "paused": When.NOW,
        "create_working_directory": When.NEXT_START,
        "allow_insecure": When.RESTARTS,
        "concurrency": When.NOW,
        "tags": When.NOW,
        "kinds": When.NOW,
        "env": When.NEXT_JOB,
        "env_pass": When.NEXT_JOB,
        "limits": When.NEXT_JOB,
        "canary": When.NOW,
        "kill_grace_s": When.NEXT_JOB,
        "drain_timeout_s": When.NOW,
    }
)
OF_MACHINES: Final[Mapping[str, When | None]] = MappingProxyType(
    {
        "server": None,  # has keys of its own
        "workers": None,  # the same
        "name": When.NOW,
        "max_jobs": When.NOW,
        "drain_timeout_s": When.NOW,
        "keep_jobs_on_stop": When.NOW,
        "min_free_bytes": When.NOW,
        "spool_max_bytes": When.NOW,
        "metrics": When.NOW,
        "log": When.NOW,
        "watch": When.NOW,
    }
)
OF_SERVERS: Final[Mapping[str, When | None]] = MappingProxyType(
    {
        "host": When.RESTARTS,
        "port": When.RESTARTS,
        "insecure_http": When.RESTARTS,
        "data_dir": When.RESTARTS,
    }
)
_SHOWN: Final = (bool, int, float)
"""Types whose values are shown: none of them can be a secret."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key that has another value."""

    key: str
    when: When
    values: str = ""
    """The old one and the new one, where they are short and no secret."""

    @property
    def words(self) -> str:
        """Return it without the time at which it applies."""
        return f"{self.key} {self.values}".strip()


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What becomes of one worker: it is added (no old), removed (no new), or changed."""

    old: WorkerWanted | None
    new: WorkerWanted | None
    changes: tuple[Change, ...] = ()

    @property
    def name(self) -> str:
        """Return what it is called from now on."""
        known = self.new or self.old
        return known.name if known is not None else ""

    @property
    def restarts(self) -> bool:
        """Tell whether its process has to give way to another one."""
        return any(change.when is When.RESTARTS for change in self.changes)

    def __str__(self) -> str:
        """Return it in words."""
        if self.old is None:
            return f"{self.name}: added ({'starts' if _runs(self.new) else 'disabled'})"
        if self.new is None:
            return f"{self.name}: removed ({'drains' if _runs(self.old) else 'was disabled'})"
        return f"{self.name}: {_in_words(self.changes)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that changes."""

    workers: tuple[WorkerPlan, ...]
    machine: tuple[Change, ...] = ()
    server: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything changes."""
        return bool(self.workers or self.machine or self.server)

    def lines(self) -> list[str]:
        """Return it in words, a line for each part of it."""
        machine = [f"machine: {_in_words(self.machine)}"] if self.machine else []
        server = [f"server: {_in_words(self.server)}"] if self.server else []
        return [*machine, *server, *map(str, self.workers)]

    def __str__(self) -> str:
        """Return it in one line."""
        return " · ".join(self.lines()) or "nothing changes"


def plan(old: MachineWanted, new: MachineWanted) -> Plan:
    """Return what has to be done to come from one to the other."""
    pairs = pair(old.workers, new.workers)
    return Plan(
        workers=tuple(
            found
            for before, after in pairs
            if (found := WorkerPlan(before, after, tuple(_of_worker(before, after)))).changes
            or before is None
            or after is None
        ),
        machine=tuple(_changes(old, new, OF_MACHINES)),
        server=tuple(_of_server(old.server, new.server)),
    )


def pair(
    old: Sequence[WorkerWanted], new: Sequence[WorkerWanted]
) -> list[tuple[WorkerWanted | None, WorkerWanted | None]]:
    """Return who became whom, in the order of the new ones; who was removed comes last.

    First by identity; then the same worker at another address of its server; then by name, for one
    that was given another token: a person who edits an entry means that worker.
    """
    found: dict[int, WorkerWanted] = {}
    left = list(old)
    for same in (_same_identity, _same_worker_id, _same_name):
        for at, after in enumerate(new):
            before = next((one for one in left if at not in found and same(one, after)), None)
            if before is not None:
                found[at] = before
                left.remove(before)
    return [(found.get(at), after) for at, after in enumerate(new)] + [(one, None) for one in left]


def identity(worker: WorkerWanted) -> WorkerIdentity:
    """Return who a worker is; one that is enrolled here goes by its name."""
    return worker.identity if worker.identity.worker_id else WorkerIdentity("", "", worker.name)


def _same_identity(one: WorkerWanted, other: WorkerWanted) -> bool:
    return identity(one) == identity(other)


def _same_worker_id(one: WorkerWanted, other: WorkerWanted) -> bool:
    return identity(one)[1:] == identity(other)[1:]


def _same_name(one: WorkerWanted, other: WorkerWanted) -> bool:
    return one.name == other.name


def _of_worker(old: WorkerWanted | None, new: WorkerWanted | None) -> Iterator[Change]:
    if old is None or new is None:
        return
    for change in _changes(old, new, OF_WORKERS):
        match change.key:
            case "name":
                yield Change(f"renamed from {old.name}", change.when)
            case "identity":
                yield from _of_identity(identity(old), identity(new))
            case "token" if identity(old) != identity(new):
                pass  # said with the identity
            case "enabled":
                yield Change("enabled" if new.enabled else "disabled", change.when)
            case "limits":
                yield from _of_limits(old.limits, new.limits)
            case _:
                yield change


def _of_identity(old: WorkerIdentity, new: WorkerIdentity) -> Iterator[Change]:
    differing = {"token": old[1:] != new[1:], "server_url": old.server_url != new.server_url}
    yield from (Change(key, When.RESTARTS) for key, differs in differing.items() if differs)


def _of_limits(old: JobLimits, new: JobLimits) -> Iterator[Change]:
    every = {one.name: OF_WORKERS["limits"] for one in dataclasses.fields(JobLimits)}
    for change in _changes(old, new, every):
        yield dataclasses.replace(change, key=f"limits.{change.key}")


def _of_server(old: ServerWanted | None, new: ServerWanted | None) -> Iterator[Change]:
    if old is not None and new is not None:
        yield from _changes(old, new, OF_SERVERS)
    elif old is not new:
        yield Change("added", When.NOW) if old is None else Change("removed", When.ENDS)


def _changes(
    old: WorkerWanted | MachineWanted | ServerWanted | JobLimits,
    new: WorkerWanted | MachineWanted | ServerWanted | JobLimits,
    table: Mapping[str, When | None],
) -> Iterator[Change]:
    for key, when in table.items():
        before, after = getattr(old, key), getattr(new, key)
        if when is not None and before != after:
            yield Change(_spoken(key), when, _values(key, before, after))


def _spoken(key: str) -> str:
    """Return the word of the file: there a value says its unit itself."""
    return key.removesuffix("_s").removesuffix("_bytes")


def _values(key: str, old: object, new: object) -> str:
    if not all(value is None or isinstance(value, _SHOWN) for value in (old, new)):
        return ""
    unit = " s" if key.endswith("_s") else ""
    before, after = (_value(value, unit) for value in (old, new))
    return f"{before}→{after}"


def _value(value: object, unit: str) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}{unit}" if isinstance(value, float) else f"{value}{unit}"


def _runs(worker: WorkerWanted | None) -> bool:
    return worker is not None and worker.enabled


def _in_words(changes: Iterable[Change]) -> str:
    """Return changes, those of one time together: `concurrency 1→2, tags (now)`."""
    times: dict[When, list[str]] = {}
    for change in changes:
        times.setdefault(change.when, []).append(change.words)
    return ", ".join(f"{', '.join(words)} ({when})" for when, words in times.items())
