"""Keys, workers, files and repeated requests."""

from functools import partial

import pytest

from orchestrator.kernel.errors import Forbidden, NotFound, Refused, RequestInvalid
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.tokens import WorkerToken, make_token, token_hash
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobState, Scope
from orchestrator.server.facts import KeysChanged
from orchestrator.server.operations.files import find_file, input_file, record_file
from orchestrator.server.operations.idempotency import IdempotencyKey, once
from orchestrator.server.operations.keys import (
    NewKey,
    create_key,
    ensure_first_keys,
    find_principal,
    has_keys,
)
from orchestrator.server.operations.ownership import AttemptKey
from orchestrator.server.operations.submit import submit
from orchestrator.server.operations.tokens import renew_token
from orchestrator.server.operations.workers import list_workers
from orchestrator.server.store.interface import Transaction
from tests.integration.store.world import Worker, World

SPEC = JobSpec.model_validate_json('{"kind": "delay", "params": {"ms": 0}}')
ADMIN = NewKey("key_1", "first", token_hash("pak_x"), frozenset({Scope.ADMIN}))
KEY = IdempotencyKey("key_1", "POST /api/v1/jobs", "again", "0" * 64)


async def test_a_key_is_known_by_its_token(world: World) -> None:
    """Whoever shows a token is its principal, with its scopes; anybody else is nobody."""
    scopes = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})
    await world.write(lambda tx: create_key(tx, NewKey("key_9", "ci", token_hash("sak_x"), scopes)))

    found = await world.read(lambda r: find_principal(r, token_hash("sak_x")))

    assert found is not None
    assert (found.id, found.name, found.scopes, found.worker_id) == ("key_9", "ci", scopes, None)
    assert await world.read(lambda r: find_principal(r, token_hash("sak_y"))) is None
    assert world.facts == [KeysChanged()]


async def test_the_first_keys_are_made_once(world: World) -> None:
    """A new database gets its first keys; one that has keys gets none."""
    assert not await world.read(has_keys)
    assert await world.write(lambda tx: ensure_first_keys(tx, [ADMIN]))
    assert await world.read(has_keys)

    other = NewKey("key_2", "second", token_hash("pak_y"), frozenset({Scope.ADMIN}))
    assert not await world.write(lambda tx: ensure_first_keys(tx, [other]))
    assert await world.read(lambda r: find_principal(r, token_hash("pak_y"))) is None


async def test_a_worker_is_known_by_its_triple(world: World) -> None:
    """The whole credential counts, and it makes a worker and nothing else."""
    worker = Worker(world, "w1")
    token = await worker.enrol()

    found = await world.read(lambda r: find_principal(r, token_hash(token)))

    parsed = WorkerToken.parse(token)
    assert parsed is not None
    assert found is not None
    assert (found.worker_id, found.name) == (parsed.worker_id, "w1")
    assert found.scopes == {Scope.WORKER}
    assert await world.read(lambda r: find_principal(r, token_hash(parsed.secret))) is None


async def test_enrolling_again_is_the_same_worker_with_a_new_secret(world: World) -> None:
    """The same machine and name keeps its id; the old credential is void."""
    worker = Worker(world, "w1")
    old = await worker.enrol()
    first = worker.id
    new = await worker.enrol()

    assert worker.id == first
    assert new != old
    assert await world.read(lambda r: find_principal(r, token_hash(old))) is None
    assert await world.read(lambda r: find_principal(r, token_hash(new))) is not None


async def _renewed(world: World, worker: Worker, used: str, secret: bytes) -> str:
    """Return the new token that a worker gets for one of its tokens."""
    renew = partial(renew_token, worker_id=worker.id, used=token_hash(used), overlap_s=60)
    return (await world.write(partial(renew, secret=make_token("secret", secret * 32)))).token


async def _accepted(world: World, worker: Worker, *tokens: str) -> list[bool]:
    """Tell which of these tokens a worker may come with."""
    found = [
        await world.read(partial(find_principal, token_hash=token_hash(token))) for token in tokens
    ]
    assert {one.worker_id for one in found if one} <= {worker.id}
    return [one is not None for one in found]


async def test_a_renewed_token_is_accepted_for_a_while(world: World) -> None:
    """Both are the same worker; of three the first is void, and in time there is one."""
    worker = Worker(world, "w1")
    first = await worker.enrol()

    async def accepted(*tokens: str) -> list[bool]:
        return await _accepted(world, worker, *tokens)

    second = await _renewed(world, worker, first, b"2")
    assert await accepted(first, second) == [True, True]
    third = await _renewed(world, worker, second, b"3")
    assert await accepted(first, second, third) == [False, True, True]
    await world.pass_time(59)
    assert await accepted(second, third) == [True, True]
    await world.pass_time(2)
    assert await accepted(second, third) == [False, True]
    again = await _renewed(world, worker, third, b"4")
    enrolled = await worker.enrol()
    assert await accepted(third, again, enrolled) == [False, False, True]


async def test_answers_with_a_new_token_may_be_lost_again_and_again(world: World) -> None:
    """Whoever still has the old one gets another; what was never seen is void, and stays so."""
    worker = Worker(world, "w1")
    first = await worker.enrol()

    lost = await _renewed(world, worker, first, b"2")
    seen = await _renewed(world, worker, first, b"3")

    assert await _accepted(world, worker, first, lost, seen) == [True, False, True]
    with pytest.raises(Forbidden, match="was replaced"):
        await _renewed(world, worker, lost, b"4")


async def test_workers_are_shown_as_they_were_last_seen(world: World) -> None:
    """Online for half a minute after the last sign of life; busy as far as attempts are live."""
    fresh = Worker(world, "fresh")
    await fresh.enrol()
    worker = await world.worker("w1", tags=["b", "a"], slots=3)
    await worker.running()

    never, shown = await world.read(list_workers)
    assert (never.name, never.online, never.last_seen_at) == ("fresh", False, None)
    assert (shown.name, shown.hostname, shown.platform) == ("w1", "oak", "linux")
    assert (shown.online, shown.slots, shown.busy) == (True, 3, 1)
    assert (shown.tags, shown.kinds, shown.version) == (["a", "b"], ["command", "delay"], "1")

    await world.pass_time(31)
    assert [one.online for one in await world.read(list_workers)] == [False, False]
    await worker.heartbeat()
    assert (await world.read(list_workers))[1].online
    await worker.goodbye()
    assert not (await world.read(list_workers))[1].online


async def test_a_file_is_recorded_once(world: World) -> None:
    """The same content again is the same file, and counts as used."""
    first = await world.write(lambda tx: record_file(tx, sha256="a" * 64, size=3))
    world.clock.seconds += 60
    again = await world.write(lambda tx: record_file(tx, sha256="a" * 64, size=3))

    assert again == first
    assert await world.read(lambda r: find_file(r, "a" * 64)) == first
    assert await world.read(lambda r: find_file(r, "b" * 64)) is None


async def test_a_worker_gets_the_inputs_of_its_own_attempts_only(world: World) -> None:
    """Everything else is not found, whether or not it is there."""
    for sha256 in ("a" * 64, "b" * 64):
        await world.write(partial(record_file, sha256=sha256, size=3))
    worker, eve = await world.worker("w1"), await world.worker("eve", kinds=["none"])
    grant = await worker.running(inputs=[{"file": "a" * 64, "name": "x"}])
    own = AttemptKey(grant.job_id, grant.attempt, worker.session)

    found = await world.read(lambda r: input_file(r, "a" * 64, own, worker_id=worker.id))
    assert found.size == 3

    for sha256, key, who in (
        ("b" * 64, own, worker),
        ("c" * 64, own, worker),
        ("a" * 64, own, eve),
        ("a" * 64, AttemptKey(grant.job_id, 1, eve.session), eve),
        ("a" * 64, AttemptKey(grant.job_id, 2, worker.session), worker),
        ("a" * 64, AttemptKey(world.id("job"), 1, worker.session), worker),
    ):
        with pytest.raises(NotFound):
            await world.read(partial(input_file, sha256=sha256, key=key, worker_id=who.id))


def _submitted(tx: Transaction, job_id: str, key: IdempotencyKey | None) -> tuple[bytes, bool]:
    return once(tx, key, lambda: submit(tx, job_id=job_id, owner="ada", spec=SPEC))


async def test_a_repeated_request_is_answered_and_not_repeated(world: World) -> None:
    """The second answer is the first one, byte for byte, and there is one job."""
    first, replayed = await world.write(lambda tx: _submitted(tx, world.id("job"), KEY))
    assert not replayed

    again, replayed = await world.write(lambda tx: _submitted(tx, world.id("job"), KEY))

    assert (again, replayed) == (first, True)
    assert JobView.model_validate_json(first).state is JobState.QUEUED
    assert await world.read(lambda r: r.tuples("SELECT count(*) FROM job")) == [(1,)]


async def test_a_key_with_another_request_is_refused(world: World) -> None:
    """A key that comes with other bytes is a mistake, and creates nothing."""
    await world.write(lambda tx: _submitted(tx, world.id("job"), KEY))
    other = IdempotencyKey(KEY.principal, KEY.route, KEY.key, "1" * 64)

    with pytest.raises(RequestInvalid) as refusal:
        await world.write(lambda tx: _submitted(tx, world.id("job"), other))

    assert refusal.value.problem_code == "idempotency_key_reused"
    assert await world.read(lambda r: r.tuples("SELECT count(*) FROM job")) == [(1,)]


@pytest.mark.parametrize(
    "other",
    [
        IdempotencyKey("key_2", KEY.route, KEY.key, KEY.body_sha256),
        IdempotencyKey(KEY.principal, "POST /api/v1/files", KEY.key, KEY.body_sha256),
        IdempotencyKey(KEY.principal, KEY.route, "Again", KEY.body_sha256),
        None,
    ],
)
async def test_a_key_belongs_to_one_principal_and_route(
    world: World, other: IdempotencyKey | None
) -> None:
    """Somebody else's key, or the same one elsewhere, is another key."""
    await world.write(lambda tx: _submitted(tx, world.id("job"), KEY))

    _, replayed = await world.write(lambda tx: _submitted(tx, world.id("job"), other))

    assert not replayed


async def test_a_refused_request_uses_up_no_key(world: World) -> None:
    """What failed may be repeated with the same key."""

    def refuse() -> JobView:
        raise Refused("not now")

    with pytest.raises(Refused):
        await world.write(lambda tx: once(tx, KEY, refuse))

    _, replayed = await world.write(lambda tx: _submitted(tx, world.id("job"), KEY))
    assert not replayed
