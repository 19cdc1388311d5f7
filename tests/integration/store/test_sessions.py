"""Sessions: a worker process ends and another begins, and every attempt is accounted for."""

import pytest

from orchestrator.kernel.errors import AlreadyExists, LeaseLost, NotFound
from orchestrator.protocol.limits import HEARTBEAT_S, LEASE_S
from orchestrator.protocol.wire import HeldVerdict
from orchestrator.protocol.words import Directive, JobState, Outcome, Verdict
from orchestrator.server.facts import SessionEnded, SessionOpened
from orchestrator.server.operations.requirements import (
    requirement_id,
    requirement_of,
    session_requirements,
)
from tests.integration.store.world import (
    World,
    digest,
    ended,
    held,
    output,
    printed,
    started,
)
from tests.support.builders import delay, spec


def verdicts(found: list[HeldVerdict]) -> list[tuple[Verdict, int]]:
    """Return what matters of them."""
    return [(one.verdict, one.output_offset) for one in found]


async def test_a_session_tells_its_rhythm(world: World) -> None:
    """A worker is told who it is in this session, and how often to be heard."""
    worker = await world.worker()
    reply = await worker.connect()

    assert reply.session_id == worker.session
    assert (reply.heartbeat_s, reply.lease_s) == (HEARTBEAT_S, LEASE_S)
    assert (reply.server_time_us, reply.verdicts) == (world.now_us, [])


async def test_a_session_is_announced_with_what_it_satisfies(world: World) -> None:
    """Dispatch hears which requirements a session satisfies, and finds the same after a restart."""
    await world.submit(delay())
    await world.submit(requires={"tags": ["gpu"]})
    worker = await world.worker()

    fits = frozenset({requirement_id(requirement_of(spec(delay())))})
    assert SessionOpened(worker.session, fits) in world.facts
    assert await world.read(session_requirements) == {worker.session: fits}
    await worker.goodbye()
    assert SessionEnded(worker.session) in world.facts
    assert await world.read(session_requirements) == {}


async def test_a_new_session_ends_the_one_before(world: World) -> None:
    """A worker has one session; the older one is refused everything but its late reports."""
    worker = await world.worker()
    old = worker.session
    await worker.connect()
    assert SessionEnded(old) in world.facts

    worker.session = old
    with pytest.raises(LeaseLost):
        await worker.heartbeat()
    with pytest.raises(LeaseLost):
        await worker.claim()


async def test_what_runs_is_kept(world: World) -> None:
    """An attempt that the spool holds goes on in the new session, from where its output is."""
    worker = await world.worker()
    grant = await worker.running()
    data = printed(b"so far\n")
    await worker.tell(output(grant, data))

    reply = await worker.connect(held(grant))

    assert verdicts(reply.verdicts) == [(Verdict.KEEP, len(data))]
    assert (await world.told(grant.job_id))[-1] == "reattached"
    end = ended(grant, output_length=len(data), output_digest=digest(data))
    assert (await worker.tell(end)).settled
    assert (await world.job(grant.job_id)).state is JobState.SUCCEEDED


async def test_what_was_granted_and_kept_may_still_start(world: World) -> None:
    """A grant in the spool that has not started is kept, and its start is believed."""
    await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()

    reply = await worker.connect(held(grant, "granted"))

    assert verdicts(reply.verdicts) == [(Verdict.KEEP, 0)]
    assert (await world.job(grant.job_id)).state is JobState.LEASED
    assert (await worker.tell(started(grant), ended(grant))).settled


async def test_what_ended_meanwhile_is_asked_for(world: World) -> None:
    """An end that was not reported yet is wanted."""
    worker = await world.worker()
    grant = await worker.running()

    reply = await worker.connect(held(grant, "ended"))

    assert verdicts(reply.verdicts) == [(Verdict.REPORT, 0)]
    assert (await worker.tell(ended(grant))).settled


async def test_the_old_session_does_not_speak_for_what_was_kept(world: World) -> None:
    """A report of the old session that arrives late changes nothing."""
    worker = await world.worker()
    grant = await worker.running()
    old = worker.session
    await worker.connect(held(grant))
    new, worker.session = worker.session, old

    ack = await worker.tell(ended(grant))

    assert ack.directive is Directive.ABANDON
    job = await world.job(grant.job_id)
    assert (job.state, job.attempts[0].late_result) == (JobState.RUNNING, None)
    worker.session = new
    assert (await worker.tell(ended(grant))).settled


async def test_what_the_spool_forgot_is_lost_by_policy(world: World) -> None:
    """An attempt of the same spool that is not listed is indeterminate, and tried again."""
    worker = await world.worker()
    grant = await worker.running()

    await worker.connect()

    job = await world.job(grant.job_id)
    assert (job.state, job.attempts[0].outcome) == (JobState.SCHEDULED, Outcome.INDETERMINATE)
    assert (await world.told(grant.job_id))[-2:] == ["lost", "retry_planned"]


async def test_what_the_spool_forgot_is_given_up_in_the_end(world: World) -> None:
    """A job that is forgotten more often than its policy allows fails."""
    worker = await world.worker()
    grant = await worker.running(max_lost=1)
    await worker.connect()
    await world.pass_time(5)
    await worker.tell(started(await worker.claim_one()))

    await worker.connect()

    job = await world.job(grant.job_id)
    assert (job.state, job.reason, job.attempt) == ("failed", "poison", 2)


async def test_a_cancelled_job_that_was_forgotten_is_cancelled(world: World) -> None:
    """Nobody waits for an attempt that the worker does not know."""
    worker = await world.worker()
    grant = await worker.running()
    await world.cancel(grant.job_id)

    await worker.connect()

    assert (await world.job(grant.job_id)).state is JobState.CANCELLED


async def test_what_is_not_ones_own_any_more_is_abandoned(world: World) -> None:
    """Attempts that were lost, given to others, never were, or are somebody else's, are dropped."""
    worker, other = await world.worker("w1"), await world.worker("w2")
    lost = await worker.running()
    await world.pass_time(80)
    await other.heartbeat()
    foreign = await other.claim_one()
    assert foreign.job_id == lost.job_id
    unknown = lost.model_copy(update={"job_id": world.id("job")})

    reply = await worker.connect(held(lost), held(foreign), held(unknown, "ended"))

    assert [verdict for verdict, _ in verdicts(reply.verdicts)] == [Verdict.ABANDON] * 3
    assert (await world.job(lost.job_id)).attempt == 2


async def test_a_lost_attempt_that_ended_is_asked_for_its_account(world: World) -> None:
    """What was declared lost and did end is kept as a late result, once."""
    worker = await world.worker()
    grant = await worker.running()
    await world.pass_time(80)

    reply = await worker.connect(held(grant, "ended"))
    assert verdicts(reply.verdicts) == [(Verdict.REPORT, 0)]
    assert (await worker.tell(ended(grant))).directive is Directive.ABANDON
    late = (await world.job(grant.job_id)).attempts[0].late_result
    assert late is not None
    assert late["outcome"] == "succeeded"

    reply = await worker.connect(held(grant, "ended"))
    assert verdicts(reply.verdicts) == [(Verdict.ABANDON, 0)]


async def test_what_was_settled_is_forgotten(world: World) -> None:
    """An end whose answer was lost is in the spool, and the server has it already."""
    worker = await world.worker()
    grant = await worker.running()
    await worker.tell(ended(grant))

    reply = await worker.connect(held(grant, "ended"))

    assert verdicts(reply.verdicts) == [(Verdict.ABANDON, 0)]
    assert (await world.job(grant.job_id)).state is JobState.SUCCEEDED


async def test_another_spool_is_refused_while_the_session_lives(world: World) -> None:
    """Two processes with one token do not share a name; the second is told so."""
    worker = await world.worker()
    first, grant = worker.session, await worker.running()

    with pytest.raises(AlreadyExists) as refusal:
        await worker.connect(spool_id="another-spool")

    assert refusal.value.problem_code == "session_superseded"
    assert worker.session == first
    assert (await worker.tell(ended(grant))).settled


async def test_another_spool_may_take_over(world: World) -> None:
    """A takeover ends the old session at once; what it ran is lost."""
    worker = await world.worker()
    grant = await worker.running()

    reply = await worker.connect(held(grant), spool_id="another-spool", takeover=True)

    assert verdicts(reply.verdicts) == [(Verdict.ABANDON, 0)]
    job = await world.job(grant.job_id)
    assert (job.state, job.attempts[0].outcome) == (JobState.SCHEDULED, Outcome.LOST)


async def test_another_spool_may_come_when_the_lease_is_over(world: World) -> None:
    """A worker that lost its state directory is let in once its old self is given up."""
    worker = await world.worker()
    await world.pass_time(LEASE_S - 1)
    with pytest.raises(AlreadyExists):
        await worker.connect(spool_id="another-spool")
    await world.pass_time(15)

    await worker.connect(spool_id="another-spool")

    await worker.heartbeat()


async def test_another_spool_may_come_after_goodbye(world: World) -> None:
    """A session that ended in order holds nobody up."""
    worker = await world.worker()
    await worker.goodbye()

    await worker.connect(spool_id="another-spool")


async def test_goodbye_gives_back_what_never_started(world: World) -> None:
    """Grants go back to the queue at once; what runs stays with the worker for its next session."""
    worker = await world.worker()
    running = await worker.running()
    await world.submit()
    granted = await worker.claim_one()

    await worker.goodbye()
    await worker.goodbye()

    assert (await world.job(granted.job_id)).state is JobState.QUEUED
    assert (await world.job(running.job_id)).state is JobState.RUNNING
    reply = await worker.connect(held(running))
    assert verdicts(reply.verdicts) == [(Verdict.KEEP, 0)]
    assert (await worker.tell(ended(running))).settled


async def test_nobody_ends_anothers_session(world: World) -> None:
    """Somebody else's session and one that never was are the same to whoever asks."""
    worker, eve = await world.worker("w1"), await world.worker("eve")
    eve.session = worker.session
    with pytest.raises(NotFound):
        await eve.goodbye()

    await worker.heartbeat()


async def test_a_request_that_was_overtaken_ends_nothing(world: World) -> None:
    """A session request that comes late, or again, is refused: what its worker does goes on."""
    worker = await world.worker(number=7)
    await world.submit()
    grant = await worker.claim_one()
    session = worker.session

    for number in (7, 6):
        with pytest.raises(LeaseLost, match="later request"):
            await worker.connect(number=number)

    assert (await world.job(grant.job_id)).state is JobState.LEASED
    assert (await worker.connect(held(grant, "granted"), number=8)).session_id != session
    assert (await world.job(grant.job_id)).state is JobState.LEASED


async def test_a_worker_that_is_not_enrolled_gets_no_session(world: World) -> None:
    """A session needs a worker that is known."""
    worker = await world.worker()
    worker.id = world.id("worker")

    with pytest.raises(NotFound):
        await worker.connect()


async def test_a_session_for_thousands_of_attempts(world: World) -> None:
    """Everything that a large worker holds is judged in one call."""
    jobs = 600
    for _ in range(jobs):
        await world.submit()
    worker = await world.worker(slots=1024)
    grants = [grant for _ in range(3) for grant in await worker.claim(256)]
    await worker.report(*map(started, grants))

    reply = await worker.connect(*map(held, grants[:-1]))

    assert {verdict.verdict for verdict in reply.verdicts} == {Verdict.KEEP}
    assert len(reply.verdicts) == jobs - 1
    states = await world.read(
        lambda r: dict(r.tuples("SELECT state, count(*) FROM job GROUP BY state"))
    )
    assert states == {"running": jobs - 1, "scheduled": 1}
