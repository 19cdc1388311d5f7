"""Go through those who wait in the order of their turns, and look at no more of them than it takes.

The keys of a queue come by the moments that are kept of them, the lines of a key by their ranks,
the jobs of a line by theirs; the core stops asking once nobody behind may be sooner. What was found
out on the way is written down at the end, so that the next claim does not look there in vain.
"""

from collections.abc import Iterator
from typing import Final

from orchestrator.core.order import Choice, Head, Lane, Placed, Turn, Waiting, choose
from orchestrator.server.operations.gating import Counted, read_queues
from orchestrator.server.operations.lines import has_limits, line_of_row
from orchestrator.server.operations.standing import Key, open_due, raise_lines, settle, shut
from orchestrator.server.store.interface import Transaction

_QUEUES: Final = """
    SELECT queue.name, (
        SELECT max(turn.served_us) FROM turn WHERE turn.queue = queue.name
    ) FROM queue WHERE EXISTS (
        SELECT 1 FROM turn WHERE turn.queue = queue.name AND turn.turn_us IS NOT NULL
    ) OR EXISTS (
        SELECT 1 FROM line WHERE line.queue = queue.name AND line.shut_us IS NOT NULL
    )
"""
# Asked of one key after the other: for EXISTS, PostgreSQL would look at all lines there are first.
_KEYS: Final = """
    SELECT turn.turn_us, turn.least_rank, turn.fairness_key, turn.served_us FROM turn
    WHERE turn.queue = :queue AND turn.turn_us IS NOT NULL
        AND (turn.turn_us, turn.least_rank, turn.fairness_key)
            > (:turn_us, :least_rank, :fairness_key)
        AND (
            SELECT line.id FROM line JOIN session_requirement AS fits
                ON fits.session_id = :session_id AND fits.requirement_id = line.requirement_id
            WHERE line.queue = turn.queue AND line.fairness_key = turn.fairness_key
                AND line.waiting = 1 AND line.shut_us IS NULL AND fits.barred = 0
            LIMIT 1
        ) IS NOT NULL
    ORDER BY turn.turn_us, turn.least_rank, turn.fairness_key LIMIT :most
"""
_LINES: Final = """
    SELECT line.least_rank, line.least_id, line.id, line.limits FROM line
    JOIN session_requirement AS fits
        ON fits.session_id = :session_id AND fits.requirement_id = line.requirement_id
    WHERE line.queue = :queue AND line.fairness_key = :fairness_key AND line.waiting = 1
        AND line.shut_us IS NULL AND fits.barred = 0
        AND (line.least_rank, line.least_id, line.id) > (:least_rank, :least_id, :id)
    ORDER BY line.least_rank, line.least_id, line.id LIMIT :most
"""
_SHUT: Final = """
    SELECT line.fairness_key FROM line JOIN session_requirement AS fits
        ON fits.session_id = :session_id AND fits.requirement_id = line.requirement_id
    WHERE line.queue = :queue AND line.fairness_key > :fairness_key AND line.shut_us IS NOT NULL
        AND fits.barred = 0
        AND EXISTS (SELECT 1 FROM job WHERE job.state = 'queued' AND job.line_id = line.id)
    ORDER BY line.fairness_key LIMIT 1
"""
_JOBS: Final = """
    SELECT rank, id, priority FROM job
    WHERE state = 'queued' AND line_id = :line_id AND (rank, id) > (:rank, :id)
    ORDER BY rank, id LIMIT :most
"""
_FIRST: Final = -(1 << 63)
"""Before every moment, rank and number."""
_MOST: Final = 256
"""Rows that are asked for at once, at the most: few at first, for few are usually enough."""


def _more_than(most: int) -> int:
    """Return how many rows are asked for after so many: twice as many."""
    return min(_MOST, 2 * most)


def heads_from(tx: Transaction, line_id: int, head: Head, depth: int) -> Iterator[Head]:
    """Yield a job of a line and those behind it, which are looked for when they are wanted."""
    yield head
    yield from heads_behind(tx, line_id, head, depth)


def heads_behind(tx: Transaction, line_id: int, head: Head, depth: int) -> Iterator[Head]:
    """Yield the jobs of a line behind one of them, at first so many at once."""
    most = depth
    while True:
        found = tx.tuples(_JOBS, line_id=line_id, rank=head.rank, id=head.job_id, most=most)
        for row in found:
            head = Head(*row)
            yield head
        if len(found) < most:
            return
        most = _more_than(most)


class _Seen:
    """A line that was looked at: its next job that is not given out, as far as that is known."""

    def __init__(self, least: tuple[int, str]) -> None:
        self.kept = least
        self.least: tuple[int, str] | None = least


class Walk:
    """One claim's way through all that wait and fit its session."""

    def __init__(self, tx: Transaction, session_id: str, *, slots: int) -> None:
        self._tx = tx
        self._session_id = session_id
        self._slots = slots
        open_due(tx)
        self._queues = read_queues(tx)
        self._counted = Counted(tx)
        self._seen: dict[int, _Seen] = {}
        self._keys_seen: list[Key] = []

    def choose(self) -> Choice:
        """Return whose turn it is."""
        found = self._tx.tuples(_QUEUES)
        lanes = {
            name: Lane(self._turns(name), latest_us or 0, self._shut(name))
            for name, latest_us in found
        }
        if any(self._queues[name].max_running is not None for name in lanes):
            self._counted.count_live()
        return choose(
            lanes, self._queues, self._counted.usage, slots=self._slots, now_us=self._tx.now_us
        )

    def remember(self, choice: Choice) -> None:
        """Write down what was found out, and who was served; the jobs are given out by now."""
        shut(self._tx, choice.shut)
        seen = self._seen.items()
        later = {n: one.least for n, one in seen if one.least and one.least != one.kept}
        raise_lines(self._tx, later)
        empty = [number for number, one in seen if one.least is None]
        settle(self._tx, empty, keys=self._keys_seen, served=choice.served)

    def _turns(self, queue: str) -> Iterator[Turn]:
        """Yield the keys of a queue in the order of their turns."""
        turn_us, least_rank, name = _FIRST, _FIRST, ""
        most = self._slots + 2
        while True:
            found = self._tx.tuples(
                _KEYS,
                session_id=self._session_id,
                queue=queue,
                turn_us=turn_us,
                least_rank=least_rank,
                fairness_key=name,
                most=most,
            )
            for turn_us, least_rank, name, served_us in found:
                lines = self._lines((queue, name), served_us)
                yield Turn(turn_us, least_rank, name, served_us, lines)
            if len(found) < most:
                return
            most = _more_than(most)

    def _lines(self, key: Key, served_us: int) -> Iterator[Placed]:
        """Yield the lines of a key in the order of their ranks."""
        self._keys_seen.append(key)
        queue, name = key
        least_rank, least_id, number = _FIRST, "", _FIRST
        most = 4
        while True:
            found = self._tx.tuples(
                _LINES,
                session_id=self._session_id,
                queue=queue,
                fairness_key=name,
                least_rank=least_rank,
                least_id=least_id,
                id=number,
                most=most,
            )
            for least_rank, least_id, number, limits in found:
                line = line_of_row(number, queue, name, limits)
                if has_limits(number):
                    self._counted.prepare(line)
                heads = self._heads(number, (least_rank, least_id))
                yield Placed(least_rank, least_id, Waiting(line, heads, served_us))
            if len(found) < most:
                return
            most = _more_than(most)

    def _heads(self, line_id: int, least: tuple[int, str]) -> Iterator[Head]:
        seen = self._seen[line_id] = _Seen(least)
        for head in heads_behind(self._tx, line_id, Head(_FIRST, "", 0), 2):
            seen.least = head[:2]
            yield head
        seen.least = None

    def _shut(self, queue: str) -> Iterator[str]:
        """Yield the keys of a queue that have a line which is shut, and in which somebody waits."""
        name: str | None = ""
        while name is not None:
            found = self._tx.tuples(
                _SHUT, session_id=self._session_id, queue=queue, fairness_key=name
            )
            name = next((one for (one,) in found), None)
            if name is not None:
                yield name
