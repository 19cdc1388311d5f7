"""How far an attempt is: its last word counts, as long as it may speak."""

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.protocol.limits import PROGRESS_CHARS, PROGRESS_COUNTERS
from orchestrator.protocol.views import ProgressView
from orchestrator.protocol.wire import Grant, Progress
from orchestrator.protocol.words import Directive
from orchestrator.server.facts import JobChanged
from tests.integration.store.world import World, ended, failed, key, started


def progress(grant: Grant, seq: int, **fields: Any) -> Progress:
    """Say how far an attempt is."""
    return Progress(**key(grant), seq=seq, **{"at_us": 2**60, "percent": seq, **fields})


async def _shown(world: World, job_id: str) -> ProgressView:
    found = (await world.job(job_id)).progress
    assert found is not None
    return found


async def test_the_last_word_is_shown_while_it_runs(world: World) -> None:
    """With its moment, its message and its counters; and nobody has to ask twice to see it."""
    worker = await world.worker()
    grant = await worker.running()
    assert (await world.job(grant.job_id)).progress is None
    world.facts.clear()
    world.clock.seconds += 2

    ack = await worker.tell(
        progress(grant, 1), progress(grant, 2, message="linking", counters={"files": 7})
    )

    shown = await _shown(world, grant.job_id)
    assert (shown.percent, shown.message, shown.counters) == (2, "linking", {"files": 7})
    assert shown.at.timestamp() == world.clock.now()
    assert (ack.settled, ack.directive) == (False, None)
    assert JobChanged(grant.job_id) in world.facts
    assert (await world.job(grant.job_id)).attempts[0].progress == shown
    assert await world.told(grant.job_id) == ["submitted", "claimed", "started"]


async def test_a_word_that_comes_late_or_again_changes_nothing(world: World) -> None:
    """Its number decides, not its percentage: that may fall when a try begins a part anew."""
    worker = await world.worker()
    grant = await worker.running()
    await worker.tell(progress(grant, 5, percent=80))
    world.facts.clear()

    await worker.tell(progress(grant, 4, percent=90))
    await worker.tell(progress(grant, 5, percent=99))
    assert (await _shown(world, grant.job_id)).percent == 80
    assert JobChanged(grant.job_id) not in world.facts

    await worker.tell(progress(grant, 6, percent=10))
    assert (await _shown(world, grant.job_id)).percent == 10


async def test_a_job_that_is_over_shows_none(world: World) -> None:
    """Its try keeps the last word, also one that comes with the end; the next try begins anew."""
    worker = await world.worker()
    grant = await worker.running(retry={"max_attempts": 2, "backoff": {"initial_s": 0}})
    await worker.report(progress(grant, 3), failed(grant))
    assert (await world.job(grant.job_id)).progress is None

    await world.pass_time(5)
    again = await worker.claim_one()
    await worker.report(started(again), progress(again, 1))
    assert (await _shown(world, grant.job_id)).percent == 1
    await worker.tell(ended(again))

    job = await world.job(grant.job_id)
    assert job.progress is None
    told = [attempt.progress.percent for attempt in job.attempts if attempt.progress]
    assert told == [3, 1]


async def test_nobody_speaks_for_an_attempt_that_is_not_his(world: World) -> None:
    """Who lost it is told to abandon it, and a session that is not entitled changes nothing."""
    worker = await world.worker()
    grant = await worker.running()
    await world.pass_time(80)

    ack = await worker.tell(progress(grant, 1))

    assert ack.directive is Directive.ABANDON
    assert (await world.job(grant.job_id)).attempts[0].progress is None


@pytest.mark.parametrize(
    "fields",
    [
        {"percent": 101},
        {"percent": -1},
        {"message": "x" * (PROGRESS_CHARS + 1)},
        {"counters": {str(n): n for n in range(PROGRESS_COUNTERS + 1)}},
        {"counters": {"files": -1}},
        {"seq": 0},
    ],
)
async def test_what_is_no_progress_is_refused(world: World, fields: dict[str, Any]) -> None:
    """Each of its parts has its limits."""
    worker = await world.worker()
    grant = await worker.running()

    with pytest.raises(ValidationError):
        Progress(**{**progress(grant, 1).model_dump(), **fields})
