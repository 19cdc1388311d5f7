"""Why queued jobs are not running: asked of the gates and the fleet, decided by the core.

Nothing of this is stored, because a stored reason would be wrong a moment later.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from orchestrator.core.lease import OFFLINE_US
from orchestrator.core.line import Line
from orchestrator.core.pending import Fleet, why_queued
from orchestrator.protocol.words import PendingReason
from orchestrator.server.operations.gating import closed_gates
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.operations.lines import line_of_row
from orchestrator.server.store.interface import Reader
from orchestrator.server.store.pairs import tuples_of_pairs

_ONLINE: Final = """
    SELECT session.id,
        (SELECT count(*) FROM job WHERE job.session_id = session.id) < session.slots AS free
    FROM session WHERE session.ended_us IS NULL AND session.renewed_lease_us > :since
"""
_LINES: Final = """
    SELECT line.id, line.queue, line.fairness_key, line.limits, line.requirement_id
    FROM {pairs} JOIN line ON line.id = column2
"""
_MATCHING: Final = """
    SELECT fits.requirement_id, fits.session_id, fits.barred
    FROM {pairs} JOIN session_requirement AS fits ON fits.requirement_id = column2
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
    rows = list(tuples_of_pairs(reader, _LINES, [("", number) for number in numbers]))
    gates = closed_gates(reader, [line_of_row(*row[:4]) for row in rows])
    fleets = _fleets(reader, sorted({row[4] for row in rows}))
    return {row[0]: why_queued(fleets[row[4]], gates.get(row[0])) for row in rows}


def _fleets(reader: Reader, requirements: Sequence[int]) -> dict[int, Fleet]:
    """Return, for each requirement, how many sessions are online, match it, and are free."""
    online = {row["id"]: bool(row["free"]) for row in reader.rows(_ONLINE, since=_since(reader))}
    matching: dict[int, dict[str, bool]] = {number: {} for number in requirements}
    pairs = [("", number) for number in requirements]
    for number, session, barred in tuples_of_pairs(reader, _MATCHING, pairs):
        if session in online:
            matching[number][session] = bool(barred)
    return {
        number: Fleet(
            len(online),
            len(found),
            sum(online[session] and not barred for session, barred in found.items()),
            sum(found.values()),
        )
        for number, found in matching.items()
    }


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
