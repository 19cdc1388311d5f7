"""Reports of which one part cannot be: it is refused alone, and the rest is recorded."""

import pytest

from orchestrator.protocol.limits import OUTPUT_INLINE_BYTES
from orchestrator.protocol.wire import Ack, Grant, ReportEvent, ReportRequest
from orchestrator.protocol.words import Directive, JobState, Outcome
from tests.integration.store.logs import Logs
from tests.integration.store.world import (
    Worker,
    World,
    ended,
    failed,
    output,
    printed,
    released,
    started,
)

LARGE = printed(b"x" * OUTPUT_INLINE_BYTES)


def _released(grant: Grant) -> list[ReportEvent]:
    return [released(grant)]


def _suspended(grant: Grant) -> list[ReportEvent]:
    return [ended(grant, Outcome.SUSPENDED)]


def _given_back_as_an_end(grant: Grant) -> list[ReportEvent]:
    return [ended(grant, Outcome.RELEASED, exit_code=3)]


def _torn(grant: Grant) -> list[ReportEvent]:
    return [output(grant, printed(b"one")[:-1])]


def _good_then_torn(grant: Grant) -> list[ReportEvent]:
    first = printed(b"one")
    return [output(grant, first), output(grant, printed(b"two")[:-1], offset=len(first))]


def _large_and_torn(grant: Grant) -> list[ReportEvent]:
    return [output(grant, LARGE[:-1]), ended(grant)]


REFUSABLE = [
    _released,
    _suspended,
    _given_back_as_an_end,
    _torn,
    _good_then_torn,
    _large_and_torn,
]


async def _report(logs: Logs, worker: Worker, *events: ReportEvent) -> list[Ack]:
    """Report as the server does: what is too large for a row is stored before."""
    request = ReportRequest(session_id=worker.session, events=list(events))
    await logs.intake.take_large(request, worker_id=worker.id)
    return await worker.report(*events)


@pytest.mark.parametrize("said", REFUSABLE)
async def test_what_cannot_be_is_refused_for_its_attempt_alone(
    world: World, worker: Worker, logs: Logs, said: object
) -> None:
    """The other ends of the batch are recorded, and the refused attempt is as it was."""
    assert callable(said)
    first, bad, last = [await worker.running() for _ in range(3)]
    before = await world.job(bad.job_id), await world.events(bad.job_id)

    acks = await _report(logs, worker, ended(first), *said(bad), failed(last, 3))

    assert [ack.job_id for ack in acks] == [first.job_id, bad.job_id, last.job_id]
    assert [ack.settled for ack in acks] == [True, False, True]
    assert [ack.directive for ack in acks] == [None, Directive.ABANDON, None]
    assert (await world.job(first.job_id)).state is JobState.SUCCEEDED
    assert (await world.job(last.job_id)).exit_code == 3
    assert (await world.job(bad.job_id), await world.events(bad.job_id)) == before
    assert (await logs.state(bad)).length == 0


async def test_nothing_of_a_refused_attempt_is_half_applied(world: World, worker: Worker) -> None:
    """What the batch said of the attempt before the fault does not count either."""
    await world.submit()
    grant = await worker.claim_one()
    before = await world.job(grant.job_id), await world.events(grant.job_id)
    broken = ended(grant, Outcome.SUSPENDED, started_at_us=2**60, exit_code=1)

    for said in ([started(grant), released(grant)], [broken]):
        assert (await worker.tell(*said)).directive is Directive.ABANDON

        assert (await world.job(grant.job_id), await world.events(grant.job_id)) == before
    assert (await worker.tell(released(grant))).settled


async def test_a_late_end_beside_a_refused_attempt_is_kept_once(
    world: World, worker: Worker
) -> None:
    """Beginning again without the refused attempt neither loses nor doubles the rest."""
    over, bad = await worker.running(), await worker.running()
    await worker.tell(ended(over))

    late, refused = await worker.report(failed(over, 9), released(bad))

    assert (late.directive, refused.directive) == (Directive.ABANDON, Directive.ABANDON)
    assert (await world.told(over.job_id)).count("late_result") == 1
    kept = (await world.job(over.job_id)).attempts[0].late_result
    assert kept is not None
    assert kept["exit_code"] == 9
