"""What is known, without a look at the jobs, of when a line and a fairness key may have their turn.

Of a line: no job that waits in it has a lesser rank or a higher priority than it says. Of a key: no
turn of it is before the moment that its row says. Each may say too little, never too much: whoever
queues a job writes that down at once, and who finds out more corrects it. So a claim goes through
the keys in the order of these moments, and looks no further than it is served.

A line that was found behind a closed gate of its own is shut, and no longer looked at, until an
attempt ends that shares a key with it, or the moment comes at which its rate lets it through.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from orchestrator.core.gates import Gate
from orchestrator.core.order import soonest_us
from orchestrator.server.store.interface import Transaction, Value

_SETTLE: Final = """
    UPDATE line SET
        waiting = CASE WHEN EXISTS (
            SELECT 1 FROM job WHERE job.state = 'queued' AND job.line_id = line.id
        ) THEN 1 ELSE 0 END,
        least_rank = coalesce((
            SELECT min(job.rank) FROM job WHERE job.state = 'queued' AND job.line_id = line.id
        ), 0),
        least_id = coalesce((
            SELECT job.id FROM job WHERE job.state = 'queued' AND job.line_id = line.id
            ORDER BY job.rank, job.id LIMIT 1
        ), ''),
        top_priority = coalesce((
            SELECT max(job.priority) FROM job WHERE job.state = 'queued' AND job.line_id = line.id
        ), 0)
    WHERE id = :id RETURNING queue, fairness_key
"""
_RAISE: Final = """
    UPDATE line SET least_rank = :least_rank, least_id = :least_id,
        top_priority = coalesce((
            SELECT max(job.priority) FROM job WHERE job.state = 'queued' AND job.line_id = line.id
        ), 0)
    WHERE id = :id
"""
_OF_KEY: Final = """
    SELECT
        (
            SELECT min(line.least_rank) FROM line WHERE line.queue = turn.queue
                AND line.fairness_key = turn.fairness_key
                AND line.waiting = 1 AND line.shut_us IS NULL
        ),
        (
            SELECT max(line.top_priority) FROM line WHERE line.queue = turn.queue
                AND line.fairness_key = turn.fairness_key
                AND line.waiting = 1 AND line.shut_us IS NULL
        ),
        turn.served_us, turn.turn_us, turn.least_rank
    FROM turn WHERE turn.queue = :queue AND turn.fairness_key = :fairness_key
"""
_SHUT: Final = """
    UPDATE line SET shut_us = :now, shut_until_us = :until WHERE id = :id
"""
_OPEN_SHARING: Final = """
    UPDATE line SET shut_us = NULL, shut_until_us = NULL
    WHERE shut_us IS NOT NULL AND id IN (
        SELECT other.line_id FROM line_key AS mine
        JOIN line_key AS other ON other.kind = mine.kind AND other.name = mine.name
        WHERE mine.line_id = :id
    )
    RETURNING queue, fairness_key
"""
# Whoever was shut in what is the future now, was it before the clock was set back.
_OPEN_DUE: Final = """
    UPDATE line SET shut_us = NULL, shut_until_us = NULL
    WHERE shut_until_us <= :now OR shut_us > :now
    RETURNING queue, fairness_key
"""
_SET_SERVED: Final = """
    INSERT INTO turn (queue, fairness_key, served_us) VALUES (:queue, :fairness_key, :served_us)
    ON CONFLICT (queue, fairness_key) DO UPDATE SET served_us = excluded.served_us
"""
_SET_TURN: Final = """
    INSERT INTO turn (queue, fairness_key, served_us, turn_us, least_rank)
    VALUES (:queue, :fairness_key, :served_us, :turn_us, :least_rank)
    ON CONFLICT (queue, fairness_key) DO UPDATE SET served_us = excluded.served_us,
        turn_us = excluded.turn_us, least_rank = excluded.least_rank
"""
_TURN: Final = """
    SELECT served_us, turn_us, least_rank FROM turn
    WHERE queue = :queue AND fairness_key = :fairness_key
"""
_ENTER: Final = """
    UPDATE line SET waiting = 1, least_rank = :least_rank, least_id = :least_id,
        top_priority = :top_priority
    WHERE id = :id
"""

Key = tuple[str, str]
"""A queue and a fairness key in it."""


class Standing(NamedTuple):
    """What a line says of the jobs that wait in it: none comes before, no priority is higher."""

    least_rank: int
    least_id: str
    top_priority: int

    def with_job(self, job: "Standing") -> "Standing":
        """Return what it says once such a job waits, too."""
        return Standing(*min(self[:2], job[:2]), max(self.top_priority, job.top_priority))


class TurnKept(NamedTuple):
    """The row of a key: when it was served last, and before when it has no turn; `None` for none.

    Without a moment nobody waits.
    """

    served_us: int | None = None
    turn_us: int | None = None
    least_rank: int | None = None


def turn_of(tx: Transaction, key: Key) -> TurnKept:
    """Return what is kept of a key."""
    queue, name = key
    found = tx.tuples(_TURN, queue=queue, fairness_key=name)
    return TurnKept(*found[0]) if found else TurnKept()


def note_entry(tx: Transaction, line_id: int, was: Standing | None, job: Standing) -> None:
    """Write down that a job comes into a line; `was` is what that says, if anybody waits in it."""
    now = job if was is None else was.with_job(job)
    if now != was:
        tx.execute(_ENTER, id=line_id, **now._asdict())


def note_turn(tx: Transaction, key: Key, job: Standing, was: TurnKept) -> None:
    """Write down that a key may have its turn as soon as such a job may."""
    served_us = was.served_us or 0
    soonest = soonest_us(job.least_rank, job.top_priority, served_us)
    if was.turn_us is None or (soonest, job.least_rank) < (was.turn_us, was.least_rank or 0):
        tx.many(_SET_TURN, [_turn_row(key, TurnKept(served_us, soonest, job.least_rank))])


def _turn_row(key: Key, turn: TurnKept) -> dict[str, Value]:
    queue, name = key
    return {
        "queue": queue,
        "fairness_key": name,
        "served_us": turn.served_us,
        "turn_us": turn.turn_us,
        "least_rank": turn.least_rank or 0,
    }


def note_served(tx: Transaction, served: Mapping[Key, int]) -> None:
    """Remember when keys were served. What is known of their turns may be too little by that."""
    rows: list[dict[str, Value]] = [
        {"queue": queue, "fairness_key": name, "served_us": at}
        for (queue, name), at in served.items()
    ]
    if rows:
        tx.many(_SET_SERVED, rows)


def raise_lines(tx: Transaction, first: Mapping[int, tuple[int, str]]) -> None:
    """Write down the rank and the id of the jobs that are found to be the first of these lines."""
    rows: list[dict[str, Value]] = [
        {"id": number, "least_rank": rank, "least_id": job_id}
        for number, (rank, job_id) in first.items()
    ]
    if rows:
        tx.many(_RAISE, rows)


def shut(tx: Transaction, gates: Mapping[int, Gate]) -> None:
    """Write down which lines are behind closed gates of their own."""
    rows: list[dict[str, Value]] = [
        {"id": number, "now": tx.now_us, "until": gate.until_us} for number, gate in gates.items()
    ]
    if rows:
        tx.many(_SHUT, rows)


def open_sharing(tx: Transaction, line_id: int) -> None:
    """Let all be looked at again who may have waited for a job of a line."""
    _settle_keys(tx, _keys(tx.tuples(_OPEN_SHARING, id=line_id)))


def open_due(tx: Transaction) -> None:
    """Let all be looked at again whose rates let them through by now."""
    _settle_keys(tx, _keys(tx.tuples(_OPEN_DUE, now=tx.now_us)))


def settle(
    tx: Transaction,
    lines: Iterable[int],
    *,
    keys: Iterable[Key] = (),
    served: Mapping[Key, int] = MappingProxyType({}),
) -> None:
    """Look at the jobs of these lines, and write down what is true of them and of their keys.

    So for other keys, of whose lines more is known, or that were served now.
    """
    found = {*keys, *served}
    for number in lines:
        found |= _keys(tx.tuples(_SETTLE, id=number))
    _settle_keys(tx, found, served)


def _keys(rows: Iterable[tuple[str, str]]) -> set[Key]:
    return {(queue, name) for queue, name in rows}


def _settle_keys(
    tx: Transaction, keys: Iterable[Key], served: Mapping[Key, int] = MappingProxyType({})
) -> None:
    """Write down what the lines of these keys say of their turns."""
    rows = []
    for key in sorted(keys):
        queue, name = key
        for rank, priority, *was in tx.tuples(_OF_KEY, queue=queue, fairness_key=name):
            served_us = served.get(key, was[0])
            turn_us = None if rank is None else soonest_us(rank, priority, served_us)
            if [served_us, turn_us, rank or 0] != was:
                rows.append(_turn_row(key, TurnKept(served_us, turn_us, rank)))
    if rows:
        tx.many(_SET_TURN, rows)
