"""Let workers in, and show them."""

from dataclasses import dataclass
from typing import Final

from pydantic_core import from_json

from orchestrator.core.lease import is_online
from orchestrator.protocol.base import moment, moment_or_none
from orchestrator.protocol.tokens import WorkerToken, token_hash
from orchestrator.protocol.views import WorkerView
from orchestrator.protocol.wire import EnrolReply, EnrolRequest
from orchestrator.server.facts import KeysChanged
from orchestrator.server.operations.breakers import BREAKER_COLUMNS, breaker_of
from orchestrator.server.operations.lease_clock import LeaseClock, read_lease_clock
from orchestrator.server.operations.quarantine import quarantine_view
from orchestrator.server.operations.tokens import replace_token
from orchestrator.server.store.interface import Reader, Row, Transaction

_SAVE_MACHINE: Final = """
    INSERT INTO machine (id, fingerprint, hostname, platform, arch, cpu_count, memory_bytes, python)
    VALUES (:id, :fingerprint, :hostname, :platform, :arch, :cpu_count, :memory_bytes, :python)
    ON CONFLICT (fingerprint) DO UPDATE SET hostname = excluded.hostname,
        platform = excluded.platform, arch = excluded.arch, cpu_count = excluded.cpu_count,
        memory_bytes = excluded.memory_bytes, python = excluded.python
    RETURNING id
"""
_FIND_WORKER: Final = "SELECT id FROM worker WHERE machine_id = :machine_id AND name = :name"
_INSERT_WORKER: Final = """
    INSERT INTO worker (id, machine_id, name, token_hash, registered_us)
    VALUES (:id, :machine_id, :name, :token_hash, :now)
"""
_SELECT: Final = f"""
    SELECT worker.id, worker.name, worker.machine_id, worker.registered_us, machine.hostname,
        machine.platform, machine.cpu_count, machine.memory_bytes, session.version, session.slots,
        session.tags, session.kinds, session.renewed_us, session.renewed_lease_us, session.ended_us,
        (SELECT count(*) FROM job WHERE job.session_id = session.id) AS busy, session.id AS session,
        {BREAKER_COLUMNS}
    FROM worker
    JOIN machine ON machine.id = worker.machine_id
    LEFT JOIN session ON session.id = worker.session_id
    LEFT JOIN breaker ON breaker.worker_id = worker.id
"""
_ALL: Final = f"{_SELECT} ORDER BY worker.name, worker.id"
_ONE: Final = f"{_SELECT} WHERE worker.id = :worker_id"


@dataclass(frozen=True, slots=True)
class EnrolIds:
    """New ids and a new secret (`tokens.make_token("secret", …)`) for a worker that may be new."""

    machine_id: str
    worker_id: str
    secret: str


def enrol(tx: Transaction, request: EnrolRequest, *, ids: EnrolIds) -> EnrolReply:
    """Return a worker's credential. The same machine and name is the same worker with a new one.

    Only its hash is kept, so the old credential cannot be shown again; it stops being valid.
    """
    (machine,) = tx.rows(
        _SAVE_MACHINE,
        id=ids.machine_id,
        fingerprint=request.fingerprint,
        **request.host.model_dump(),
    )
    known = tx.row(_FIND_WORKER, machine_id=machine["id"], name=request.name)
    worker_id = ids.worker_id if known is None else known["id"]
    token = str(WorkerToken(machine["id"], worker_id, ids.secret))
    if known is None:
        tx.execute(
            _INSERT_WORKER,
            id=worker_id,
            machine_id=machine["id"],
            name=request.name,
            token_hash=token_hash(token),
            now=tx.now_us,
        )
    else:
        replace_token(tx, worker_id, token)
    tx.announce(KeysChanged())
    return EnrolReply(token=token, worker_id=worker_id, machine_id=machine["id"])


def list_workers(reader: Reader) -> list[WorkerView]:
    """Return every worker as it was last seen."""
    clock = read_lease_clock(reader)
    return [_view(reader, row, clock) for row in reader.rows(_ALL)]


def view_worker(reader: Reader, worker_id: str) -> WorkerView:
    """Return one worker, which is there."""
    [row] = reader.rows(_ONE, worker_id=worker_id)
    return _view(reader, row, read_lease_clock(reader))


def _view(reader: Reader, row: Row, clock: LeaseClock) -> WorkerView:
    seen = row["renewed_us"]
    connected = seen is not None and row["ended_us"] is None
    return WorkerView(
        id=row["id"],
        name=row["name"],
        machine_id=row["machine_id"],
        hostname=row["hostname"],
        platform=row["platform"],
        version=row["version"],
        online=connected and is_online(renewed_at=row["renewed_lease_us"], now=clock.now),
        slots=row["slots"] or 0,
        busy=row["busy"],
        tags=[] if row["tags"] is None else from_json(row["tags"]),
        kinds=[] if row["kinds"] is None else from_json(row["kinds"]),
        cpu_count=row["cpu_count"],
        memory_bytes=row["memory_bytes"],
        registered_at=moment(row["registered_us"]),
        last_seen_at=moment_or_none(seen),
        quarantine=quarantine_view(
            reader,
            breaker_of(row),
            worker_id=row["id"],
            session_id=row["session"] if connected else None,
        ),
    )
