"""What a worker offers changes while its session goes on: its slots, its kinds, its tags.

Its attempts stay what they are. What changes is which queued jobs it is given from now on, so its
matches are made anew; work that it may have been woken for and cannot take any more is called out
again, because whoever was passed over for it sleeps.
"""

import json
from typing import Final

from orchestrator.core.matching import Offer as Brought
from orchestrator.protocol.wire import Offer
from orchestrator.server.facts import Claimable, SessionChanged
from orchestrator.server.operations.requirements import match_session
from orchestrator.server.store.interface import Transaction

_SELECT: Final = """
    SELECT session.slots, session.platform, session.kinds, session.tags, session.worker_id,
        worker.name, machine.arch
    FROM session JOIN worker ON worker.id = session.worker_id
        JOIN machine ON machine.id = worker.machine_id
    WHERE session.id = :session_id
"""
_UPDATE: Final = """
    UPDATE session SET slots = :slots, kinds = :kinds, tags = :tags WHERE id = :session_id
"""
_MATCHES: Final = """
    SELECT requirement_id FROM session_requirement WHERE session_id = :session_id
"""
_QUEUED: Final = """
    SELECT count(*) AS queued FROM line JOIN job
        ON job.line_id = line.id AND job.state = 'queued'
    WHERE line.requirement_id = :requirement_id AND line.waiting = 1
"""


def change_offer(tx: Transaction, session_id: str, offer: Offer) -> None:
    """Take note of what an open session offers now, if that is anything new."""
    row = tx.row(_SELECT, session_id=session_id)
    kinds, tags = json.dumps(sorted(set(offer.kinds))), json.dumps(sorted(set(offer.tags)))
    if row is None or (row["slots"], row["kinds"], row["tags"]) == (offer.slots, kinds, tags):
        return
    tx.execute(_UPDATE, session_id=session_id, slots=offer.slots, kinds=kinds, tags=tags)
    if (row["kinds"], row["tags"]) == (kinds, tags):
        return
    before = {number for (number,) in tx.tuples(_MATCHES, session_id=session_id)}
    tx.execute(
        "DELETE FROM session_requirement WHERE session_id = :session_id", session_id=session_id
    )
    now = match_session(
        tx,
        session_id,
        Brought(
            worker_id=row["worker_id"],
            worker_name=row["name"],
            platform=row["platform"],
            kinds=frozenset(offer.kinds),
            tags=frozenset(offer.tags),
            arch=row["arch"],
        ),
    )
    tx.announce(SessionChanged(session_id, now))
    for number in sorted(before - now):
        found = tx.row(_QUEUED, requirement_id=number)
        if found is not None and found["queued"]:
            tx.announce(Claimable(number, found["queued"]))
