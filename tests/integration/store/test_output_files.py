"""Output in files: large logs, restarts and crashes between file and commit, the cap."""

from functools import partial
from pathlib import Path

import anyio
import pytest

from orchestrator.kernel.errors import RequestInvalid, StoreBusy
from orchestrator.protocol import frames
from orchestrator.protocol.limits import FRAME_DATA_BYTES, MIB, OUTPUT_INLINE_BYTES
from orchestrator.protocol.wire import Ack, ReportEvent, ReportRequest
from orchestrator.server import output_log
from orchestrator.server.operations import output as operations
from orchestrator.server.store.interface import Transaction, Value
from tests.integration.store.logs import Logs
from tests.integration.store.world import (
    Worker,
    World,
    digest,
    ended,
    output,
    printed,
)


async def test_large_output_goes_to_files(world: World, worker: Worker, logs: Logs) -> None:
    """Output beyond eight KiB is in part files, also what was in the row before."""
    grant = await worker.running()
    small = printed(b"x" * 1000)
    large = b"".join(printed(bytes([n]) * FRAME_DATA_BYTES) for n in range(20))
    await worker.tell(output(grant, small))

    ack = await logs.take(worker, grant, large, offset=len(small))

    assert ack.output_offset == len(small + large)
    assert await logs.read(grant) == small + large
    state = await logs.state(grant)
    assert (state.inline, [part.start for part in state.parts]) == (b"", [0])
    assert (await world.job(grant.job_id)).attempts[0].stdout_bytes == 1000 + 20 * FRAME_DATA_BYTES


async def test_a_file_grows_by_reports_too(world: World, worker: Worker, logs: Logs) -> None:
    """A job that prints little by little outgrows its row, and its output is complete."""
    grant = await worker.running()
    data = b""
    while len(data) < OUTPUT_INLINE_BYTES * 2:
        piece = output(grant, printed(b"line\n" * 100), offset=len(data))
        request = await _report(logs, worker, piece)
        data += piece.frames
        assert request.output_offset == len(data)

    end = ended(grant, output_length=len(data), output_digest=digest(data))
    assert (await _report(logs, worker, end)).settled
    assert await logs.read(grant) == data
    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 0


async def _report(logs: Logs, worker: Worker, event: ReportEvent) -> Ack:
    """Report as the server does: what is too large for a row is stored before."""
    request = ReportRequest(session_id=worker.session, events=[event])
    await logs.intake.take_large(request, worker_id=worker.id)
    return await worker.tell(*request.events)


async def test_output_survives_a_restart_at_any_point(
    world: World, worker: Worker, logs: Logs
) -> None:
    """The digest goes on where it was, so an end after a restart is still checked."""
    grant = await worker.running()
    pieces = [printed(bytes([n]) * 5000) for n in range(6)]
    data = b""
    for piece in pieces:
        await logs.take(worker, grant, piece, offset=len(data))
        data += piece
        await world.restart()
        logs = Logs(world, logs.folder)

    ack = await worker.tell(ended(grant, output_length=len(data), output_digest=digest(data)))

    assert ack.settled
    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 0
    assert await logs.read(grant) == data


async def test_bytes_whose_commit_never_came_do_not_count(worker: Worker, logs: Logs) -> None:
    """A crash before the commit leaves bytes that nobody reads and the next write replaces."""
    grant = await worker.running()
    first = printed(b"a" * 9000)
    await logs.take(worker, grant, first)
    (path,) = [file for file in logs.folder.rglob("*") if file.is_file()]
    path.write_bytes(path.read_bytes() + b"torn, and longer than what comes" * 1000)

    assert await logs.read(grant) == first
    second = printed(b"b" * 9000)
    await logs.take(worker, grant, second, offset=len(first))

    assert await logs.read(grant) == first + second


async def test_what_cannot_be_stored_is_not_acknowledged(worker: Worker, logs: Logs) -> None:
    """A disk that refuses makes the upload fail for now, and nothing of it counts."""
    grant = await worker.running()
    in_the_way = logs.folder / grant.job_id[-2:]
    in_the_way.write_text("not a folder")

    with pytest.raises(StoreBusy):
        await logs.take(worker, grant, printed(b"a" * 9000))
    assert (await logs.state(grant)).length == 0

    in_the_way.unlink()
    assert (await logs.take(worker, grant, printed(b"a" * 9000))).output_offset == 9017


async def test_two_writers_of_one_log_do_not_mix(worker: Worker, logs: Logs) -> None:
    """A repeated upload beside the first one stores every byte once."""
    grant = await worker.running()
    data = b"".join(printed(bytes([n]) * FRAME_DATA_BYTES) for n in range(10))
    acks: list[Ack] = []

    async def send(until: int) -> None:
        acks.append(await logs.take(worker, grant, data[:until]))

    whole = len(printed(b"x" * FRAME_DATA_BYTES))
    async with anyio.create_task_group() as group:
        for count in (10, 3, 10, 7):
            group.start_soon(send, count * whole)

    assert max(ack.output_offset for ack in acks) == len(data)
    assert await logs.read(grant) == data


async def test_over_the_cap_head_and_tail_stay(world: World, worker: Worker, logs: Logs) -> None:
    """Beyond 64 MiB the middle is dropped, and the bytes that went are counted exactly."""
    grant = await worker.running()
    block = b"".join(
        frames.encode(frames.FrameType.OUT, 1, bytes([n]) * FRAME_DATA_BYTES) for n in range(63)
    )
    sent = 0
    for _ in range(19):
        sent = (await logs.take(worker, grant, block, offset=sent)).output_offset

    state = await logs.state(grant)
    attempt = (await world.job(grant.job_id)).attempts[0]
    own = 19 * 63 * FRAME_DATA_BYTES
    kept = sum(part.own_bytes for part in state.parts)
    assert (sent, attempt.stdout_bytes) == (19 * len(block), own)
    assert attempt.output_dropped_bytes == own - kept > 0
    assert sum(part.own_bytes for part in state.parts if part.end <= state.gap_start) >= 8 * MIB
    assert sum(part.own_bytes for part in state.parts if part.start >= state.gap_end) >= 56 * MIB
    files = [file for file in logs.folder.rglob("*") if file.is_file()]
    assert len(files) == len(state.parts)
    read = await logs.read(grant)
    assert len(read) == sent - (state.gap_end - state.gap_start)
    jump = logs.files.read(state, offset=state.gap_start, limit=1)
    assert jump is not None
    assert jump.offset == state.gap_end
    end = ended(grant, output_length=sent, output_digest=digest(block * 19))
    assert (await worker.tell(end)).settled
    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 0


async def test_a_state_that_is_out_of_date_is_noticed(worker: Worker, logs: Logs) -> None:
    """Whoever reads a part that was dropped meanwhile is told to look again."""
    grant = await worker.running()
    await logs.take(worker, grant, printed(b"a" * 9000))
    state = await logs.state(grant)
    logs.files.drop(grant.job_id, grant.attempt, [0])

    assert logs.files.read(state, offset=0, limit=10) is None


@pytest.mark.parametrize("offset", [-1, 1, 5, 9000])
async def test_reading_begins_where_a_frame_begins(worker: Worker, logs: Logs, offset: int) -> None:
    """An offset that nobody was given is refused, not answered with noise."""
    grant, small = await worker.running(), await worker.running()
    await logs.take(worker, grant, printed(b"a" * 9000))
    await logs.take(worker, small, printed(b"a" * 100, b"b" * 8000))

    for state in (await logs.state(grant), await logs.state(small)):
        if offset < state.length:
            with pytest.raises(RequestInvalid) as refusal:
                logs.files.read(state, offset=offset, limit=10)
            assert refusal.value.problem_code == "cursor_invalid"


async def test_removing_a_jobs_output_leaves_the_others(worker: Worker, logs: Logs) -> None:
    """Everything of one job goes, and nothing of another."""
    one, two = await worker.running(), await worker.running()
    for grant in (one, two):
        await logs.take(worker, grant, printed(b"a" * 9000))

    logs.files.remove(one.job_id)
    logs.files.remove(one.job_id)

    assert await logs.read(two) == printed(b"a" * 9000)
    assert len([file for file in logs.folder.rglob("*") if file.is_file()]) == 1


async def test_a_log_begins_with_its_folders_on_the_disk(
    worker: Worker, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that a crash left behind may be there without its name being durable yet."""
    grant = await worker.running()
    home = logs.folder / grant.job_id[-2:] / grant.job_id
    home.mkdir(parents=True)
    synced: list[Path] = []
    monkeypatch.setattr(output_log, "sync_dir", synced.append)

    await logs.take(worker, grant, printed(b"a" * 9000))
    assert synced == [home, home.parent, logs.folder]

    await logs.take(worker, grant, printed(b"b" * 9000), offset=9017)
    assert len(synced) == 3


@pytest.mark.parametrize("name", ["_SAVE_PART", "_DROP_PART"])
async def test_parts_are_guarded_by_their_own_statement(
    world: World, worker: Worker, logs: Logs, name: str
) -> None:
    """A session that is not entitled changes no row of a part, whatever was checked before."""
    grant = await worker.running()
    await logs.take(worker, grant, printed(b"a" * 9000))
    before = await logs.state(grant)
    part: dict[str, Value] = {"job_id": grant.job_id, "attempt": 1, "start": 0}
    if name == "_SAVE_PART":
        part |= {"length": 1, "own_bytes": 1}

    for session in ("session_of_eve", worker.session):
        written = await world.write(
            partial(_execute, text=vars(operations)[name], values={**part, "session_id": session})
        )
        assert written == (session == worker.session)
        if not written:
            assert await logs.state(grant) == before
    assert await logs.state(grant) != before


def _execute(tx: Transaction, *, text: str, values: dict[str, Value]) -> int:
    return tx.execute(text, **values)
