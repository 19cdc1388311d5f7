"""The worker's protocol over HTTP: enrol, begin, claim, report, heartbeat, end."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.protocol import frames
from orchestrator.protocol.frames import FrameType
from tests.integration.server.site import Site, problem, running
from tests.integration.server.worker import HOST, NOW_US, at_work, enrolled
from tests.support.builders import command, delay

pytestmark = pytest.mark.usefixtures("database")


async def test_a_job_travels_the_whole_way(site: Site) -> None:
    """What a worker claims, runs and reports is what a person sees of it."""
    worker = await at_work(site)
    job_id = await site.submit(command("make", env={"A": "1"}, timeout_s=5))

    (grant,) = await worker.claim()
    await worker.start(job_id)
    running = await site.job(job_id)
    ack = await worker.end(job_id, result={"ok": True})
    done = await site.job(job_id)

    assert (grant["kind"], grant["params"]) == ("command", {"argv": ["make"]})
    assert (grant["env"], grant["timeout_s"]) == ({"A": "1"}, 5)
    assert (running["state"], running["worker"]) == ("running", "one")
    assert ack["settled"]
    assert (done["state"], done["exit_code"], done["result"]) == ("succeeded", 0, {"ok": True})


async def test_a_claim_waits_for_work(site: Site) -> None:
    """A claim that finds nothing is answered as soon as there is something."""
    worker = await at_work(site)
    grants = []

    async def claim() -> None:
        grants.extend(await worker.claim(wait_s=20))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(claim)
            job_id = await site.submit(delay())

    assert [grant["job_id"] for grant in grants] == [job_id]


async def test_a_claim_gives_up_after_its_time(site: Site) -> None:
    """A claim without work is answered with nothing when its time is over."""
    worker = await at_work(site)

    with anyio.fail_after(5):
        assert await worker.claim(wait_s=0.1) == []


async def test_work_wakes_as_many_workers_as_it_needs(site: Site) -> None:
    """Of many waiting workers exactly those get jobs that there are jobs for."""
    workers = [await at_work(site, name=f"w{n}", slots=1) for n in range(6)]
    answers: dict[int, list[str]] = {}

    async def claim(number: int) -> None:
        grants = await workers[number].claim(wait_s=3)
        answers[number] = [grant["job_id"] for grant in grants]

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(claim, number)
            ids = [await site.submit(delay()) for _ in range(3)]

    assert sorted(job for jobs in answers.values() for job in jobs) == sorted(ids)
    assert sorted(len(jobs) for jobs in answers.values()) == [0, 0, 0, 1, 1, 1]


async def test_work_goes_to_whom_it_fits(site: Site) -> None:
    """A job wakes a worker that has its tags, and leaves one asleep that has not."""
    plain = await at_work(site, name="plain")
    tagged = await at_work(site, name="tagged", tags=["gpu"])
    answers: dict[str, list[str]] = {}

    async def claim(name: str) -> None:
        worker = plain if name == "plain" else tagged
        grants = await worker.claim(wait_s=1 if name == "plain" else 20)
        answers[name] = [grant["job_id"] for grant in grants]

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(claim, "plain")
            group.start_soon(claim, "tagged")
            job_id = await site.submit(command(requires={"tags": ["gpu"]}))

    assert answers == {"plain": [], "tagged": [job_id]}


async def test_a_worker_that_hangs_up_takes_nothing(site: Site) -> None:
    """Work that appears after a waiting worker has gone is given to the next one at once."""
    gone, there = await at_work(site, name="gone"), await at_work(site, name="there")
    with anyio.move_on_after(0.3):
        await gone.claim(wait_s=20)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            got = []

            async def claim() -> None:
                got.extend(await there.claim(wait_s=20))

            group.start_soon(claim)
            job_id = await site.submit(delay())

    assert [grant["job_id"] for grant in got] == [job_id]


async def test_a_lost_answer_is_asked_for_again(site: Site) -> None:
    """Repeating a claim's number gives the same attempts, not others."""
    worker = await at_work(site)
    for _ in range(3):
        await site.submit(delay())
    first = await worker.claim(slots=2)
    worker.number -= 1

    again = await worker.claim(slots=2)

    assert again == first
    assert len(first) == 2


async def test_output_goes_on_where_the_server_says(site: Site) -> None:
    """Frames that are known are skipped, frames behind a gap are not taken: the answer says so."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    one = frames.encode(FrameType.OUT, NOW_US, b"one")
    two = frames.encode(FrameType.OUT, NOW_US, b"two")

    ahead = await worker.send_frames(job_id, two, offset=len(one))
    first = await worker.send_frames(job_id, one, offset=0)
    both = await worker.send_frames(job_id, one + two, offset=0)

    assert ahead["output_offset"] == 0
    assert first["output_offset"] == len(one)
    assert both["output_offset"] == len(one + two)
    assert (await site.get(f"/api/v1/jobs/{job_id}/output/raw")).content == b"onetwo"


async def test_output_of_others_is_not_taken(site: Site) -> None:
    """Whoever sends output of an attempt that is not theirs is told to abandon it."""
    worker, stranger = await at_work(site), await at_work(site, name="two")
    job_id = await site.submit(command())
    await worker.claim()
    frame = frames.encode(FrameType.OUT, NOW_US, b"forged")

    ack = await stranger.send_frames(job_id, frame, offset=0)

    assert ack["directive"] == "abandon"
    assert (await site.get(f"/api/v1/jobs/{job_id}/output/raw")).content == b""


async def test_identity_comes_from_the_credential_alone(site: Site) -> None:
    """A worker that names somebody else's session in a call has no such session."""
    worker, stranger = await at_work(site), await at_work(site, name="two")
    job_id = await site.submit(delay())
    await worker.claim()
    stranger.session = worker.session

    calls: dict[str, dict[str, Any]] = {
        "claim": {"number": 9, "slots": 1},
        "report": {"events": []},
        "heartbeat": {"claim_seen": 0},
        "goodbye": {},
    }
    for call, body in calls.items():
        answer = await stranger.post(call, {"session_id": worker.session, **body})

        problem(answer, 404, "not_found")
    assert (await site.job(job_id))["state"] == "leased"


async def test_what_a_worker_says_wrongly_is_named(site: Site) -> None:
    """Malformed calls are 4xx with the field, never a fault of the server."""
    worker = await at_work(site)
    session = {"session_id": worker.session}
    huge = 2**63
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("claim", {}, "session_id"),
        ("claim", {**session, "number": 0, "slots": 1}, "number"),
        ("claim", {**session, "number": 1, "slots": 1, "wait_s": 1e9}, "wait_s"),
        ("claim", {**session, "number": 1, "slots": 1, "worker_id": "w"}, "worker_id"),
        ("report", {**session, "events": [{"type": "begun"}]}, "events.0"),
        ("report", {**session, "events": [{"type": "started"}]}, "events.0.started.job_id"),
        ("claim", {**session, "number": huge, "slots": 1}, "number"),
        ("heartbeat", {**session, "claim_seen": -1}, "claim_seen"),
        ("heartbeat", {**session, "claim_seen": huge}, "claim_seen"),
        ("sessions", {"host": {**HOST, "memory_bytes": huge}}, "host.memory_bytes"),
        ("sessions", {"host": HOST}, "version"),
    ]
    for call, body, field in cases:
        told = problem(await worker.post(call, body), 422, "request_invalid")
        assert field in [fault["field"] for fault in told["fields"]], told
    for attempt in (0, -1, huge):
        query = f"session_id={worker.session}&job_id=job_{'0' * 26}&attempt={attempt}&offset=0"
        answer = await site.http.post(
            f"/api/worker/v1/output?{query}", content=b"", headers=worker.headers
        )
        told = problem(answer, 422, "request_invalid")
        assert told["fields"][0]["field"] == "attempt"


async def test_output_that_is_no_frames_is_abandoned(site: Site) -> None:
    """Bytes that are not whole frames never will be: stop sending them; the log stays as it was."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    query = f"session_id={worker.session}&job_id={job_id}&attempt=1&offset=0"

    for damaged in (b"text", frames.encode(FrameType.OUT, NOW_US, b"torn")[:-1], b"\0" * 100):
        answer = await site.http.post(
            f"/api/worker/v1/output?{query}", content=damaged, headers=worker.headers
        )

        assert (answer.status_code, answer.json()["directive"]) == (200, "abandon")
    assert (await site.get(f"/api/v1/jobs/{job_id}/output/raw")).content == b""


async def test_moments_of_a_mad_clock_are_shown(site: Site) -> None:
    """A worker whose clock is beyond all calendars cannot break whoever reads its output."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    for moment in (2**62, -(2**62)):
        known = worker.logs.get((job_id, 1), b"")
        frame = frames.encode(FrameType.OUT, moment, b"x")
        await worker.send_frames(job_id, frame, offset=len(known))
        worker.logs[job_id, 1] = known + frame

    page = (await site.get(f"/api/v1/jobs/{job_id}/output")).json()

    assert [item["at"][:4] for item in page["items"]] == ["9999", "1970"]


async def test_a_goodbye_gives_back_what_never_started(site: Site) -> None:
    """A worker that leaves in order leaves nothing waiting for its lease."""
    worker, other = await at_work(site), await at_work(site, name="two")
    job_id = await site.submit(delay())
    await worker.claim()

    answer = await worker.post("goodbye", {"session_id": worker.session})

    assert answer.status_code == 200
    assert [grant["job_id"] for grant in await other.claim()] == [job_id]
    problem(
        await worker.post("claim", {"session_id": worker.session, "number": 2, "slots": 1}),
        409,
        "session_ended",
    )


async def test_a_new_session_ends_the_waiting_of_the_old_one(site: Site) -> None:
    """A claim that waits in a session which is taken over is told that the session is over."""
    worker = await at_work(site)
    old = worker.session
    answers = []

    async def claim() -> None:
        body = {"session_id": old, "number": 1, "slots": 1, "wait_s": 20}
        answers.append(await worker.post("claim", body))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(claim)
            await worker.open(spool="spool-of-one")

    problem(answers[0], 409, "session_ended")


async def test_workers_are_shown_with_what_they_can(site: Site) -> None:
    """The list of workers says who is online, with how many slots, tags and kinds."""
    worker = await at_work(site, slots=3, tags=["gpu"])
    await enrolled(site, name="two")
    await site.submit(delay())
    await worker.claim()

    one, two = (await site.get("/api/v1/workers")).json()["items"]

    assert (one["name"], one["online"], one["slots"], one["busy"]) == ("one", True, 3, 1)
    assert (one["tags"], one["kinds"]) == (["gpu"], ["command", "delay"])
    assert (two["name"], two["online"], two["last_seen_at"]) == ("two", False, None)


async def test_sessions_outlive_a_restart_of_the_server(tmp_path: Path) -> None:
    """After the server was started again, a claim that waits in an old session is woken at once."""
    async with running(tmp_path) as before:
        worker = await at_work(before)

    async with running(tmp_path) as after:
        worker.site = after
        grants = []

        async def claim() -> None:
            grants.extend(await worker.claim(wait_s=20))

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(claim)
                job_id = await after.submit(delay())

    assert [grant["job_id"] for grant in grants] == [job_id]


async def test_a_cancelled_end_is_the_same_whoever_is_said_to_have_asked(site: Site) -> None:
    """A worker that has forgotten the order over its restart says no other end: it is settled."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    await site.post(f"/api/v1/jobs/{job_id}/cancel", {})
    await worker.end(job_id, outcome="cancelled", reason="cancelled_by_user")

    ack = await worker.end(job_id, outcome="cancelled", reason="cancelled_by_policy")

    assert ack["settled"]
