"""Output: small logs in rows, large ones in files, and nothing acknowledged that is not stored."""

from pathlib import Path

import anyio
import pytest

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import frames
from orchestrator.protocol.limits import FRAME_DATA_BYTES, MIB, OUTPUT_INLINE_BYTES
from orchestrator.protocol.wire import Ack, Grant, ReportEvent, ReportRequest
from orchestrator.protocol.words import Directive, JobState, Outcome
from orchestrator.server.facts import OutputGrew
from orchestrator.server.operations.output import output_state
from orchestrator.server.operations.ownership import AttemptKey
from orchestrator.server.output_intake import OutputIntake
from orchestrator.server.output_log import OutputLogs, OutputState
from tests.integration.store.world import (
    Worker,
    World,
    digest,
    ended,
    output,
    printed,
    started,
)


class Logs:
    """A world's output, from the sender's and the reader's side."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.files = OutputLogs(folder)
        self.intake = OutputIntake(world.store, self.files)

    async def take(self, worker: Worker, grant: Grant, data: bytes, *, offset: int = 0) -> Ack:
        """Send frames by themselves."""
        key = AttemptKey(grant.job_id, grant.attempt, worker.session)
        return await self.intake.take(key, offset, data, worker_id=worker.id)

    async def state(self, grant: Grant) -> OutputState:
        """Return what is committed."""
        state = await self.world.read(lambda r: output_state(r, grant.job_id, grant.attempt))
        assert state is not None
        return state

    async def read(self, grant: Grant) -> bytes:
        """Return the whole log as a reader would collect it."""
        state = await self.state(grant)
        collected, offset = bytearray(), 0
        while offset < state.length:
            chunk = self.files.read(state, offset=offset, limit=64 * 1024)
            assert chunk is not None
            collected += chunk.frames
            offset = chunk.end
        return bytes(collected)


@pytest.fixture
def logs(world: World, tmp_path: Path) -> Logs:
    """Output logs beside the world's database."""
    (tmp_path / "output").mkdir()
    return Logs(world, tmp_path / "output")


@pytest.fixture
async def worker(world: World) -> Worker:
    """A connected worker."""
    return await world.worker()


async def test_small_output_rides_in_a_report(world: World, worker: Worker, logs: Logs) -> None:
    """A few lines are in the row at once, counted by stream, and nothing is on the file system."""
    grant = await worker.running()
    data = printed(b"out\n", b"more\n") + printed(b"oops\n", stream=frames.FrameType.ERR)
    data += printed(b"ours", stream=frames.FrameType.NOTE)

    ack = await worker.tell(output(grant, data))

    assert ack.output_offset == len(data)
    assert await logs.read(grant) == data
    attempt = (await world.job(grant.job_id)).attempts[0]
    assert (attempt.stdout_bytes, attempt.stderr_bytes) == (9, 5)
    assert list(logs.folder.iterdir()) == []
    assert OutputGrew(grant.job_id, 1) in world.facts


async def test_a_whole_life_in_one_report(world: World, worker: Worker, logs: Logs) -> None:
    """Start, output and end may come together, and the end's digest is checked against both."""
    await world.submit()
    grant = await worker.claim_one()
    data = printed(b"hello\n")

    ack = await worker.tell(
        started(grant),
        output(grant, data),
        ended(grant, output_length=len(data), output_digest=digest(data)),
    )

    assert (ack.settled, ack.output_offset) == (True, len(data))
    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 0
    assert (await logs.state(grant)).closed


async def test_output_grows_piece_by_piece(worker: Worker, logs: Logs) -> None:
    """Pieces are appended in order, also several in one report."""
    grant = await worker.running()
    pieces = [printed(b"%d\n" % number) for number in range(10)]
    offset = 0
    for first, second in zip(pieces[::2], pieces[1::2], strict=True):
        one = output(grant, first, offset=offset)
        two = output(grant, second, offset=offset + len(first))
        offset = (await worker.tell(one, two)).output_offset

    assert await logs.read(grant) == b"".join(pieces)


async def test_repeated_output_is_stored_once(worker: Worker, logs: Logs) -> None:
    """What is known already is skipped, and what is new behind it is taken."""
    grant = await worker.running()
    first, second = printed(b"one\n"), printed(b"two\n")
    await worker.tell(output(grant, first))

    assert (await worker.tell(output(grant, first))).output_offset == len(first)
    ack = await worker.tell(output(grant, first + second))

    assert ack.output_offset == len(first + second)
    assert await logs.read(grant) == first + second


async def test_output_behind_a_gap_is_not_taken(worker: Worker, logs: Logs) -> None:
    """The answer says from where on to send; nothing is stored out of order."""
    grant = await worker.running()
    first = printed(b"one\n")
    await worker.tell(output(grant, first))

    ack = await worker.tell(output(grant, printed(b"three\n"), offset=len(first) + 21))

    assert ack.output_offset == len(first)
    assert await logs.read(grant) == first


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
        lambda data: frames.encode(frames.FrameType.EXIT, 1, b"{}"),
    ],
)
async def test_damaged_output_is_refused(worker: Worker, logs: Logs, harm: object) -> None:
    """Torn, altered or foreign frames are refused and nothing of them is stored."""
    assert callable(harm)
    grant = await worker.running()
    data = harm(printed(b"one\n", b"two\n"))

    with pytest.raises(RequestInvalid) as refusal:
        await worker.tell(output(grant, data))
    with pytest.raises(RequestInvalid):
        await logs.take(worker, grant, data)

    assert refusal.value.problem_code == "output_damaged"
    assert (await logs.state(grant)).length == 0


async def test_an_end_waits_for_its_output(world: World, worker: Worker) -> None:
    """An end that names more output than is stored is not settled; the answer says what lacks."""
    grant = await worker.running()
    first, second = printed(b"one\n"), printed(b"two\n")
    end = ended(grant, output_length=len(first + second), output_digest=digest(first + second))
    await worker.tell(output(grant, first))

    ack = await worker.tell(end)
    assert (ack.settled, ack.output_offset) == (False, len(first))
    assert await worker.tell(end) == ack
    assert (await world.job(grant.job_id)).state is JobState.RUNNING

    ack = await worker.tell(output(grant, second, offset=len(first)), end)
    assert ack.settled
    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 0


async def test_output_that_will_never_come_is_shown_as_missing(
    world: World, worker: Worker
) -> None:
    """When the worker says that it has no more, the end is accepted and tells how much lacks."""
    grant = await worker.running()
    data = printed(b"one\n")

    ack = await worker.tell(
        output(grant, data), ended(grant, output_length=len(data) + 100, output_final=True)
    )

    assert ack.settled
    job = await world.job(grant.job_id)
    assert (job.state, job.attempts[0].output_missing_bytes) == (JobState.SUCCEEDED, 100)


async def test_output_that_was_altered_is_shown_as_missing(world: World, worker: Worker) -> None:
    """A log of the right length with another digest is vouched for by nobody."""
    grant = await worker.running()
    data = printed(b"one\n")

    await worker.tell(
        output(grant, data),
        ended(grant, output_length=len(data), output_digest=digest(printed(b"two\n"))),
    )

    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == len(data)


async def test_a_worker_may_have_less_than_the_server(world: World, worker: Worker) -> None:
    """What a power cut took from the worker is not taken from the server."""
    grant = await worker.running()
    data = printed(b"one\n", b"two\n")

    ack = await worker.tell(output(grant, data), ended(grant, output_length=21))

    assert ack.settled
    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 0


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


async def test_nobody_else_may_write(world: World, worker: Worker, logs: Logs) -> None:
    """Another worker, an old session and an ended attempt are told to abandon."""
    grant = await worker.running()
    eve = await world.worker("eve")
    assert (await logs.take(eve, grant, printed(b"x"))).directive is Directive.ABANDON

    await worker.tell(ended(grant))
    assert (await logs.take(worker, grant, printed(b"x"))).directive is Directive.ABANDON
    assert (await logs.state(grant)).length == 0


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


async def test_each_attempt_has_its_own_output(world: World, worker: Worker, logs: Logs) -> None:
    """A second attempt begins an empty log, and the first one stays as it was."""
    grant = await worker.running()
    await worker.tell(output(grant, printed(b"first\n")), ended(grant, Outcome.PREEMPTED))
    again = await worker.claim_one()

    assert await logs.read(again) == b""
    await worker.tell(started(again), output(again, printed(b"second\n")))

    assert await logs.read(grant) == printed(b"first\n")
    latest = await world.read(lambda r: output_state(r, grant.job_id, None))
    assert latest is not None
    assert (latest.attempt, latest.inline) == (2, printed(b"second\n"))


async def test_output_of_what_never_ran(world: World) -> None:
    """A job that was never claimed has an empty log; one that is not there has none."""
    job = await world.submit()

    state = await world.read(lambda r: output_state(r, job.id, None))
    assert state == OutputState(job.id, 0, 0)
    await world.cancel(job.id)
    state = await world.read(lambda r: output_state(r, job.id, None))
    assert state is not None
    assert state.closed
    assert await world.read(lambda r: output_state(r, world.id("job"), None)) is None
    assert await world.read(lambda r: output_state(r, job.id, 1)) is None


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
