"""Output in rows: small logs, ends that wait for their output, and who may write."""

import pytest

from orchestrator.protocol import frames
from orchestrator.protocol.words import Directive, JobState, Outcome
from orchestrator.server.facts import OutputGrew
from orchestrator.server.operations.output import output_state
from orchestrator.server.output_log import OutputState
from tests.integration.store.logs import Logs
from tests.integration.store.world import (
    Worker,
    World,
    digest,
    ended,
    output,
    printed,
    started,
)


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
    """Torn, altered or foreign frames are abandoned, in a report or not, and are not stored."""
    assert callable(harm)
    grant = await worker.running()
    data = harm(printed(b"one\n", b"two\n"))

    ack = await worker.tell(output(grant, data))
    alone = await logs.take(worker, grant, data)

    assert ack.directive is alone.directive is Directive.ABANDON
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
    whole = data + printed(b"two\n") + printed(b"oops\n", stream=frames.FrameType.ERR)
    end = ended(grant, output_length=len(whole), output_digest=digest(whole), output_final=True)

    ack = await worker.tell(
        output(grant, data), end.model_copy(update={"stdout_bytes": 8, "stderr_bytes": 5})
    )

    assert ack.settled
    job = await world.job(grant.job_id)
    [attempt] = job.attempts
    assert job.state is JobState.SUCCEEDED
    assert (attempt.stdout_bytes, attempt.stderr_bytes) == (4, 0)
    assert (attempt.declared_stdout_bytes, attempt.declared_stderr_bytes) == (8, 5)
    assert attempt.output_missing_bytes == 9


async def test_what_the_worker_could_not_keep_is_missing_as_well(
    world: World, worker: Worker
) -> None:
    """All frames came and their digest is right: they are not all that the command wrote."""
    grant = await worker.running()
    data = printed(b"one\n") + printed(b"1000 bytes were not kept", stream=frames.FrameType.NOTE)
    end = ended(grant, output_length=len(data), output_digest=digest(data), stdout_bytes=1004)

    assert (await worker.tell(output(grant, data), end)).settled

    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 1000
    state = await world.read(lambda r: output_state(r, grant.job_id, 1))
    assert state is not None
    assert state.missing_bytes == 1000


async def test_nothing_is_declared_of_what_nobody_saw_end(world: World, worker: Worker) -> None:
    """A lost attempt has output and no declaration: nobody knows whether any is missing."""
    grant = await worker.running(max_lost=0)
    await worker.tell(output(grant, printed(b"one\n")))
    await world.pass_time(1000)

    [attempt] = (await world.job(grant.job_id)).attempts
    assert (attempt.stdout_bytes, attempt.output_missing_bytes) == (4, 0)
    assert attempt.declared_stdout_bytes is attempt.declared_stderr_bytes is None


async def test_output_that_was_altered_is_shown_as_missing(world: World, worker: Worker) -> None:
    """A log of the right length with another digest is vouched for by nobody."""
    grant = await worker.running()
    data = printed(b"one\n")

    await worker.tell(
        output(grant, data),
        ended(
            grant,
            output_length=len(data),
            output_digest=digest(printed(b"two\n")),
            stdout_bytes=4,
        ),
    )

    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 4


@pytest.mark.parametrize(("said", "missing"), [(8, 0), (11, 3)])
async def test_a_worker_that_lost_a_part_of_its_log_knows_no_digest(
    world: World, worker: Worker, said: int, missing: int
) -> None:
    """The server has what a power cut took from the middle of the worker's log: that is counted."""
    grant = await worker.running()
    data = printed(b"one\n", b"two\n")
    end = ended(grant, output_length=len(data), output_digest=None, stdout_bytes=said)

    assert (await worker.tell(output(grant, data), end)).settled

    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == missing


async def test_a_worker_may_have_less_than_the_server(world: World, worker: Worker) -> None:
    """What a power cut took from the worker is not taken from the server."""
    grant = await worker.running()
    data = printed(b"one\n", b"two\n")

    ack = await worker.tell(output(grant, data), ended(grant, output_length=21))

    assert ack.settled
    assert (await world.job(grant.job_id)).attempts[0].output_missing_bytes == 0


async def test_nobody_else_may_write(world: World, worker: Worker, logs: Logs) -> None:
    """Another worker, an old session and an ended attempt are told to abandon."""
    grant = await worker.running()
    eve = await world.worker("eve")
    assert (await logs.take(eve, grant, printed(b"x"))).directive is Directive.ABANDON

    await worker.tell(ended(grant))
    assert (await logs.take(worker, grant, printed(b"x"))).directive is Directive.ABANDON
    assert (await logs.state(grant)).length == 0


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
