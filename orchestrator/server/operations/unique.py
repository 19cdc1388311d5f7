"""Take in a unique job only if there is room for it, as is found in its submit's transaction.

Submits come one after the other on either database (ADR 0010), so what is seen here is still true
when the job is stored: of two at once the second finds the first.
"""

import hashlib
from typing import Final

from pydantic_core import to_json

from orchestrator.core.job import CancelAsked, decide
from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.core.unique import OPEN, Other, Rule, settle
from orchestrator.kernel.errors import AlreadyExists, NotFound
from orchestrator.protocol.company import Unique
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.cancel import order
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.jobs import view_job
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord
from orchestrator.server.store.interface import Transaction

_OPEN: Final = """
    SELECT id, state, created_us FROM job WHERE unique_key = :key AND finished_us IS NULL
"""
_OVER: Final = """
    SELECT id, state, created_us FROM job
    WHERE unique_key = :key AND finished_us IS NOT NULL AND created_us > :since AND state = :state
    ORDER BY created_us DESC LIMIT 1
"""
_KEEP: Final = "UPDATE job SET unique_key = :key WHERE id = :job_id"
_SELECT: Final = f"SELECT {JOB_COLUMNS} FROM job WHERE id = :job_id"


def rule_of(asked: Unique) -> Rule:
    """Return what a job asks for as the rule that it is."""
    window_us = None if asked.window_s is None else round(asked.window_s * 1_000_000)
    scope = frozenset(asked.scope) or OPEN | ({JobState.SUCCEEDED} if window_us else set())
    return Rule(scope, window_us, asked.on_conflict)


def unique_key(spec: JobSpec, asked: Unique) -> str:
    """Return the key of a job: the one that it names, or what it does, as a hash."""
    if asked.key is not None:
        return f"key:{asked.key}"
    does = (spec.kind, spec.params, spec.model_dump(include={"inputs"}), sorted(spec.env.items()))
    return f"params:{hashlib.sha256(_in_order(does)).hexdigest()}"


def _in_order(value: object) -> bytes:
    """Return JSON in which the order of keys says nothing."""
    return to_json(_sorted(value))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return [[key, _sorted(value[key])] for key in sorted(value)]
    if isinstance(value, list | tuple):
        return ["list", *map(_sorted, value)]
    return value


def find_room(tx: Transaction, spec: JobSpec, *, job_id: str, owner: str) -> JobView | None:
    """Return the job that is there already, if that is to be the answer; else make room.

    It is refused if there is no room and none can be made.
    """
    if spec.unique is None:
        return None
    key, rule = unique_key(spec, spec.unique), rule_of(spec.unique)
    verdict = settle(rule, _others(tx, key, rule), now_us=tx.now_us)
    if verdict.there is not None and verdict.refused:
        other, state = verdict.there.job_id, verdict.there.state
        raise AlreadyExists(
            f"{other} is there already ({state}), and this job is to be the only one of its key",
            hint=f"look at it: orchestrator jobs show {other}",
            code="unique_conflict",
        )
    if verdict.there is not None:
        return _existing(tx, verdict.there.job_id)
    _cancel(tx, verdict.giving_way, by=owner, replaced_by=job_id)
    return None


def keep_key(tx: Transaction, spec: JobSpec, *, job_id: str) -> None:
    """Keep the key of a job that was just stored, for those that come after it."""
    if spec.unique is not None:
        tx.execute(_KEEP, key=unique_key(spec, spec.unique), job_id=job_id)


def _others(tx: Transaction, key: str, rule: Rule) -> list[Other]:
    rows = tx.tuples(_OPEN, key=key)
    for state in sorted(rule.scope & TERMINAL):
        rows += tx.tuples(_OVER, key=key, since=rule.since(tx.now_us), state=state.value)
    return [Other(job_id, JobState(state), created_us) for job_id, state, created_us in rows]


def _existing(tx: Transaction, job_id: str) -> JobView:
    view = view_job(tx, job_id)
    if view is None:
        raise NotFound(f"there is no job {job_id}")
    return view.model_copy(update={"existing": True})


def _cancel(tx: Transaction, others: tuple[Other, ...], *, by: str, replaced_by: str) -> None:
    """End jobs that have not begun, each with a word about who takes its place."""
    changes = Changes(tx)
    comment = f"replaced by {replaced_by}"
    for other in others:
        job = JobRecord.of(tx.tuples(_SELECT, job_id=other.job_id)[0])
        change = decide(job.rules(), CancelAsked(by_policy=True), now_us=tx.now_us)
        job.message = comment
        order(changes, job, change, encoded({"by": by, "comment": comment}))
    changes.save()
