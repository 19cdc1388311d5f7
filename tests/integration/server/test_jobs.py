"""Jobs over HTTP: taken in, shown, listed, waited for, cancelled."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest

from orchestrator.kernel.files import Lock
from orchestrator.protocol.words import Scope
from orchestrator.server.backup.making import LOCK
from orchestrator.server.upkeep import turn
from tests.integration.server.site import Site, problem, running
from tests.integration.server.worker import at_work
from tests.support.builders import command, delay

pytestmark = pytest.mark.usefixtures("database")


async def test_a_submitted_job_is_shown_as_it_was_asked_for(site: Site) -> None:
    """Whoever submits a job can look at it at once, with every field as it was sent."""
    answer = await site.post("/api/v1/jobs", command("make", "test", name="n", labels={"a": "b"}))

    assert answer.status_code == 201
    submitted = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{submitted['id']}"
    shown = await site.job(submitted["id"])
    assert shown["spec"]["params"] == {"argv": ["make", "test"]}
    assert (shown["name"], shown["labels"], shown["owner"]) == ("n", {"a": "b"}, "admin")
    assert (shown["state"], shown["pending_reason"]) == ("queued", "no_worker_online")


async def test_the_same_key_and_body_make_one_job(site: Site) -> None:
    """Repeating a submit with its Idempotency-Key gives the first answer and makes nothing new."""
    first = await site.post("/api/v1/jobs", delay(), **{"Idempotency-Key": "k-1"})

    again = await site.post("/api/v1/jobs", delay(), **{"Idempotency-Key": "k-1"})

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert len((await site.get("/api/v1/jobs")).json()["items"]) == 1


async def test_a_unique_job_that_is_there_already_is_the_answer(site: Site) -> None:
    """200 and `existing` say that nothing was made; an Idempotency-Key gives that answer again."""
    job = delay(unique={"key": "nightly"})
    first = await site.post("/api/v1/jobs", job)

    second = await site.post("/api/v1/jobs", job, **{"Idempotency-Key": "k-1"})
    again = await site.post("/api/v1/jobs", job, **{"Idempotency-Key": "k-1"})
    refusing = delay(unique={"key": "nightly", "on_conflict": "refuse"})
    refused = await site.post("/api/v1/jobs", refusing)

    assert (first.status_code, first.json()["existing"]) == (201, False)
    assert (second.status_code, second.json()["existing"]) == (200, True)
    assert second.headers["location"] == first.headers["location"]
    assert (again.status_code, again.content) == (200, second.content)
    assert first.json()["id"] in problem(refused, 409, "unique_conflict")["detail"]


async def test_the_same_key_with_another_body_is_refused(site: Site) -> None:
    """A key that was used for another request is refused, and nothing is created."""
    await site.post("/api/v1/jobs", delay(), **{"Idempotency-Key": "k-1"})

    answer = await site.post("/api/v1/jobs", delay(5), **{"Idempotency-Key": "k-1"})

    problem(answer, 422, "idempotency_key_reused")
    assert len((await site.get("/api/v1/jobs")).json()["items"]) == 1


async def test_keys_of_two_principals_do_not_meet(site: Site) -> None:
    """A key is its owner's: somebody else may use the same words for another job."""
    other = await site.new_key(Scope.ADMIN)
    first = await site.submit(delay(), **{"Idempotency-Key": "k-1"})

    second = await site.submit(
        delay(), **{"Idempotency-Key": "k-1", "Authorization": f"Bearer {other}"}
    )

    assert first != second


async def test_an_idempotency_key_that_is_no_key_is_refused(site: Site) -> None:
    """Empty, endless and unprintable keys are refused by name."""
    for bad in ("", "x" * 201, "a b"):
        answer = await site.post("/api/v1/jobs", delay(), **{"Idempotency-Key": bad})

        told = problem(answer, 422, "request_invalid")
        assert told["fields"][0]["field"] == "Idempotency-Key"


async def test_pages_meet_without_gap_or_repeat_while_jobs_arrive(site: Site) -> None:
    """A cursor goes on behind the last job of its page, whatever was submitted since."""
    ids = [await site.submit(delay()) for _ in range(5)]
    first = (await site.get("/api/v1/jobs?limit=2")).json()
    await site.submit(delay())

    second = (await site.get(f"/api/v1/jobs?limit=2&cursor={first['next_cursor']}")).json()
    last = (await site.get(f"/api/v1/jobs?limit=2&cursor={second['next_cursor']}")).json()

    listed = [item["id"] for page in (first, second, last) for item in page["items"]]
    assert listed == ids[::-1]
    assert last["next_cursor"] is None


async def test_lists_are_filtered_by_state_kind_name_and_label(site: Site) -> None:
    """Each filter leaves only what it says, and several of one kind add up."""
    plain = await site.submit(delay(name="a"))
    labelled = await site.submit(command(labels={"team": "x=y", "b": "%"}))
    cancelled = await site.submit(delay(name="c"))
    await site.post(f"/api/v1/jobs/{cancelled}/cancel", {})

    async def listed(query: str) -> set[str]:
        answer = await site.get(f"/api/v1/jobs?{query}")
        assert answer.status_code == 200, answer.text
        return {item["id"] for item in answer.json()["items"]}

    assert await listed("state=cancelled") == {cancelled}
    assert await listed("state=queued&state=cancelled") == {plain, labelled, cancelled}
    assert await listed("kind=command") == {labelled}
    assert await listed("name=a") == {plain}
    assert await listed("label=team%3Dx%3Dy") == {labelled}
    assert await listed("label=b%3D%25") == {labelled}
    assert await listed("label=b%3Dx") == set()
    assert await listed("q=state:cancelled,queued%20kind:delay") == {plain, cancelled}
    assert await listed("q=kind:delay&state=queued") == {plain}
    told = problem(await site.get("/api/v1/jobs?q=stat:failed"), 422, "filter_invalid")
    assert told["fields"] == [{"field": "q", "fault": "at character 1: stat is no key"}]
    assert "did you mean state?" in told["hint"]
    oldest = (await site.get("/api/v1/jobs?sort=created_at")).json()["items"]
    assert [item["id"] for item in oldest] == [plain, labelled, cancelled]


async def test_a_long_poll_is_answered_at_the_end_of_the_job(site: Site) -> None:
    """`Prefer: wait` holds the answer until the job is finished, and then gives it at once."""
    worker = await at_work(site)
    job_id = await site.submit(delay())
    await worker.claim()
    answers = []

    async def ask() -> None:
        answers.append(await site.get(f"/api/v1/jobs/{job_id}", Prefer="wait=30"))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await worker.start(job_id)
            assert answers == []
            await worker.end(job_id, result={"ok": True, "took_ms": 1})

    assert answers[0].json()["state"] == "succeeded"
    assert answers[0].headers["preference-applied"] == "wait=30"


async def test_a_long_poll_gives_up_after_its_time(site: Site) -> None:
    """A job that goes on is shown as it is when the time of the wait is over."""
    job_id = await site.submit(delay())

    with anyio.fail_after(5):
        answer = await site.get(f"/api/v1/jobs/{job_id}", Prefer="respond-async, wait=1")

    assert answer.json()["state"] == "queued"


async def test_cancelling_a_queued_job_ends_it(site: Site) -> None:
    """A job of which nothing runs is cancelled at once, and a second cancel changes nothing."""
    job_id = await site.submit(delay())

    answer = await site.post(f"/api/v1/jobs/{job_id}/cancel", {"comment": "a mistake"})
    again = await site.post(f"/api/v1/jobs/{job_id}/cancel", b"")

    assert answer.json()["state"] == again.json()["state"] == "cancelled"
    assert answer.json()["reason"] == "cancelled_by_user"
    timeline = (await site.get(f"/api/v1/jobs/{job_id}/events")).json()["items"]
    assert timeline[1]["data"] == {"by": "admin", "comment": "a mistake"}


async def test_the_answer_to_a_cancel_is_not_kept(site: Site) -> None:
    """Cancels with keys store no copies of a job's result; a repeated one shows the job anew."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    path, key = f"/api/v1/jobs/{job_id}/cancel", {"Idempotency-Key": "k-0"}
    first = await site.post(path, {}, **key)
    await worker.end(job_id, result={"large": "x" * 50_000})

    for number in range(1, 5):
        await site.post(path, {}, **{"Idempotency-Key": f"k-{number}"})
    again = await site.post(path, {}, **key)
    other = await site.post(path, {"comment": "another"}, **key)

    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["result"] == {"large": "x" * 50_000}
    problem(other, 422, "idempotency_key_reused")
    kept = "SELECT count(*), sum(length(reply)) FROM idempotency"
    assert await site.services.store.read(lambda reader: reader.tuples(kept)) == [(5, 0)]
    timeline = (await site.get(f"/api/v1/jobs/{job_id}/events")).json()["items"]
    assert [event["type"] for event in timeline].count("cancel_requested") == 1


async def test_unknown_and_impossible_ids_are_one_answer(site: Site) -> None:
    """An id of nobody, an id of another kind and no id at all are not found alike."""
    for job_id in ("job_00000000000000000000000000", "worker_00000000000000000000000000", "x;y"):
        for path in ("", "/events", "/events/stream", "/output", "/output/raw", "/output/stream"):
            answer = await site.get(f"/api/v1/jobs/{job_id}{path}")

            problem(answer, 404, "not_found")


async def test_a_job_for_later_waits_for_its_moment(site: Site) -> None:
    """A job with `run_at` is scheduled, and is given to a worker soon after that moment."""
    worker = await at_work(site)
    due = datetime.now(UTC) + timedelta(seconds=0.3)
    job_id = await site.submit(delay(run_at=due.isoformat()))
    assert (await site.job(job_id))["pending_reason"] == "not_before"

    with anyio.fail_after(5):
        (grant,) = await worker.claim(wait_s=10)

    assert grant["job_id"] == job_id
    assert datetime.now(UTC) >= due


async def test_what_is_acknowledged_survives_a_restart(tmp_path: Path) -> None:
    """A job whose submit was answered is there after a restart, and so is its idempotency key."""
    async with running(tmp_path) as before:
        job_id = await before.submit(delay(), **{"Idempotency-Key": "k-1"})

    async with running(tmp_path) as after:
        assert (await after.job(job_id))["state"] == "queued"
        assert await after.submit(delay(), **{"Idempotency-Key": "k-1"}) == job_id


@pytest.mark.parametrize(
    "path", ["/jobs/a%00b", "/jobs?name=a%00b", "/jobs?label=a%00:b", "/jobs?cursor=a%00b"]
)
async def test_a_nul_in_an_address_is_the_callers_mistake(site: Site, path: str) -> None:
    """One database can store the character and another cannot; neither calls it our own fault."""
    answer = await site.get(f"/api/v1{path}")

    assert answer.status_code in {200, 400, 404, 422}, answer.text


async def test_what_somebody_has_is_not_sent_again(site: Site) -> None:
    """An ETag says whether a job is what it was; what is over may be kept for an hour."""
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}"
    first = await site.get(path)

    same = await site.get(path, **{"If-None-Match": first.headers["etag"]})
    await site.post(f"{path}/cancel", {})
    other = await site.get(path, **{"If-None-Match": f'"x", {first.headers["etag"]}'})

    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert (other.status_code, other.json()["state"]) == (200, "cancelled")
    assert other.headers["cache-control"] == "private, max-age=3600"
    for known in (other.headers["etag"], f"W/{other.headers['etag']}"):
        assert (await site.get(path, **{"If-None-Match": known})).status_code == 304


async def test_a_job_is_changed_by_whoever_has_seen_it_last(site: Site) -> None:
    """PATCH answers with the job and its new tag; an old tag, or none of ours, is refused."""
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}"
    tag = (await site.get(path)).headers["etag"]

    changed = await site.call("PATCH", path, {"priority": 9}, **{"If-Match": tag})
    stale = await site.call("PATCH", path, {"priority": 1}, **{"If-Match": tag})
    strange = await site.call("PATCH", path, {"priority": 1}, **{"If-Match": '"x"'})
    nothing = await site.call("PATCH", path, {})
    naive = await site.call("PATCH", path, {"run_at": "2026-01-31T09:00:00"})
    nowhere = await site.call("PATCH", path, {"queue": "nihgt"})
    unsaid = await site.call("PATCH", path, {"queue": None})
    anyway = await site.call("PATCH", path, {"labels": {"a": "b"}}, **{"If-Match": "*"})

    assert (changed.status_code, changed.json()["priority"]) == (200, 9)
    assert changed.headers["etag"] not in {tag, None}
    problem(stale, 412, "version_changed")
    problem(strange, 412, "version_changed")
    told = problem(nothing, 422, "request_invalid")
    assert "priority, queue, run_at or labels" in told["fields"][0]["fault"]
    problem(naive, 422, "request_invalid")
    problem(nowhere, 422, "queue_unknown")
    problem(unsaid, 422, "request_invalid")
    assert anyway.json()["labels"] == {"a": "b"}
    await site.post(f"{path}/cancel", {})
    told = problem(await site.call("PATCH", path, {"priority": 1}), 409, "illegal_transition")
    assert "is cancelled" in told["detail"]


@pytest.mark.parametrize(
    ("method", "prunes", "status"), [("DELETE", False, 204), ("POST", True, 200)]
)
async def test_who_deletes_waits_for_housekeeping(
    site: Site, method: str, *, prunes: bool, status: int
) -> None:
    """What somebody else has in hand for a moment is deleted a moment later, not refused."""
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}"
    await site.post(f"{path}/cancel", {})
    answers = []

    async def ask() -> None:
        order = "/api/v1/retention/prune" if prunes else path
        answers.append(await site.call(method, order))

    lock = Lock(site.services.settings.data_dir / LOCK)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            with await anyio.to_thread.run_sync(partial(lock.take, "housekeeping", wait=True)):
                group.start_soon(ask)
                for _ in range(5):
                    assert (await site.get(path)).status_code == 200
                assert answers == []

    assert answers[0].status_code == status, answers[0].text


async def test_who_deletes_waits_no_longer_behind_others_who_wait(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told after its own patience that a backup is under way, however many there are."""
    monkeypatch.setattr(turn, "PATIENCE_S", 1.0)
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}"
    await site.post(f"{path}/cancel", {})

    async def ask() -> None:
        problem(await site.call("DELETE", path), 409, "already_running")

    lock = Lock(site.services.settings.data_dir / LOCK)
    with await anyio.to_thread.run_sync(partial(lock.take, "a backup", wait=True)):
        with anyio.fail_after(4):
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(ask)


async def test_a_finished_job_is_deleted(site: Site) -> None:
    """DELETE refuses what is not over, and leaves nothing of what is."""
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}"

    problem(await site.call("DELETE", path), 409, "illegal_transition")
    await site.post(f"{path}/cancel", {})
    gone = await site.call("DELETE", path)

    assert (gone.status_code, gone.content) == (204, b"")
    problem(await site.get(path), 404, "not_found")
    problem(await site.call("DELETE", path), 404, "not_found")
