"""Batches: taken in as a whole or not at all, added to, closed, cancelled, tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.dependencies import circle
from orchestrator.core.job import CancelAsked, decide
from orchestrator.kernel.errors import IllegalTransition, RequestInvalid
from orchestrator.protocol.batches import BatchItem, BatchReply
from orchestrator.protocol.jobs import Dependency, JobFields, JobSpec
from orchestrator.protocol.words import JobState
from orchestrator.server.facts import Scheduled
from orchestrator.server.operations.batch_rows import FROM_THE_END, POLICY
from orchestrator.server.operations.batch_views import batch_reply, batch_row, batch_state
from orchestrator.server.operations.cancel import order
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.dependencies import (
    NEW,
    NOTHING,
    judged,
    keep,
    parents_of,
    unknown,
)
from orchestrator.server.operations.queues import Defaults
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord
from orchestrator.server.operations.repeat import renewed
from orchestrator.server.operations.submit import NewJob, Rows, enter, fail_with
from orchestrator.server.store.interface import Transaction

STOPPED_AT_ONCE: Final = 500
"""Jobs that one operation cancels."""
_FAULTS: Final = 20
"""Told of one call; whoever has more of them has one cause."""

_INSERT: Final = """
    INSERT INTO batch (id, owner, name, defaults, max_fails, created_us, closed_us)
    VALUES (:id, :owner, :name, :defaults, :max_fails, :now, :closed_us)
"""
_CLOSE: Final = "UPDATE batch SET closed_us = :now WHERE id = :id AND closed_us IS NULL"
_STOP: Final = f"""
    UPDATE batch SET stopped_us = :now, stopped_by = :by, comment = :comment,
        closed_us = coalesce(closed_us, :now), stopping_before = '{FROM_THE_END}'
    WHERE id = :id AND stopped_us IS NULL
"""
_GO_ON: Final = "UPDATE batch SET stopped_us = NULL, stopped_by = NULL WHERE id = :id"
_SELECT_STOPPING: Final = """
    SELECT id, stopping_before, stopped_by, comment FROM batch
    WHERE stopping_before IS NOT NULL ORDER BY id LIMIT 1
"""
# From its end: what depends on another job is as a rule behind it, and is to be cancelled as well,
# instead of failing with it.
_SELECT_TO_STOP: Final = f"""
    SELECT {JOB_COLUMNS} FROM job WHERE batch_id = :batch_id AND id < :before
    ORDER BY id DESC LIMIT :limit
"""
_STOPPED: Final = "UPDATE batch SET stopping_before = :before WHERE id = :id"
_SELECT_FAILED: Final = f"""
    SELECT job.id, job_spec.spec FROM job JOIN job_spec ON job_spec.job_id = job.id
    WHERE job.batch_id = :batch_id AND job.state = '{JobState.FAILED}' AND NOT EXISTS (
        SELECT 1 FROM job AS again WHERE again.retry_of = job.id AND again.batch_id = job.batch_id
    )
    ORDER BY job.id LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What a new batch says of itself."""

    id: str
    owner: str
    name: str | None = None
    defaults: str = "{}"
    max_fails: int | None = None
    is_open: bool = False


def create(
    tx: Transaction, new: NewBatch, items: Sequence[BatchItem], *, job_ids: Sequence[str]
) -> BatchReply:
    """Store a batch with all its jobs, or nothing: every item that is wrong is named."""
    tx.execute(
        _INSERT,
        id=new.id,
        owner=new.owner,
        name=new.name,
        defaults=new.defaults,
        max_fails=new.max_fails,
        now=tx.now_us,
        closed_us=None if new.is_open else tx.now_us,
    )
    _take_in(tx, new.id, new.owner, items, job_ids)
    return batch_reply(tx, new.id, job_ids)


def append(
    tx: Transaction, batch_id: str, items: Sequence[BatchItem], *, job_ids: Sequence[str]
) -> BatchReply:
    """Add jobs to a batch that is open; they are its owner's."""
    row = batch_row(tx, batch_id)
    if row["closed_us"] is not None:
        raise IllegalTransition(
            f"{batch_id} takes no more jobs: it is {batch_state(row)}",
            hint="submit a new batch; one with open: true takes more items until it is closed",
        )
    _take_in(tx, batch_id, row["owner"], items, job_ids)
    return batch_reply(tx, batch_id, job_ids)


def close(tx: Transaction, batch_id: str) -> BatchReply:
    """Take no more jobs into a batch. Twice is once."""
    batch_row(tx, batch_id)
    tx.execute(_CLOSE, id=batch_id, now=tx.now_us)
    return batch_reply(tx, batch_id)


def cancel_batch(
    tx: Transaction, batch_id: str, *, by: str, comment: str | None = None
) -> BatchReply:
    """End a batch: what waits is cancelled, what runs is ended, some of it now and the rest soon.

    Twice is once.
    """
    batch_row(tx, batch_id)
    if tx.execute(_STOP, id=batch_id, now=tx.now_us, by=by, comment=comment) and stop_some(tx):
        tx.announce(Scheduled(tx.now_us))
    return batch_reply(tx, batch_id)


def stop_some(tx: Transaction) -> bool:
    """Cancel some jobs of a batch that was ended; tell whether there may be more of them."""
    batch = tx.row(_SELECT_STOPPING)
    if batch is None:
        return False
    before, limit = batch["stopping_before"], STOPPED_AT_ONCE
    rows = tx.tuples(_SELECT_TO_STOP, batch_id=batch["id"], before=before, limit=limit)
    asked = CancelAsked(by_policy=batch["stopped_by"] == POLICY)
    words = encoded({"by": batch["stopped_by"], "comment": batch["comment"]})
    changes = Changes(tx)
    for row in rows:
        job = JobRecord.of(row)
        change = decide(job.rules(), asked, now_us=tx.now_us)
        if change.path:
            order(changes, job, change, words)
    changes.save()
    tx.execute(_STOPPED, id=batch["id"], before=rows[-1][0] if len(rows) == limit else None)
    return True


def retry_failed(
    tx: Transaction, batch_id: str, *, owner: str, job_ids: Sequence[str]
) -> BatchReply:
    """Submit every job of a batch that failed, and was not tried again yet, as a new one of it.

    At most as many as there are ids. One that depended on another failed one depends on that one's
    successor; of the rest only what is still open counts.
    """
    row = batch_row(tx, batch_id)
    if row["stopping_before"] is not None:
        raise IllegalTransition(f"{batch_id} is just being cancelled", hint="ask again in a moment")
    found = tx.tuples(_SELECT_FAILED, batch_id=batch_id, limit=len(job_ids) + 1)
    chosen = list(zip(found, job_ids, strict=False))
    successors = {old: new for (old, _), new in chosen}
    if chosen:
        tx.execute(_GO_ON, id=batch_id)
    specs = [JobSpec.model_validate_json(spec) for (_, spec), _ in chosen]
    known = parents_of(tx, [one for spec in specs for one in spec.depends_on])
    known = {**known, **dict.fromkeys(job_ids, NEW)}
    defaults, rows, waiting = Defaults(tx), Rows(), []
    for ((old, _), new), spec in zip(chosen, specs, strict=True):
        again = renewed(spec, known, now_us=tx.now_us, successors=successors)
        again = defaults.applied(again)
        needs = judged(known, again.depends_on)
        enter(tx, rows, NewJob(new, owner, again, old, batch_id, needs))
        waiting += [(new, one) for one in needs.open]
    rows.write(tx)
    keep(tx, waiting)
    done = [new for _, new in chosen]
    return batch_reply(tx, batch_id, done, more=len(found) > len(chosen))


def _take_in(
    tx: Transaction,
    batch_id: str,
    owner: str,
    items: Sequence[BatchItem],
    job_ids: Sequence[str],
) -> None:
    """Store jobs, each with what it depends on, or refuse all of them for what is wrong in any."""
    faults = _faults_of_places(items)
    wanted = [] if faults else [_dependencies(item, job_ids) for item in items]
    new = set(job_ids)
    known = parents_of(tx, [one for some in wanted for one in some if one.job not in new])
    known = {**known, **dict.fromkeys(job_ids, NEW)}
    defaults, rows, entered = Defaults(tx), Rows(), []
    for index, (item, job_id, needed) in enumerate(zip(items, job_ids, wanted, strict=False)):
        wrong = list(unknown(known, needed))
        needs = NOTHING if wrong else judged(known, needed)
        try:
            spec = defaults.applied(_spec(item, needed))
            enter(tx, rows, NewJob(job_id, owner, spec, None, batch_id, needs))
        except RequestInvalid as error:
            wrong += error.fields
        entered.append((job_id, needs))
        faults += [(f"items.{index}.{field}", fault) for field, fault in wrong]
    if faults:
        raise _refusal(faults)
    rows.write(tx)
    keep(tx, [(job_id, one) for job_id, needs in entered for one in needs.open])
    for job_id, needs in entered:
        fail_with(tx, job_id, needs)


def _faults_of_places(items: Sequence[BatchItem]) -> list[tuple[str, str]]:
    """Return what is wrong with the items that items name: that they are not there, or a circle."""
    faults = [
        (f"items.{index}.depends_on.{place}.item", f"there is no item {one.item} in this call")
        for index, item in enumerate(items)
        for place, one in enumerate(item.depends_on)
        if one.item is not None and one.item >= len(items)
    ]
    if faults:
        return faults
    found = circle([[one.item for one in i.depends_on if one.item is not None] for i in items])
    if found is None:
        return []
    path = " → ".join(map(str, found))
    return [(f"items.{found[0]}.depends_on", f"it waits for itself: {path}")]


def _refusal(faults: Sequence[tuple[str, str]]) -> RequestInvalid:
    places = ", ".join(dict.fromkeys(field for field, _ in faults[:_FAULTS]))
    return RequestInvalid(
        f"nothing was submitted, because of these fields: {places}",
        hint="mend these items and submit all of them again",
        fields=tuple(faults[:_FAULTS]),
        code="batch_invalid",
    )


def _dependencies(item: BatchItem, job_ids: Sequence[str]) -> list[Dependency]:
    return [
        Dependency(
            job=job_ids[one.item] if one.item is not None else str(one.job),
            on=one.on,
            on_failure=one.on_failure,
        )
        for one in item.depends_on
    ]


def _spec(item: BatchItem, depends_on: Sequence[Dependency]) -> JobSpec:
    """Return an item as the job that it is; everything in it was validated already."""
    fields = {name: getattr(item, name) for name in JobFields.model_fields}
    return JobSpec.model_construct(item.model_fields_set, **fields, depends_on=list(depends_on))
