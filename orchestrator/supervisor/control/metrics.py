"""A machine's status as metrics, in the text format of Prometheus (version 0.0.4).

The library for it would be one more process-wide registry, for gauges that are all in one value
already. Names and labels are few and bounded: a machine has as many series as workers times ten.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.protocol.machine import MachineStatus, WorkerStatus
from orchestrator.supervisor.logic.standing import WorkerState

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Family:
    """Samples of one name."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]

    def lines(self) -> Iterable[str]:
        """Yield the family as it is scraped; nothing, if there is no sample."""
        if not self.samples:
            return
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            shown = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            # Whole: six digits, as `:g` would leave, are not enough for bytes or a moment.
            told = f"{value:.0f}" if float(value).is_integer() else repr(value)
            yield f"{self.name}{{{shown}}} {told}" if shown else f"{self.name} {told}"


def text(status: MachineStatus) -> str:
    """Return everything that is measured."""
    return "".join(f"{line}\n" for family in families(status) for line in family.lines())


def families(status: MachineStatus) -> list[Family]:
    """Return everything that is measured, by name."""
    return [*_of_machine(status), *_of_workers(status.workers)]


def _of_machine(status: MachineStatus) -> list[Family]:
    rejected = 1.0 if status.config.banner else 0.0
    return [
        Family(
            "orchestrator_info",
            "gauge",
            "Which version runs here.",
            (({"version": status.version, "machine": status.machine}, 1.0),),
        ),
        Family(
            "orchestrator_max_jobs",
            "gauge",
            "Jobs that all workers together may run.",
            (({}, status.max_jobs),),
        ),
        Family(
            "orchestrator_config_rejected",
            "gauge",
            "1 while the configuration on the disk is not the one that is applied.",
            (({}, rejected),),
        ),
        Family(
            "orchestrator_config_looks_total",
            "counter",
            "How often the configuration was read, by what came of it.",
            tuple(({"result": word}, count) for word, count in status.config.results.items()),
        ),
        _one(
            "orchestrator_config_applied_timestamp_seconds",
            "When the configuration was applied last.",
            status.config.applied_at,
        ),
        _one(
            "orchestrator_loop_lag_seconds",
            "By how much its own work was late within the last minute, at its worst.",
            status.loop_lag_s,
        ),
    ]


def _of_workers(workers: Sequence[WorkerStatus]) -> list[Family]:
    return [
        Family(
            "orchestrator_worker_state",
            "gauge",
            "1 for the state that a worker is in.",
            tuple(
                ({"worker": worker.name, "state": str(state)}, float(worker.state == state))
                for worker in workers
                for state in WorkerState
            ),
        ),
        _each("orchestrator_worker_slots", "Jobs that it is configured for.", workers, "slots"),
        _each("orchestrator_worker_running", "Jobs that it runs.", workers, "running_count"),
        Family(
            "orchestrator_worker_starts_total",
            "counter",
            "Processes that it has had.",
            tuple(({"worker": worker.name}, float(worker.starts)) for worker in workers),
        ),
        _counted(
            "orchestrator_worker_ends_total",
            "Ends of its processes, by cause.",
            ((worker.name, "cause", worker.ends) for worker in workers),
        ),
        _counted(
            "orchestrator_worker_attempts_total",
            "Tries that ended since its process began, by outcome.",
            ((worker.name, "outcome", worker.attempts) for worker in workers),
        ),
        _counted(
            "orchestrator_worker_ended_kinds_total",
            "Tries that ended since its process began, by kind.",
            ((worker.name, "kind", worker.ended_kinds) for worker in workers),
        ),
        _counted(
            "orchestrator_worker_running_kinds",
            "Jobs that it runs, by kind.",
            ((worker.name, "kind", worker.running_kinds) for worker in workers),
            kind="gauge",
        ),
        _each(
            "orchestrator_worker_leftovers_total",
            "Processes that jobs had left behind, and that were killed, since its process began.",
            workers,
            "leftovers",
            kind="counter",
        ),
        _each(
            "orchestrator_worker_contact_age_seconds",
            "How long its server has said nothing.",
            workers,
            "contact_age_s",
        ),
        _each(
            "orchestrator_worker_waiting_bytes",
            "What its server does not have yet.",
            workers,
            "waiting_bytes",
        ),
    ]


def _one(name: str, told: str, value: float | None) -> Family:
    return Family(name, "gauge", told, () if value is None else (({}, value),))


def _counted(
    name: str,
    told: str,
    counts: Iterable[tuple[str, str, Mapping[str, int]]],
    *,
    kind: str = "counter",
) -> Family:
    samples = (
        ({"worker": worker, label: word}, float(count))
        for worker, label, words in counts
        for word, count in words.items()
    )
    return Family(name, kind, told, tuple(samples))


def _each(
    name: str, told: str, workers: Iterable[WorkerStatus], field: str, *, kind: str = "gauge"
) -> Family:
    values = ((worker.name, getattr(worker, field)) for worker in workers)
    samples = (({"worker": name}, float(value)) for name, value in values if value is not None)
    return Family(name, kind, told, tuple(samples))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
