"""Work that a waiting claim was woken for, and could not take, wakes the next one at once."""

from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from orchestrator.kernel.errors import StoreBusy
from orchestrator.protocol.wire import ClaimRequest
from orchestrator.server.operations.claim import claim
from orchestrator.server.store.interface import Operation
from tests.integration.server.site import Site, problem
from tests.integration.server.worker import Worker, at_work
from tests.support.builders import delay

pytestmark = pytest.mark.usefixtures("database")

WAIT_S = 20
PROMPT_S = 8
"""Less than a claim waits: who is not woken fails the test."""


async def waiting(site: Site, worker: Worker) -> None:
    """Return once a claim of the worker has its place in the queue."""
    while worker.session not in site.services.dispatch._of_session:
        await anyio.lowlevel.checkpoint()


async def ask(worker: Worker, number: int, answers: dict[str, httpx.Response]) -> None:
    """Claim with a number, and keep the answer by the session."""
    body = {"session_id": worker.session, "number": number, "slots": 1, "wait_s": WAIT_S}
    answers[worker.session] = await worker.post("claim", body, timeout=40)


def given(answer: httpx.Response) -> list[str]:
    """Return the jobs that an answer gives."""
    assert answer.status_code == 200, answer.text
    return [grant["job_id"] for grant in answer.json()["grants"]]


def session_claiming(operation: object) -> str | None:
    """Return for which session an operation claims, if that is what it does."""
    if not isinstance(operation, partial) or operation.func is not claim:
        return None
    request: ClaimRequest = operation.keywords["request"]
    return request.session_id


async def test_a_claim_that_fails_passes_its_work_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A woken claim that is told to ask again leaves the job to the next who waits."""
    first, second = await at_work(site, name="a"), await at_work(site, name="b")
    await site.submit(delay())
    await first.claim()  # from now on the requirement is known to both
    answers: dict[str, httpx.Response] = {}
    write = site.services.store.write
    failing = False

    async def failing_write(operation: Operation[Any]) -> Any:
        if failing and session_claiming(operation) == first.session:
            raise StoreBusy("nothing was stored: another operation failed beside this one")
        return await write(operation)

    monkeypatch.setattr(site.services.store, "write", failing_write)
    with anyio.fail_after(PROMPT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(ask, first, 2, answers)
            await waiting(site, first)
            group.start_soon(ask, second, 1, answers)
            await waiting(site, second)
            failing = True
            job_id = await site.submit(delay())

    problem(answers[first.session], 503, "store_busy")
    assert given(answers[second.session]) == [job_id]


async def test_what_a_goodbye_gives_back_goes_to_who_waits(site: Site) -> None:
    """A session that ends while its own claim waits does not keep others from its job."""
    leaving, other = await at_work(site, name="a"), await at_work(site, name="b")
    job_id = await site.submit(delay())
    await leaving.claim()
    answers: dict[str, httpx.Response] = {}

    with anyio.fail_after(PROMPT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(ask, leaving, 2, answers)
            await waiting(site, leaving)
            group.start_soon(ask, other, 1, answers)
            await waiting(site, other)
            answer = await leaving.post("goodbye", {"session_id": leaving.session})
            assert answer.status_code == 200, answer.text

    problem(answers[leaving.session], 409, "session_ended")
    assert given(answers[other.session]) == [job_id]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_claim_that_can_be_given_nothing_does_not_wait(site: Site, number: int) -> None:
    """An answered number whose attempts are settled, or an older one, is answered at once."""
    worker = await at_work(site)
    for _ in range(2):
        job_id = await site.submit(delay())
        await worker.claim()
        await worker.end(job_id)
    await site.submit(delay())
    answers: dict[str, httpx.Response] = {}

    with anyio.fail_after(PROMPT_S):
        await ask(worker, number, answers)

    assert given(answers[worker.session]) == []


async def test_who_waits_behind_a_claim_that_was_filled_sleeps_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was taken by whom it was promised to wakes nobody else."""
    first, second = await at_work(site, name="a"), await at_work(site, name="b")
    await site.submit(delay())
    await first.claim()  # from now on the requirement is known to both
    looks: list[str | None] = []
    answers: dict[str, httpx.Response] = {}
    write = site.services.store.write

    async def counting_write(operation: Operation[Any]) -> Any:
        result = await write(operation)
        looks.append(session_claiming(operation))
        return result

    monkeypatch.setattr(site.services.store, "write", counting_write)
    with anyio.fail_after(PROMPT_S):
        async with anyio.create_task_group() as group:
            for worker in (first, second):
                group.start_soon(ask, worker, 2, answers)
                while worker.session not in looks:
                    await anyio.lowlevel.checkpoint()
            one = await site.submit(delay())
            while first.session not in answers:
                await anyio.lowlevel.checkpoint()
            other = await site.submit(delay())

    assert given(answers[first.session]) == [one]
    assert given(answers[second.session]) == [other]
    assert looks.count(second.session) == 2  # when it came, and for its own job
