"""A machine's status as metrics, in the text format of Prometheus (version 0.0.4).

The library for it would be one more process-wide registry, for gauges that are all in one value
already. Names and labels are few and bounded: a machine has as many series as workers times ten.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Mapping
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
            yield f"{self.name}{{{shown}}} {value:g}" if shown else f"{self.name} {value:g}"


def text(status: MachineStatus) -> str:
    """Return everything that is measured."""
    return "".join(f"{line}\n" for family in families(status) for line in family.lines())


def families(status: MachineStatus) -> list[Family]:
    """Return everything that is measured, by name."""
    workers = status.workers
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


def _each(name: str, told: str, workers: Iterable[WorkerStatus], field: str) -> Family:
    values = ((worker.name, getattr(worker, field)) for worker in workers)
    samples = (({"worker": name}, float(value)) for name, value in values if value is not None)
    return Family(name, "gauge", told, tuple(samples))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
