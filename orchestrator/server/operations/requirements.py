"""What jobs require of workers, each distinct requirement kept once, and which sessions satisfy it.

Both sides are matched by the core when they first meet: a new requirement against every open
session, a new session against every requirement. A claim then only looks up numbers. The number of
a requirement is cut from the hash of its text, so keeping it needs no counter and two servers
cannot disagree.
"""

import hashlib
import json
from functools import lru_cache
from typing import Final

from pydantic_core import from_json

from orchestrator.core.matching import Offer, Requirement, satisfies
from orchestrator.core.tags import clauses
from orchestrator.protocol.jobs import JobSpec
from orchestrator.server.facts import RequirementAdded
from orchestrator.server.store.interface import Reader, Row, Transaction

USE_NOTED_US: Final = 3600 * 1_000_000
"""A requirement that many jobs have is not written for each of them."""
_MATCH: Final = """
    INSERT INTO session_requirement (session_id, requirement_id)
    VALUES (:session_id, :requirement_id)
"""
_SESSION_OFFERS: Final = """
    SELECT session.id, session.worker_id, worker.name, session.platform, session.kinds,
        session.tags, machine.arch
    FROM session JOIN worker ON worker.id = session.worker_id
        JOIN machine ON machine.id = worker.machine_id
    WHERE session.ended_us IS NULL
"""


def requirement_of(spec: JobSpec) -> Requirement:
    """Return what a job asks of a worker."""
    wanted = spec.requires
    return Requirement(spec.kind, clauses(tuple(wanted.tags)), wanted.platform, wanted.worker)


@lru_cache(maxsize=1024)
def requirement_id(requirement: Requirement) -> int:
    """Return its number: 63 bits of a hash, which every database can keep."""
    words = [requirement.kind, sorted(requirement.tags), requirement.platform, requirement.worker]
    digest = hashlib.sha256(json.dumps(words).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def intern(tx: Transaction, requirement: Requirement) -> int:
    """Return its number, and keep it and its matches if nobody asked for this before."""
    number = requirement_id(requirement)
    known = tx.tuples("SELECT used_us FROM requirement WHERE id = :id", id=number)
    if not known:
        _add(tx, number, requirement)
    elif known[0][0] < tx.now_us - USE_NOTED_US:
        tx.execute("UPDATE requirement SET used_us = :now WHERE id = :id", now=tx.now_us, id=number)
    return number


def _add(tx: Transaction, number: int, requirement: Requirement) -> None:
    tx.execute(
        "INSERT INTO requirement (id, kind, tags, platform, worker, used_us) "
        "VALUES (:id, :kind, :tags, :platform, :worker, :now)",
        now=tx.now_us,
        id=number,
        kind=requirement.kind,
        tags=json.dumps(sorted(requirement.tags)),
        platform=requirement.platform,
        worker=requirement.worker,
    )
    offers = {row["id"]: offer_of(row) for row in tx.rows(_SESSION_OFFERS)}
    fitting = [session for session, offer in offers.items() if satisfies(offer, requirement)]
    tx.many(_MATCH, [{"session_id": one, "requirement_id": number} for one in fitting])
    tx.announce(RequirementAdded(number, frozenset(fitting)))


def offer_of(row: Row) -> Offer:
    """Return what a session brings, of a row that has its worker's name and machine's arch, too."""
    return Offer(
        worker_id=row["worker_id"],
        worker_name=row["name"],
        platform=row["platform"],
        kinds=frozenset(from_json(row["kinds"])),
        tags=frozenset(from_json(row["tags"])),
        arch=row["arch"],
    )


def match_session(tx: Transaction, session_id: str, offer: Offer) -> frozenset[int]:
    """Keep and return which of all requirements a new session satisfies."""
    fitting = [
        row["id"]
        for row in tx.rows("SELECT id, kind, tags, platform, worker FROM requirement")
        if satisfies(offer, requirement_of_row(row))
    ]
    tx.many(_MATCH, [{"session_id": session_id, "requirement_id": one} for one in fitting])
    return frozenset(fitting)


def requirement_of_row(row: Row) -> Requirement:
    """Return a requirement as it is kept."""
    tags = frozenset(from_json(row["tags"]))
    return Requirement(row["kind"], tags, row["platform"], row["worker"])


def session_requirements(reader: Reader) -> dict[str, frozenset[int]]:
    """Return what every open session satisfies: where the memory of a new server begins."""
    found: dict[str, set[int]] = {
        row["id"]: set() for row in reader.rows("SELECT id FROM session WHERE ended_us IS NULL")
    }
    for row in reader.rows(
        "SELECT fits.session_id, fits.requirement_id FROM session_requirement AS fits "
        "JOIN session ON session.id = fits.session_id WHERE session.ended_us IS NULL"
    ):
        found[row["session_id"]].add(row["requirement_id"])
    return {session: frozenset(numbers) for session, numbers in found.items()}
