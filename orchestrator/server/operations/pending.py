"""Why queued jobs are not running: asked of the fleet as it is now, decided by the core.

Nothing of this is stored, because a stored reason would be wrong a moment later.
"""

from collections.abc import Iterable
from typing import Final

from orchestrator.core.lease import OFFLINE_US
from orchestrator.core.pending import Fleet, why_queued
from orchestrator.protocol.words import PendingReason
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.store.interface import Reader

_ONLINE: Final = """
    SELECT session.id,
        (SELECT count(*) FROM job WHERE job.session_id = session.id) < session.slots AS free
    FROM session WHERE session.ended_us IS NULL AND session.renewed_lease_us > :since
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


def why_waiting(reader: Reader, requirements: Iterable[int]) -> dict[int, PendingReason]:
    """Return, for each requirement, why a queued job that has it is not running."""
    wanted = set(requirements)
    if not wanted:
        return {}
    online = {row["id"]: bool(row["free"]) for row in reader.rows(_ONLINE, since=_since(reader))}
    found = {}
    for requirement in wanted:
        rows = reader.rows(_MATCHING, requirement=requirement)
        matching = {
            row["session_id"]: bool(row["barred"]) for row in rows if row["session_id"] in online
        }
        free = sum(online[session] and not barred for session, barred in matching.items())
        fleet = Fleet(len(online), len(matching), free, sum(matching.values()))
        found[requirement] = why_queued(fleet)
    return found


def why_new(reader: Reader, requirement: int) -> PendingReason:
    """Return the same for a job that is just being taken in, without counting anybody's slots.

    It is asked on every submit, so it stops at the first worker that could take the job.
    """
    since = _since(reader)
    if reader.row(_ANY_MATCHING, requirement=requirement, since=since) is not None:
        return PendingReason.STARTING
    online = reader.row(_ANY_ONLINE, since=since) is not None
    return why_queued(Fleet(online=int(online), matching=0, matching_free=0))


def _since(reader: Reader) -> int:
    return read_lease_clock(reader).now - OFFLINE_US
