"""What a new job does about a key that others hold: wait, be refused, or make them give way.

Whoever only waits needs nothing here: the gates keep it back. The others count every job with the
key that is not over, also those that wait, because those came before it.
"""

from typing import Final

from orchestrator.core.job import CancelAsked, decide
from orchestrator.kernel.errors import Refused
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.waiting import Concurrency
from orchestrator.protocol.words import IfTaken, JobState
from orchestrator.server.operations.cancel import order
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord
from orchestrator.server.store.interface import Reader, Transaction

_HOLDERS: Final = """
    FROM line_key JOIN job ON job.line_id = line_key.line_id
        AND (job.line_id & 1) = 1 AND job.finished_us IS NULL
    WHERE line_key.kind = 'limit' AND line_key.name = :name
"""
_STAYING: Final = f"{_HOLDERS} AND job.state <> '{JobState.CANCELLING}'"
_COUNT: Final = f"SELECT count(*) {_HOLDERS}"
_COUNT_STAYING: Final = f"SELECT count(*) {_STAYING}"
_SELECT_OLDEST: Final = f"SELECT job.id, job.state {_HOLDERS} ORDER BY job.id LIMIT :most"
_SELECT_OLDEST_STAYING: Final = f"SELECT {JOB_COLUMNS} {_STAYING} ORDER BY job.id LIMIT :most"
NAMED: Final = 5
"""Of the jobs that hold a key, in a refusal: enough to know whose they are."""


def make_way(tx: Transaction, spec: JobSpec, *, job_id: str) -> None:
    """Refuse a new job whose key is taken, or let older ones give way, where it asks for that."""
    for asked in spec.concurrency:
        match asked.strategy:
            case IfTaken.WAIT:
                continue
            case IfTaken.REFUSE:
                _refuse_if_taken(tx, asked)
            case IfTaken.CANCEL_RUNNING:
                _let_give_way(tx, asked, job_id=job_id)


def _refuse_if_taken(reader: Reader, asked: Concurrency) -> None:
    ((count,),) = reader.tuples(_COUNT, name=asked.key)
    if count < asked.limit:
        return
    oldest = reader.tuples(_SELECT_OLDEST, name=asked.key, most=NAMED)
    named = ", ".join(f"{job_id} ({state})" for job_id, state in oldest)
    more = f" and {count - NAMED} more" if count > NAMED else ""
    raise Refused(
        f"the key {asked.key} is taken: {count} of {asked.limit} by {named}{more}",
        hint="submit it once they are over, or with the strategy wait or cancel_running",
        code="concurrency_key_taken",
    )


def _let_give_way(tx: Transaction, asked: Concurrency, *, job_id: str) -> None:
    """End as many of the oldest as have to make room for one more."""
    ((staying,),) = tx.tuples(_COUNT_STAYING, name=asked.key)
    too_many = max(0, staying - asked.limit + 1)
    changes = Changes(tx)
    words = encoded({"by": "policy", "comment": f"{job_id} came with the key {asked.key}"})
    for row in tx.tuples(_SELECT_OLDEST_STAYING, name=asked.key, most=too_many):
        job = JobRecord.of(row)
        change = decide(job.rules(), CancelAsked(by_policy=True), now_us=tx.now_us)
        order(changes, job, change, words)
    changes.save()
