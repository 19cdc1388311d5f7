"""Queues: how each is served, what it gives its jobs, and who paused it and why.

The default queue exists always. A queue that nobody has made is refused at submit, because a typing
mistake would otherwise make one that nobody serves as it should be.
"""

import json
from typing import Final

from pydantic_core import from_json

from orchestrator.core.line import DEFAULT_QUEUE
from orchestrator.kernel.errors import IllegalTransition, NotFound, Refused, RequestInvalid
from orchestrator.protocol.base import moment_or_none
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.limits import CLAIM_BATCH, QUEUES
from orchestrator.protocol.queues import QueueDefaults, QueueSettings
from orchestrator.protocol.views import QueueView
from orchestrator.protocol.words import Execution
from orchestrator.server.facts import Claimable
from orchestrator.server.operations.lines import required_in
from orchestrator.server.operations.records import NOT_OVER
from orchestrator.server.store.interface import Reader, Row, Transaction

_DEFAULTS: Final = "SELECT defaults FROM queue WHERE name = :name"
_NAMES: Final = "SELECT name FROM queue ORDER BY name"
_SELECT: Final = """
    SELECT name, weight, max_running, paused_us, paused_by, paused_why, defaults FROM queue
"""
_RUNNING: Final = """
    SELECT queue, count(*) AS jobs FROM job WHERE session_id > '' GROUP BY queue
"""
_QUEUED: Final = """
    SELECT line.queue, count(*) AS jobs FROM line
    JOIN job ON job.line_id = line.id AND job.state = 'queued'
    WHERE line.waiting = 1 GROUP BY line.queue
"""
_RUNNING_IN: Final = "SELECT count(*) FROM job WHERE session_id > '' AND queue = :name"
_QUEUED_IN: Final = """
    SELECT count(*) FROM line JOIN job ON job.line_id = line.id AND job.state = 'queued'
    WHERE line.queue = :name AND line.waiting = 1
"""
_INSERT: Final = "INSERT INTO queue (name) VALUES (:name)"
_UPDATE: Final = """
    UPDATE queue SET weight = :weight, max_running = :max_running, defaults = :defaults
    WHERE name = :name
"""
_PAUSE: Final = """
    UPDATE queue SET paused_us = :now, paused_by = :by, paused_why = :why WHERE name = :name
"""
_RESUME: Final = """
    UPDATE queue SET paused_us = NULL, paused_by = NULL, paused_why = NULL WHERE name = :name
"""
_OPEN: Final = f"SELECT id FROM job WHERE state IN ({NOT_OVER}) AND queue = :name LIMIT 1"


class Defaults:
    """What queues give to jobs that do not say it; many jobs of one queue ask for it once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[str, QueueDefaults | RequestInvalid | None] = {}

    def applied(self, spec: JobSpec) -> JobSpec:
        """Return a job with what its queue gives; refuse one of a queue that is not there.

        The job keeps what it was given: a later change of the queue changes no job.
        """
        if spec.queue not in self._known:
            self._known[spec.queue] = self._of(spec.queue)
        defaults = self._known[spec.queue]
        if isinstance(defaults, RequestInvalid):
            raise defaults
        if defaults is None:
            return spec
        fields = {
            name: value
            for name, value in defaults
            if value is not None and name not in spec.model_fields_set
        }
        if spec.execution is Execution.AT_MOST_ONCE:
            fields.pop("retry", None)
        return spec.model_copy(update=fields)

    def _of(self, queue: str) -> QueueDefaults | RequestInvalid | None:
        found = self._reader.tuples(_DEFAULTS, name=queue)
        if not found:
            return _unknown(self._reader, queue)
        stored = found[0][0]
        return None if stored == "{}" else QueueDefaults.model_validate_json(stored)


def require_queue(reader: Reader, name: str) -> None:
    """Refuse the name of a queue that nobody has made."""
    if not reader.tuples(_DEFAULTS, name=name):
        raise _unknown(reader, name)


def _unknown(reader: Reader, name: str) -> RequestInvalid:
    known = [one for (one,) in reader.tuples(_NAMES)]
    shown = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
    return RequestInvalid(
        f"there is no queue {name}",
        hint=f"there are: {shown}; orchestrator queues set {name} makes one",
        fields=(("queue", "is not the name of a queue"),),
        code="queue_unknown",
    )


def list_queues(reader: Reader) -> list[QueueView]:
    """Return every queue with what waits and runs in it."""
    running = {row["queue"]: row["jobs"] for row in reader.rows(_RUNNING)}
    queued = {row["queue"]: row["jobs"] for row in reader.rows(_QUEUED)}
    return [
        _view(row, queued=queued.get(row["name"], 0), running=running.get(row["name"], 0))
        for row in reader.rows(f"{_SELECT} ORDER BY name")
    ]


def get_queue(reader: Reader, name: str) -> QueueView:
    """Return one queue, or say that there is none of that name."""
    row = _known(reader, name)
    ((queued,),) = reader.tuples(_QUEUED_IN, name=name)
    ((running,),) = reader.tuples(_RUNNING_IN, name=name)
    return _view(row, queued=queued, running=running)


def _known(reader: Reader, name: str) -> Row:
    row = reader.row(f"{_SELECT} WHERE name = :name", name=name)
    if row is None:
        raise NotFound(f"there is no queue {name}", hint="orchestrator queues list shows them")
    return row


def _view(row: Row, *, queued: int, running: int) -> QueueView:
    return QueueView(
        name=row["name"],
        weight=row["weight"],
        max_running=row["max_running"],
        paused=row["paused_us"] is not None,
        paused_at=moment_or_none(row["paused_us"]),
        paused_by=row["paused_by"],
        paused_why=row["paused_why"],
        defaults=from_json(row["defaults"]),
        queued=queued,
        running=running,
    )


def set_queue(tx: Transaction, name: str, asked: QueueSettings) -> QueueView:
    """Change what is said of a queue, and make it if there is none; what is not said stays."""
    if not tx.tuples(_DEFAULTS, name=name):
        _refuse_too_many(tx)
        tx.execute(_INSERT, name=name)
    before = _known(tx, name)
    said = asked.model_dump(exclude_unset=True, mode="json")
    defaults = from_json(before["defaults"]) | said.get("defaults", {})
    tx.execute(
        _UPDATE,
        name=name,
        weight=said.get("weight", before["weight"]),
        max_running=said.get("max_running", before["max_running"]),
        defaults=json.dumps({key: value for key, value in defaults.items() if value is not None}),
    )
    _call_out(tx, name)
    return get_queue(tx, name)


def _refuse_too_many(reader: Reader) -> None:
    if len(reader.tuples(_NAMES)) >= QUEUES:
        raise Refused(
            f"there are {QUEUES} queues, and no more are allowed",
            hint="delete one (orchestrator queues delete), or tell jobs apart by fairness_key",
            code="too_many_queues",
        )


def pause_queue(tx: Transaction, name: str, *, by: str, why: str | None) -> QueueView:
    """Give out nothing more of a queue; what runs goes on. Twice is once, with the newer reason."""
    _known(tx, name)
    tx.execute(_PAUSE, name=name, now=tx.now_us, by=by, why=why)
    return get_queue(tx, name)


def resume_queue(tx: Transaction, name: str) -> QueueView:
    """Let a queue go on. One that is not paused stays as it is."""
    _known(tx, name)
    tx.execute(_RESUME, name=name)
    _call_out(tx, name)
    return get_queue(tx, name)


def delete_queue(tx: Transaction, name: str) -> None:
    """Forget a queue in which no job is that is not over."""
    _known(tx, name)
    if name == DEFAULT_QUEUE:
        raise IllegalTransition("the default queue stays", hint="pause it, if nothing is to start")
    found = tx.row(_OPEN, name=name)
    if found is not None:
        raise IllegalTransition(
            f"the queue {name} has jobs that are not over, for example {found['id']}",
            hint="wait for their end, or cancel them",
            code="queue_in_use",
        )
    tx.execute("DELETE FROM queue WHERE name = :name", name=name)
    tx.execute("DELETE FROM turn WHERE queue = :name", name=name)


def _call_out(tx: Transaction, name: str) -> None:
    """Wake whoever could take what waits in a queue whose gate may be open now."""
    for requirement in required_in(tx, name):
        tx.announce(Claimable(requirement, CLAIM_BATCH))
