"""What a new job does about a key that others hold: wait, be refused, or make them give way.

Whoever only waits needs nothing here: the gates keep it back. The others look at every job with the
key that is not over, also at those that wait, because those came before it.
"""

from typing import Final

from orchestrator.core.job import CancelAsked, decide
from orchestrator.kernel.errors import Refused
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.waiting import Concurrency
from orchestrator.protocol.words import JobEventType, JobState
from orchestrator.server.facts import OrderPending
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord
from orchestrator.server.store.interface import Transaction

_SELECT: Final = f"""
    SELECT {JOB_COLUMNS} FROM line_key JOIN job ON job.line_id = line_key.line_id
        AND (job.line_id & 1) = 1 AND job.finished_us IS NULL
    WHERE line_key.kind = 'limit' AND line_key.name = :name
"""
NAMED: Final = 5
"""Of the jobs that hold a key, in a refusal: enough to know whose they are."""


def make_way(tx: Transaction, spec: JobSpec, *, job_id: str) -> None:
    """Refuse a new job whose key is taken, or let older ones give way, where it asks for that."""
    for asked in spec.concurrency:
        if asked.strategy == "wait":
            continue
        found = [JobRecord.of(row) for row in tx.tuples(_SELECT, name=asked.key)]
        holders = sorted(found, key=lambda job: job.id)
        if asked.strategy == "cancel_running":
            _let_give_way(tx, asked, holders, job_id=job_id)
        elif len(holders) >= asked.limit:
            raise _taken(asked, holders)


def _taken(asked: Concurrency, holders: list[JobRecord]) -> Refused:
    named = ", ".join(f"{job.id} ({job.state})" for job in holders[:NAMED])
    more = f" and {len(holders) - NAMED} more" if len(holders) > NAMED else ""
    return Refused(
        f"the key {asked.key} is taken: {len(holders)} of {asked.limit} by {named}{more}",
        hint="submit it once they are over, or with the strategy wait or cancel_running",
        code="concurrency_key_taken",
    )


def _let_give_way(
    tx: Transaction, asked: Concurrency, holders: list[JobRecord], *, job_id: str
) -> None:
    """End as many of the oldest as have to make room for one more."""
    staying = [job for job in holders if job.state is not JobState.CANCELLING]
    too_many = max(0, len(staying) - asked.limit + 1)
    changes = Changes(tx)
    words = encoded({"by": "policy", "comment": f"{job_id} came with the key {asked.key}"})
    for job in staying[:too_many]:
        asking = CancelAsked(by_policy=True)
        change = decide(job.rules(), asking, now_us=tx.now_us)
        if job.session_id is not None:
            changes.announce(OrderPending(job.session_id))
        changes.tell(job, JobEventType.CANCEL_REQUESTED, data=words)
        changes.become(job, change)
    changes.save()
