"""What the running jobs of this machine use: processor time and memory of each whole tree.

The tree is everything below the process that watches the job, so what a command started in its
background, and let go of, counts as well. Nothing of it comes from the orchestrator: this machine's
kernel knows, and whoever looks may look at their own processes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from orchestrator.protocol.machine import WorkerStatus


@dataclass(frozen=True, slots=True)
class Usage:
    """What one job uses; the share of a processor is known from the second look on."""

    processes: int
    memory_bytes: int
    cpu_percent: float | None = None


class Sampler:
    """Looks at jobs again and again."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, dict[int, float]]] = {}
        """By the pid of a command: when it was looked at, and what each process had used then."""

    def look(self, workers: Iterable[WorkerStatus], *, now: float) -> dict[str, Usage]:
        """Return what each running job uses; one that cannot be seen is left out."""
        pids = {job.job: job.pid for worker in workers for job in worker.running if job.pid}
        found = {job: usage for job, pid in pids.items() if (usage := self._of(pid, now=now))}
        self._before = {pid: before for pid, before in self._before.items() if pid in pids.values()}
        return found

    def _of(self, pid: int, *, now: float) -> Usage | None:
        times: dict[int, float] = {}
        memory = 0
        for process in _tree(pid):
            try:
                with process.oneshot():
                    used = process.cpu_times()
                    memory += process.memory_info().rss
            except psutil.Error:
                continue  # it has just ended
            times[process.pid] = used.user + used.system
        if not times:
            return None
        at, before = self._before.get(pid, (now, {}))
        self._before[pid] = (now, times)
        cpu = None
        if now > at:
            spent = sum(time - before.get(one, 0.0) for one, time in times.items())
            cpu = 100 * max(0.0, spent) / (now - at)
        return Usage(processes=len(times), memory_bytes=memory, cpu_percent=cpu)


def _tree(pid: int) -> Iterable[psutil.Process]:
    try:
        watcher = psutil.Process(pid).parent()
        return [] if watcher is None else watcher.children(recursive=True)
    except psutil.Error:
        return []
