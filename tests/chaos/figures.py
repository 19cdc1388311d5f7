"""The figures of a run: what was done, what was hit, what became of it. Pure."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.case import TERMINAL, Case, seconds
from tests.chaos.records import Blow, Run


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts, and how long it took from grant to start."""

    submitted: int
    acked: int
    unknown: int
    states: Mapping[str, int]
    outcomes: Mapping[str, int]
    late: int
    kills: Mapping[str, int]
    """target → kills."""
    leased_kills: Mapping[str, int]
    """target → kills that landed while an attempt was leased there."""
    window_kills: int
    """Kills between a grant and the start of its command."""
    window_ms: tuple[float, float, float]
    """From grant to start: median, 99 in 100, longest."""
    starts: int
    blows: Mapping[str, int]
    met: Mapping[str, int] = field(default_factory=dict)
    """fault of a link → requests that met it."""


@dataclass(frozen=True, slots=True)
class _Stay:
    """A time in which somebody held an attempt."""

    host: str
    since: float
    until: float
    started: float | None
    """When its command began to run, if it ever did."""


def figures(run: Run) -> Figures:
    """Count."""
    case = Case(run)
    kills = [blow for blow in run.blows if blow.what == "kill"]
    stays = list(_stays(case))
    windows = [(stay.started - stay.since) * 1000 for stay in stays if stay.started]
    return Figures(
        submitted=len(case.plans),
        acked=len({note.op for note in case.notes("submit", "ok")}),
        unknown=sum(1 for note in run.notes if note.type == "info"),
        states=Counter(seen.job["state"] for seen in run.seen),
        outcomes=Counter(str(attempt["outcome"]) for _, attempt in case.attempts()),
        late=sum(1 for _, attempt in case.attempts() if attempt["late_result"] is not None),
        kills=Counter(blow.target for blow in kills),
        leased_kills=Counter(b.target for b in kills if any(_holds(s, b) for s in stays)),
        window_kills=sum(1 for b in kills if any(_before_start(s, b) for s in stays)),
        window_ms=(percentile(windows, 0.5), percentile(windows, 0.99), max(windows, default=0.0)),
        starts=sum(len(found) for found in case.starts.values()),
        blows=Counter(f"{blow.what} {blow.target}" for blow in run.blows if blow.what != "kill"),
        met=run.remains.get("met", {}),
    )


def _stays(case: Case) -> Iterator[_Stay]:
    """Yield the stay of each attempt of a command."""
    where = case.run.remains.get("where", {})
    for seen, attempt in case.attempts():
        if seen.job["kind"] != "command":
            continue
        starts = case.starts.get((seen.job["id"], attempt["number"]), [])
        over = attempt["finished_at"]
        yield _Stay(
            where.get(f"{seen.job['id']} {attempt['number']}", ""),
            seconds(attempt["claimed_at"]),
            seconds(over) if over else math.inf,
            starts[0].at if starts else None,
        )


def _holds(stay: _Stay, blow: Blow) -> bool:
    """Tell whether a blow fell on whoever held an attempt: its machine, or the server."""
    return stay.since <= blow.at <= stay.until and blow.host in {"", stay.host}


def _before_start(stay: _Stay, blow: Blow) -> bool:
    """Tell whether a blow fell after the grant, and before the command began to run."""
    return _holds(stay, blow) and (stay.started is None or blow.at < stay.started)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all values do not exceed; 0 when there are none."""
    if not values:
        return 0.0
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


def text(told: Figures) -> str:
    """Return the figures for people."""
    median, most, longest = told.window_ms
    return "\n".join(
        [
            _row("jobs", f"{told.submitted} submitted, {told.acked} acknowledged"),
            _row("", f"{told.unknown} answers were lost or broken"),
            _row("states", _counts(told.states)),
            _row("attempts", _counts(told.outcomes)),
            _row("", f"{told.starts} starts of commands, {told.late} late results"),
            _row("kills", f"{sum(told.kills.values())}: {_counts(told.kills)}"),
            _row("leased", f"{sum(told.leased_kills.values())}: {_counts(told.leased_kills)}"),
            _row("window", f"median {median:.0f} ms, p99 {most:.0f} ms, longest {longest:.0f} ms"),
            _row("", f"{told.window_kills} kills fell between a grant and its start"),
            _row("other harm", _counts(told.blows)),
            _row("requests", _counts(told.met)),
        ]
    )


def _row(title: str, words: str) -> str:
    return f"{title:<11}{words}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def unfinished(jobs: Sequence[dict[str, Any]]) -> int:
    """Return how many of these jobs have not ended."""
    return sum(1 for job in jobs if job["state"] not in TERMINAL)
