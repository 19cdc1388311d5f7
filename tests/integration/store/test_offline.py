"""An absent worker is seen: in lists, in stories, and again when it is back."""

from orchestrator.protocol.words import JobState
from tests.integration.store.world import World, ended, held, live


async def test_an_absent_worker_is_shown_offline_within_half_a_minute(world: World) -> None:
    """A job is never plainly running without a heartbeat, wherever it is shown."""
    worker = await world.worker()
    grant = await worker.running()
    assert not (await world.job(grant.job_id)).worker_offline

    await world.pass_time(30)

    job = await world.job(grant.job_id)
    assert (job.state, job.worker_offline) == (JobState.RUNNING, True)


async def test_a_worker_that_said_good_bye_is_shown_offline_at_once(world: World) -> None:
    """What it left running in a shim has no heartbeat from that moment on."""
    worker = await world.worker()
    grant = await worker.running()

    await worker.goodbye()

    job = await world.job(grant.job_id)
    assert (job.state, job.worker_offline) == (JobState.RUNNING, True)


async def test_a_worker_that_is_heard_of_is_never_shown_offline(world: World) -> None:
    """Every heartbeat in time keeps the job plainly running."""
    worker = await world.worker()
    grant = await worker.running()

    for _ in range(8):
        await world.pass_time(15)
        assert not (await world.job(grant.job_id)).worker_offline
        await worker.heartbeat(live(grant))

    assert "worker_offline" not in await world.told(grant.job_id)


async def test_the_story_tells_of_silence_and_return_once_each(world: World) -> None:
    """However long it lasts: one line when the worker falls silent, one when it is back."""
    worker = await world.worker()
    grant = await worker.running()

    await world.pass_time(50)
    await worker.heartbeat(live(grant))
    await world.pass_time(10)
    await worker.heartbeat(live(grant))
    await world.pass_time(40)
    await worker.connect(held(grant))
    await worker.tell(ended(grant))

    assert await world.told(grant.job_id) == [
        *("submitted", "claimed", "started", "worker_offline", "worker_back"),
        *("worker_offline", "reattached", "ended", "finished"),
    ]
    seqs = [event.seq for event in await world.events(grant.job_id)]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_restart_of_the_server_is_part_of_the_story_of_what_ran(world: World) -> None:
    """Jobs with a live attempt tell of it, others do not, and numbers have no gap."""
    worker = await world.worker()
    grant = await worker.running()
    waiting = await world.submit()
    done = await worker.claim_one()
    await worker.tell(ended(done))

    await world.restart()
    await worker.heartbeat(live(grant))
    ack = await worker.tell(ended(grant))

    assert ack.settled
    assert await world.told(grant.job_id) == [
        *("submitted", "claimed", "started", "server_restarted", "ended", "finished"),
    ]
    assert "server_restarted" not in await world.told(done.job_id)
    assert waiting.id == done.job_id


async def test_a_job_that_is_cancelling_shows_its_absent_worker(world: World) -> None:
    """A cancel that nobody hears says why it takes so long."""
    worker = await world.worker()
    grant = await worker.running()
    await world.cancel(grant.job_id)

    await world.pass_time(35)

    job = await world.job(grant.job_id)
    assert (job.state, job.worker_offline) == (JobState.CANCELLING, True)


async def test_a_job_without_a_worker_is_not_offline(world: World) -> None:
    """What waits or is over has nobody who could be silent."""
    worker = await world.worker()
    over = await worker.running()
    await worker.tell(ended(over))
    waits = await world.submit()

    await world.pass_time(35)

    assert not (await world.job(over.job_id)).worker_offline
    assert not (await world.job(waits.id)).worker_offline
