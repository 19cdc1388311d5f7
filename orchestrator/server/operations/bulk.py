"""Give one order to all jobs that a filter means: counted first, then done a few at a time.

Each step is one transaction that also says how far it came, so whatever dies in between, the order
goes on behind the last job that it was given to, and no job is given it twice.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.bulk import APPLICABLE, Preview
from orchestrator.core.job_filter import JobFilter, parse
from orchestrator.kernel.errors import Forbidden, Mistaken, NotFound, Refused
from orchestrator.protocol.base import moment, moment_or_none
from orchestrator.protocol.bulk import BulkOrder, BulkView
from orchestrator.protocol.jobs import AmendRequest
from orchestrator.protocol.views import HoldReply
from orchestrator.protocol.words import BulkAction
from orchestrator.server.operations.amend import amend
from orchestrator.server.operations.cancel import cancel
from orchestrator.server.operations.delete import delete
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.job_lists import Cursor, Found, find_jobs
from orchestrator.server.operations.queues import require_queue
from orchestrator.server.operations.repeat import asked_of, repeat
from orchestrator.server.store.interface import Reader, Row, Transaction
from orchestrator.server.store.savepoint import savepoint

STEP: Final = 100
"""Jobs in one transaction: tens of milliseconds of the writer."""
COUNTED: Final = 1000
_SELECT: Final = "SELECT * FROM bulk WHERE id = :id"
_SELECT_OPEN: Final = "SELECT id FROM bulk WHERE finished_us IS NULL ORDER BY id LIMIT 1"
_INSERT: Final = """
    INSERT INTO bulk (id, token, owner, may_cancel, q, action, at_us, upto, expected, created_us,
        finished_us)
    VALUES (:id, :token, :owner, :may_cancel, :q, :action, :at_us, :upto, :expected, :now,
        :finished_us)
    ON CONFLICT (token) DO NOTHING
"""
_ADVANCE: Final = """
    UPDATE bulk SET done = done + :done, refused = refused + :refused, position = :position,
        finished_us = :finished_us
    WHERE id = :id AND position = :was AND finished_us IS NULL
"""
_FAIL: Final = """
    UPDATE bulk SET finished_us = :now, failure = :why WHERE id = :id AND finished_us IS NULL
"""
_END_ALL: Final = "UPDATE bulk SET finished_us = :now WHERE finished_us IS NULL"
_FORGET: Final = "DELETE FROM bulk WHERE finished_us < :before"
_KEPT_US: Final = 30 * 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class NewBulk:
    """Who gives a new order, and whether they may end jobs: repeating one may end others."""

    id: str
    owner: str
    may_cancel: bool = False


def newest_job(reader: Reader) -> str | None:
    """Return the last job that is there."""
    found = reader.tuples("SELECT id FROM job ORDER BY id DESC LIMIT 1")
    return found[0][0] if found else None


def meant(
    reader: Reader, order: BulkOrder, preview: Preview, *, position: str, limit: int
) -> Found:
    """Return some of the jobs that the order is for, the oldest first, and where to go on."""
    return find_jobs(
        reader,
        [
            parse(order.q, now_us=preview.at_us),
            JobFilter(states=APPLICABLE[order.action]),
        ],
        cursor=Cursor(position) if position else None,
        limit=limit,
        oldest_first=True,
        upto=preview.upto,
    )


def require_understood(reader: Reader, order: BulkOrder, *, now_us: int) -> None:
    """Refuse an order that nobody could do: for a filter without meaning, or into no queue."""
    parse(order.q, now_us=now_us)
    if order.queue is not None:
        require_queue(reader, order.queue)


def begin_bulk(tx: Transaction, order: BulkOrder, preview: Preview, new: NewBulk) -> BulkView:
    """Write an order down, and return it; the same preview gives the same order again.

    What nobody could do is refused, whoever has made the preview.
    """
    require_understood(tx, order, now_us=preview.at_us)
    token = preview.token(order.canonical())
    tx.execute(
        _INSERT,
        id=new.id,
        token=token,
        owner=new.owner,
        may_cancel=int(new.may_cancel),
        q=order.q,
        action=order.canonical(),
        at_us=preview.at_us,
        upto=preview.upto,
        expected=preview.count,
        now=tx.now_us,
        finished_us=None if preview.count else tx.now_us,
    )
    tx.execute(_FORGET, before=tx.now_us - _KEPT_US)
    return _view(tx.rows("SELECT * FROM bulk WHERE token = :token", token=token)[0])


def get_bulk(reader: Reader, bulk_id: str) -> BulkView | None:
    """Return an order and how far it came."""
    row = reader.row(_SELECT, id=bulk_id)
    return None if row is None else _view(row)


def end_bulks(tx: Transaction) -> None:
    """Let no order go on that a backup brought back: it would let go what was just held."""
    tx.execute(_END_ALL, now=tx.now_us)


def fail_bulk(tx: Transaction, bulk_id: str, *, why: str) -> None:
    """End an order that cannot go on; what it has done stays done, and is told."""
    tx.execute(_FAIL, id=bulk_id, why=why, now=tx.now_us)


def open_bulk(reader: Reader) -> str | None:
    """Return an order that is not done, or `None`."""
    found = reader.tuples(_SELECT_OPEN)
    return found[0][0] if found else None


def next_of(reader: Reader, bulk_id: str) -> tuple[BulkAction, str, Found]:
    """Return what is done next: to which jobs, and behind which one.

    An order that another version wrote down may say what this one does not understand: `Mistaken`.
    """
    row = reader.row(_SELECT, id=bulk_id)
    if row is None:
        raise NotFound("there is no such order")
    order, preview = _order(row)
    position = row["position"]
    return order.action, position, meant(reader, order, preview, position=position, limit=STEP)


def advance(
    tx: Transaction, bulk_id: str, found: Found, *, was: str, new_ids: Sequence[str]
) -> bool:
    """Give the order to the jobs that were found; tell whether there may be more of them.

    Each is judged anew, by the rules: what changed since it was found is refused, not forced.
    """
    row = tx.row(_SELECT, id=bulk_id)
    if row is None or row["position"] != was or row["finished_us"] is not None:
        return row is not None and row["finished_us"] is None
    order, _ = _order(row)
    deed = _deed(tx, order, row, iter(new_ids))
    done = 0
    for job_id in found.ids:
        with contextlib.suppress(Refused, Mistaken), savepoint(tx):
            deed(job_id)
            done += 1
    more = found.following is not None
    tx.execute(
        _ADVANCE,
        id=bulk_id,
        was=was,
        done=done,
        refused=len(found.ids) - done,
        position=found.following.job_id if found.following else was,
        finished_us=None if more else tx.now_us,
    )
    return more


def _deed(
    tx: Transaction, order: BulkOrder, row: Row, new_ids: Iterator[str]
) -> Callable[[str], object]:
    owner = row["owner"]
    match order.action:
        case BulkAction.CANCEL:
            return lambda job_id: cancel(
                tx, job_id, by=owner, comment=order.comment, force=order.force
            )
        case BulkAction.HOLD:
            return lambda job_id: _one(hold(tx, [job_id], by=owner, comment=order.comment))
        case BulkAction.RELEASE:
            return lambda job_id: _one(release(tx, [job_id], by=owner, comment=order.comment))
        case BulkAction.RETRY:
            return lambda job_id: _repeat(tx, job_id, row, next(new_ids))
        case BulkAction.PRIORITY:
            asked = AmendRequest(priority=order.priority, comment=order.comment)
            return lambda job_id: amend(tx, job_id, asked, by=owner)
        case BulkAction.QUEUE:
            asked = AmendRequest(queue=order.queue, comment=order.comment)
            return lambda job_id: amend(tx, job_id, asked, by=owner)
        case BulkAction.DELETE:
            return lambda job_id: delete(tx, job_id)


def _repeat(tx: Transaction, job_id: str, row: Row, new_id: str) -> None:
    if not row["may_cancel"] and asked_of(tx, job_id).ends_others:
        raise Forbidden(f"to repeat {job_id} may end other jobs, which {row['owner']} may not")
    repeat(tx, job_id, new_id=new_id, owner=row["owner"], spec=None)


def _one(reply: HoldReply) -> None:
    if reply.refused:
        raise Refused(reply.refused[0].detail)


def _order(row: Row) -> tuple[BulkOrder, Preview]:
    order = BulkOrder.model_validate_json(row["action"])
    return order, Preview(row["upto"], row["at_us"], row["expected"])


def _view(row: Row) -> BulkView:
    order, _ = _order(row)
    is_done = row["finished_us"] is not None and row["failure"] is None
    return BulkView(
        id=row["id"],
        action=order.action,
        q=row["q"],
        owner=row["owner"],
        count=row["expected"],
        done=row["done"],
        refused=row["refused"],
        changed=row["expected"] - row["done"] - row["refused"] if is_done else None,
        failure=row["failure"],
        created_at=moment(row["created_us"]),
        finished_at=moment_or_none(row["finished_us"]),
    )
