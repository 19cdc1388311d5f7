"""Why queued jobs are not running: asked of the gates and the fleet, decided by the core.

Nothing of this is stored, because a stored reason would be wrong a moment later.
"""

from collections.abc import Iterable
from typing import Final

from orchestrator.core.lease import OFFLINE_US
from orchestrator.core.line import Line
from orchestrator.core.pending import Fleet, why_queued
from orchestrator.protocol.words import PendingReason
from orchestrator.server.operations.gating import closed_gates
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.operations.lines import line_of_row
from orchestrator.server.store.interface import Reader

_ONLINE: Final = """
    SELECT session.id,
        (SELECT count(*) FROM job WHERE job.session_id = session.id) < session.slots AS free
    FROM session WHERE session.ended_us IS NULL AND session.renewed_lease_us > :since
"""
_LINE: Final = """
    SELECT id, queue, fairness_key, limits, requirement_id FROM line WHERE id = :id
"""
_MATCHING: Final = """
    SELECT session_id, barred FROM session_requirement WHERE requirement_id = :requirement
"""
_ANY_ONLINE: Final = """
    SELECT 1 FROM session WHERE ended_us IS NULL AND renewed_lease_us > :since LIMIT 1
"""
_ANY_MATCHING: Final = """
    SELECT 1 FROM session_requirement AS fits JOIN session ON session.id = fits.session_id
    WHERE fits.requirement_id = :requirement AND session.ended_us IS NULL
        AND session.renewed_lease_us > :since LIMIT 1
"""


def why_waiting(reader: Reader, lines: Iterable[int]) -> dict[int, PendingReason]:
    """Return, for each line, why a queued job in it is not running."""
    numbers = sorted(set(lines))
    if not numbers:
        return {}
    known = {number: reader.tuples(_LINE, id=number)[0] for number in numbers}
    gates = closed_gates(reader, [line_of_row(*row[:4]) for row in known.values()])
    online = {row["id"]: bool(row["free"]) for row in reader.rows(_ONLINE, since=_since(reader))}
    found = {}
    for number, row in known.items():
        rows = reader.tuples(_MATCHING, requirement=row[4])
        matching = {session: bool(barred) for session, barred in rows if session in online}
        free = sum(online[session] and not barred for session, barred in matching.items())
        fleet = Fleet(len(online), len(matching), free, sum(matching.values()))
        found[number] = why_queued(fleet, gates.get(number))
    return found


def why_new(reader: Reader, line: Line, requirement: int) -> PendingReason:
    """Return the same for a job that is just being taken in, without counting anybody's slots.

    It is asked on every submit, so it stops at the first worker that could take the job.
    """
    gate = closed_gates(reader, [line]).get(line.id)
    since = _since(reader)
    if gate is None and reader.row(_ANY_MATCHING, requirement=requirement, since=since) is not None:
        return PendingReason.STARTING
    online = reader.row(_ANY_ONLINE, since=since) is not None
    return why_queued(Fleet(online=int(online), matching=0, matching_free=0), gate)


def _since(reader: Reader) -> int:
    return read_lease_clock(reader).now - OFFLINE_US
