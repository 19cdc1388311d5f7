"""The machine as lines of a screen of so many columns and rows: pure, it is given everything.

What matters most comes first and survives a small screen: the machine, its workers with their
reasons, their jobs, then as much of the log as there is room for. Nothing of a job or a log can act
on the terminal, because every line is escaped and cut to the width here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.cells import cell_len, set_cell_size

from orchestrator.commands.escape import one_line
from orchestrator.commands.machine.status import STYLES, following
from orchestrator.commands.machine.top.usage import Usage
from orchestrator.commands.moments import ago
from orchestrator.protocol.machine import MachineStatus, WorkerStatus

KEYS: Final = "↑↓ choose  p pause/resume  d drain  r restart  c cancel a job  q quit"
LOG_ROWS: Final = 5
"""So many lines of the log there are at least, where the screen has room for anything else."""
_CODES: Final = {"green": "32", "cyan": "36", "yellow": "33", "red": "31", "dim": "2"}
_UNITS: Final = ("B", "K", "M", "G", "T")
_HEAD: Final = ("WORKER", "STATE", "FOR", "JOBS", "WHY")
_JOB_HEAD: Final = ("JOB", "WORKER", "FOR", "CPU%", "MEMORY", "PROCS", "NAME")
_WIDTHS: Final = (16, 12, 7, 7, 0)
_JOB_WIDTHS: Final = (32, 16, 7, 7, 7, 6, 0)
_JOB_NARROW: Final = (12, 10, 6, 6, 7, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that there is to be seen."""

    status: MachineStatus | None
    usage: Mapping[str, Usage]
    log: Sequence[str]
    message: str = ""
    """What came of the last key, or what is wrong."""
    chosen: str | None = None
    """The worker, or the job, that the keys are about."""
    now: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """A line, and how it looks."""

    text: str
    style: str = ""
    chosen: bool = False

    def shown(self, *, colour: bool) -> str:
        """Return it with the sequences of a terminal around it."""
        codes = [_CODES[self.style]] if colour and self.style in _CODES else []
        codes += ["1"] if self.style == "head" else []
        codes += ["7"] if self.chosen else []
        return f"\x1b[{';'.join(codes)}m{self.text}\x1b[0m" if codes else self.text


def lines(view: View, *, width: int, height: int) -> list[Line]:
    """Return exactly as many lines as there are rows, none wider than the screen."""
    width, height = max(1, width), max(1, height)
    foot = Line(view.message or KEYS, "dim")
    if view.status is None:
        return _fitted([Line("no answer", "red")], [foot], width, height)
    head = [Line(text) for text in summary(view.status, now=view.now)]
    body = [*_workers(view, width), Line(""), *_jobs(view, width)]
    room = height - len(head) - 2
    body = body[: max(0, room - min(LOG_ROWS, room // 3))]
    left = room - len(body) - 2
    log = [Line(text, "dim") for text in view.log[-left:]] if left > 0 else []
    rest = [Line(""), Line("LOG", "head"), *log] if log else []
    return _fitted([*head, Line(""), *body, *rest], [foot], width, height)


def plain(view: View, *, width: int = 0) -> list[str]:
    """Return everything for a pipe: nothing is cut, and nothing acts."""
    if view.status is None:
        return []
    told = [
        *(Line(text) for text in summary(view.status, now=view.now)),
        Line(""),
        *_workers(view, width),
        Line(""),
        *_jobs(view, width),
    ]
    log = ["", "LOG", *view.log] if view.log else []
    return [one_line(text).rstrip() for text in (*(line.text for line in told), *log)]


def summary(status: MachineStatus, *, now: datetime) -> list[str]:
    """Return what is to be said of the machine as a whole."""
    up = ago(status.started_at, now=now)
    first = f"{status.machine or 'not configured'}  up {up}  pid {status.pid}  {status.version}"
    if status.phase != "running":
        first += f"  {status.phase.upper()}"
    ready = sum(worker.state in {"ready", "busy"} for worker in status.workers)
    second = (
        f"workers {ready}/{len(status.workers)} ready  "
        f"jobs {status.running_count} of at most {status.max_jobs}"
    )
    if status.server is not None:
        second += f"  server {status.server.state}"
    told = [first, second]
    if status.config.banner is not None:
        told.append(f"BROKEN {status.config.banner.message}")
    return told


def _workers(view: View, width: int) -> list[Line]:
    workers = [] if view.status is None else view.status.workers
    rows = [_worker(worker, view.now) for worker in workers]
    head, *cells = _columns([_HEAD, *rows], _WIDTHS, width)
    shown = [
        Line(text, STYLES.get(worker.state, "red"), worker.name == view.chosen)
        for text, worker in zip(cells, workers, strict=True)
    ]
    return [Line(head, "head"), *shown]


def _worker(worker: WorkerStatus, now: datetime) -> tuple[str, ...]:
    why = " · ".join(filter(None, (worker.reason, following(worker, now=now))))
    jobs = f"{worker.running_count}/{worker.slots}"
    return worker.name, worker.state, ago(worker.since, now=now), jobs, why


def _jobs(view: View, width: int) -> list[Line]:
    rows: list[tuple[str, ...]] = []
    jobs = []
    for worker in [] if view.status is None else view.status.workers:
        for job in worker.running:
            usage = view.usage.get(job.job)
            jobs.append(job.job)
            rows.append(
                (
                    job.job,
                    worker.name,
                    ago(job.started_at, now=view.now),
                    "-"
                    if usage is None or usage.cpu_percent is None
                    else f"{usage.cpu_percent:.0f}",
                    "-" if usage is None else size(usage.memory_bytes),
                    "-" if usage is None else str(usage.processes),
                    job.name or "",
                )
            )
    if not rows:
        return []
    widths = _JOB_WIDTHS if not width or width >= 80 else _JOB_NARROW
    head, *cells = _columns([_JOB_HEAD, *rows], widths, width)
    shown = [Line(text, chosen=job == view.chosen) for text, job in zip(cells, jobs, strict=True)]
    return [Line(head, "head"), *shown]


def _columns(rows: Sequence[Sequence[str]], widths: Sequence[int], width: int) -> list[str]:
    """Return rows in columns; a column has what it needs, but no more than its width allows."""
    needed = [
        max(cell_len(one_line(cell)) for cell in column) for column in zip(*rows, strict=True)
    ]
    wide = [
        need if not most or not width else min(need, most)
        for need, most in zip(needed, widths, strict=True)
    ]
    return ["  ".join(map(_cell, row, wide)).rstrip() for row in rows]


def _cell(text: str, width: int) -> str:
    text = one_line(text)
    if cell_len(text) > width:
        return set_cell_size(text, max(0, width - 1)) + "…"
    return set_cell_size(text, width)


def size(count: float) -> str:
    """Return bytes in three digits and a letter."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f}{unit}" if unit == "B" or count >= 10 else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.0f}{_UNITS[-1]}"


def _fitted(top: list[Line], foot: list[Line], width: int, height: int) -> list[Line]:
    """Return the lines of a whole screen."""
    room = max(0, height - len(foot))
    top = [*top, *[Line("")] * room][:room]
    return [
        Line(set_cell_size(one_line(line.text), width), line.style, line.chosen)
        for line in [*top, *foot][:height]
    ]
