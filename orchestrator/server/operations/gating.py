"""What the gates are asked with: the queues, the attempts that live, and the last starts.

Everything is counted from the rows as they are now, and only if a line that somebody asks about
could be kept back by it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from orchestrator.core.gates import Gate, QueueRules, Usage, closed_gate
from orchestrator.core.line import Line, Rate
from orchestrator.server.operations.lines import has_limits, line_of_row
from orchestrator.server.store.interface import Reader

_QUEUES: Final = """
    SELECT name, weight, max_running, paused_us IS NOT NULL AS paused, passed FROM queue
"""
_LIVE: Final = """
    SELECT line.id, line.queue, line.fairness_key, line.limits, live.attempts
    FROM (
        SELECT line_id, count(*) AS attempts FROM job WHERE session_id > '' GROUP BY line_id
    ) AS live JOIN line ON line.id = live.line_id
"""
_STARTS: Final = """
    SELECT rate_start.started_us FROM rate_start LEFT JOIN attempt
        ON attempt.job_id = rate_start.job_id AND attempt.number = rate_start.attempt
    WHERE rate_start.name = :name AND rate_start.started_us <= :latest
        AND (attempt.outcome IS NULL OR attempt.outcome <> 'released')
    ORDER BY rate_start.started_us DESC LIMIT :most
"""


def read_queues(reader: Reader) -> dict[str, QueueRules]:
    """Return how each queue is served."""
    return {
        name: QueueRules(weight, max_running, bool(paused), passed)
        for name, weight, max_running, paused, passed in reader.tuples(_QUEUES)
    }


def closed_gates(reader: Reader, lines: Sequence[Line]) -> dict[int, Gate]:
    """Return, by the number of each line that is kept back, what keeps it back."""
    queues = read_queues(reader)
    usage = read_usage(reader, lines, queues)
    found = {line.id: closed_gate(line, queues, usage, now_us=reader.now_us) for line in lines}
    return {number: gate for number, gate in found.items() if gate is not None}


def read_usage(reader: Reader, lines: Sequence[Line], queues: Mapping[str, QueueRules]) -> Usage:
    """Return what is taken of everything that could keep one of these lines back."""
    counted = Counted(reader)
    if any(queues[line.queue].max_running is not None for line in lines):
        counted.count_live()
    for line in lines:
        if has_limits(line.id):
            counted.prepare(line)
    return counted.usage


class Counted:
    """What is taken, counted as far as the lines need it that somebody looks at.

    What is given out meanwhile is counted in `usage` as well, and stays in it.
    """

    def __init__(self, reader: Reader) -> None:
        self.usage = Usage()
        self._reader = reader
        self._has_live = False
        self._rates: dict[str, Rate] = {}
        self._found: dict[str, int] = {}

    def count_live(self) -> None:
        """Count the attempts that live, once."""
        if self._has_live:
            return
        self._has_live = True
        for *row, attempts in self._reader.tuples(_LIVE):
            self.usage.count(line_of_row(*row), attempts)

    def prepare(self, line: Line) -> None:
        """Count whatever could keep a line back, if that was not done for another one."""
        if line.limits:
            self.count_live()
        for rate in line.rates:
            known = self._rates.get(rate.key)
            wide = rate if known is None else _wider(rate, known)
            if wide != known:
                self._rates[rate.key] = wide
                self._read_starts(wide)

    def _read_starts(self, rate: Rate) -> None:
        """Read the last starts, and leave in front of them what was given out meanwhile."""
        so_far = self.usage.starts.get(rate.key, [])
        given = so_far[: len(so_far) - self._found.get(rate.key, 0)]
        found = _starts(self._reader, rate)
        self._found[rate.key] = len(found)
        self.usage.starts[rate.key] = given + found


def read_starts(reader: Reader, lines: Iterable[Line]) -> dict[str, list[int]]:
    """Return the last starts by each rate key of these lines, the newest first."""
    return {name: _starts(reader, rate) for name, rate in _rates(lines).items()}


def _rates(lines: Iterable[Line]) -> dict[str, Rate]:
    """Return the widest look at each rate key: the most starts and the longest window."""
    found: dict[str, Rate] = {}
    for rate in (rate for line in lines for rate in line.rates):
        found[rate.key] = _wider(rate, found.get(rate.key, rate))
    return found


def _wider(rate: Rate, other: Rate) -> Rate:
    return Rate(rate.key, max(other.most, rate.most), max(other.window_us, rate.window_us))


def _starts(reader: Reader, rate: Rate) -> list[int]:
    """Return the last starts, the newest first.

    One from further ahead than a window is of a clock that was set back since: nobody waits for it.
    """
    latest = reader.now_us + rate.window_us
    return [at for (at,) in reader.tuples(_STARTS, name=rate.key, latest=latest, most=rate.most)]
