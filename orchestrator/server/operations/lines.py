"""The lines in which jobs wait, each kept once, and who is told when a line may go on.

The number of a line is cut from the hash of what it is, as that of a requirement is; it is odd if
the line has limits, so that whoever ends an attempt sees without a look whether anybody else may
have waited for that. `line.waiting` is a hint: it is set with the job that is queued, and taken
away only where a claim found nothing in the line.
"""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from typing import Final

from pydantic_core import from_json, to_json

from orchestrator.core.line import Limit, Line, Rate
from orchestrator.core.matching import Requirement
from orchestrator.kernel.errors import InvariantViolated
from orchestrator.protocol.jobs import JobSpec
from orchestrator.server.facts import Claimable
from orchestrator.server.operations.requirements import (
    USE_NOTED_US,
    intern,
    requirement_id,
    requirement_of,
    requirement_of_row,
)
from orchestrator.server.operations.standing import (
    Standing,
    TurnKept,
    note_entry,
    note_turn,
    open_sharing,
    turn_of,
)
from orchestrator.server.store.interface import Reader, Transaction

_SELECT: Final = """
    SELECT line.queue, line.fairness_key, line.limits, requirement.kind, requirement.tags,
        requirement.platform, requirement.worker
    FROM line JOIN requirement ON requirement.id = line.requirement_id WHERE line.id = :id
"""
_KNOWN: Final = """
    SELECT line.used_us, line.waiting, line.least_rank, line.least_id, line.top_priority,
        turn.served_us, turn.turn_us, turn.least_rank
    FROM line LEFT JOIN turn
        ON turn.queue = line.queue AND turn.fairness_key = line.fairness_key
    WHERE line.id = :id
"""
_NOTE_USE: Final = "UPDATE line SET used_us = :now WHERE id = :id"
_INSERT: Final = """
    INSERT INTO line (id, requirement_id, queue, fairness_key, limits, waiting, used_us,
        least_rank, least_id, top_priority)
    VALUES (:id, :requirement_id, :queue, :fairness_key, :limits, 1, :now,
        :least_rank, :least_id, :top_priority)
"""
_INSERT_KEY: Final = "INSERT INTO line_key (kind, name, line_id) VALUES (:kind, :name, :id)"
_SHARING: Final = """
    SELECT DISTINCT line.requirement_id FROM line_key AS mine
    JOIN line_key AS other ON other.kind = mine.kind AND other.name = mine.name
    JOIN line ON line.id = other.line_id AND line.waiting = 1
    WHERE mine.line_id = :id AND mine.kind = 'limit'
"""
_IS_LIMITED: Final = "SELECT 1 FROM queue WHERE name = :queue AND max_running IS NOT NULL"
_OF_QUEUE: Final = """
    SELECT DISTINCT requirement_id FROM line WHERE queue = :queue AND waiting = 1
"""


def has_limits(line_id: int) -> bool:
    """Tell whether the jobs of a line hold keys or have a rate."""
    return bool(line_id & 1)


def limits_text(line: Line) -> str | None:
    """Return the limits of a line as they are kept."""
    if not line.limits and not line.rates:
        return None
    return to_json((line.limits, line.rates)).decode()


@lru_cache(maxsize=4096)
def line_of_row(number: int, queue: str, fairness_key: str, limits: str | None) -> Line:
    """Return a line as it is kept. It never changes, so it need not be read again and again."""
    if limits is None:
        return Line(number, queue, fairness_key)
    keys, rates = from_json(limits)
    return Line(
        number,
        queue,
        fairness_key,
        tuple(Limit(*one) for one in keys),
        tuple(Rate(*one) for one in rates),
    )


@lru_cache(maxsize=1024)
def line_number(
    requirement: Requirement,
    queue: str,
    fairness_key: str,
    limits: tuple[Limit, ...],
    rates: tuple[Rate, ...],
) -> int:
    """Return the number of a line: 62 bits of a hash, and one that says whether it has limits."""
    words = (requirement_id(requirement), queue, fairness_key, limits, rates)
    digest = hashlib.sha256(to_json(words)).digest()
    return (int.from_bytes(digest[:8], "big") >> 2 << 1) | bool(limits or rates)


def line_of(spec: JobSpec, requirement: Requirement, *, owner: str) -> Line:
    """Return in which line a job waits. Who names no fairness key shares with all of its owner."""
    limits = tuple(sorted(Limit(one.key, one.limit) for one in spec.concurrency))
    rates = tuple(
        sorted(Rate(one.key, one.count, round(one.per_s * 1_000_000)) for one in spec.rate_limit)
    )
    key = owner if spec.fairness_key is None else spec.fairness_key
    number = line_number(requirement, spec.queue, key, limits, rates)
    return Line(number, spec.queue, key, limits, rates)


def enter_line(
    tx: Transaction, spec: JobSpec, place: tuple[int, str], *, owner: str, kept: dict[int, Standing]
) -> tuple[Line, int]:
    """Return in which line a job waits, and the number of what it requires; keep both.

    Its place is its rank and its id. What is in `kept` was kept in this transaction already, for
    jobs of such places and priorities.
    """
    requirement = requirement_of(spec)
    line = line_of(spec, requirement, owner=owner)
    job, known = Standing(*place, spec.priority), kept.get(line.id)
    now = job if known is None else known.with_job(job)
    if now != known:
        intern_line(tx, line, requirement, now)
        kept[line.id] = now
    return line, requirement_id(requirement)


def enter_queue(tx: Transaction, number: int, queue: str, job: Standing) -> int:
    """Return the line of another queue in which all else is as in this one; keep it for a job.

    Whoever waits in it waits for the same workers, shares with the same jobs, has the same limits.
    """
    row = tx.row(_SELECT, id=number)
    if row is None:
        raise InvariantViolated("a line is kept while jobs that are not over are of it")
    here = line_of_row(number, row["queue"], row["fairness_key"], row["limits"])
    requirement = requirement_of_row(row)
    there = line_number(requirement, queue, here.fairness_key, here.limits, here.rates)
    return intern_line(tx, replace(here, id=there, queue=queue), requirement, job)


def intern_line(tx: Transaction, line: Line, requirement: Requirement, job: Standing) -> int:
    """Keep a line if nobody was in it before, for a job that comes into it; return its number.

    It counts as one in which somebody waits: whoever looks and finds nothing knows better.
    """
    key = (line.queue, line.fairness_key)
    known = tx.tuples(_KNOWN, id=line.id)
    if not known:
        tx.execute(
            _INSERT,
            id=line.id,
            requirement_id=intern(tx, requirement),
            queue=line.queue,
            fairness_key=line.fairness_key,
            limits=limits_text(line),
            now=tx.now_us,
            least_rank=job.least_rank,
            least_id=job.least_id,
            top_priority=job.top_priority,
        )
        kinds = (("limit", line.limits), ("rate", line.rates))
        keys = [(kind, one[0]) for kind, found in kinds for one in found]
        tx.many(_INSERT_KEY, [{"kind": kind, "name": name, "id": line.id} for kind, name in keys])
        note_turn(tx, key, job, turn_of(tx, key))
        return line.id
    ((used_us, waiting, *both),) = known
    was, turn = Standing(*both[:3]), TurnKept(*both[3:])
    if used_us < tx.now_us - USE_NOTED_US:
        intern(tx, requirement)
        tx.execute(_NOTE_USE, id=line.id, now=tx.now_us)
    note_entry(tx, line.id, was if waiting else None, job)
    note_turn(tx, key, job, turn)
    return line.id


def required_in(reader: Reader, queue: str) -> list[int]:
    """Return what is required in the lines of a queue in which somebody waits."""
    return [requirement for (requirement,) in reader.tuples(_OF_QUEUE, queue=queue)]


def call_out(tx: Transaction, freed: Collection[tuple[int, str]]) -> None:
    """Wake whoever could take what waits behind the gates of attempts that live no more.

    `freed` has the line and the queue of each. Of the lines that share a gate one job may go on for
    each attempt: which of them, the next claim decides.
    """
    found: dict[int, int] = {}
    for number in {number for number, _ in freed if has_limits(number)}:
        count = sum(number == one for one, _ in freed)
        open_sharing(tx, number)
        for (requirement,) in tx.tuples(_SHARING, id=number):
            found[requirement] = found.get(requirement, 0) + count
    for queue in {queue for _, queue in freed}:
        if tx.tuples(_IS_LIMITED, queue=queue):
            count = sum(queue == one for _, one in freed)
            for requirement in required_in(tx, queue):
                found[requirement] = found.get(requirement, 0) + count
    for requirement, count in found.items():
        tx.announce(Claimable(requirement, count))
