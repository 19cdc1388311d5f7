"""Who may do what: nobody without a credential, and each credential only what the table says."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from orchestrator.protocol.ids import make_id
from orchestrator.protocol.tokens import make_token
from orchestrator.protocol.words import Scope
from orchestrator.server.access.guesses import TRIES
from orchestrator.server.access.table import PUBLIC, RULES
from orchestrator.server.api.application import framework_application, hot_calls
from orchestrator.server.facts import KeysChanged
from orchestrator.server.store.interface import Transaction
from tests.integration.server.site import Site, bearer, problem
from tests.integration.server.worker import at_work, enrolled
from tests.support.builders import command, delay
from tests.support.waiting import until

MATRIX = Path(__file__).with_name("access_matrix.txt")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
JOB = make_id("job", at_ms=0, random=b"0123456789")
PARTS = {
    "{job_id}": JOB,
    "{queue}": "nightly",
    "{bulk_id}": JOB,
    "{batch_id}": JOB,
    "{schedule}": "nightly",
    "{sha256}": "0" * 64,
    "{worker}": "one",
}


class Served(NamedTuple):
    """A route that is really there."""

    method: str
    path: str


def served(site: Site) -> set[Served]:
    """Return every route of the running application, from its own tables."""
    found = {Served(*call) for call in hot_calls(site.services)}
    for route in framework_application(site.services).routes:
        included: Callable[[], Iterable[object]] = getattr(route, "effective_route_contexts", list)
        for one in (route, *included()):
            path, methods = getattr(one, "path", None), getattr(one, "methods", None)
            if isinstance(path, str) and methods:
                found |= {Served(method, path) for method in methods if method != "HEAD"}
    return found


def filled(path: str) -> str:
    """Return a path of a template."""
    for part, value in PARTS.items():
        path = path.replace(part, value)
    return path


async def test_the_table_names_exactly_what_is_served(site: Site) -> None:
    """Every route is in the reviewed table, and the table promises no route that is not there."""
    ruled = {Served(rule.method, rule.path) for rule in RULES}

    assert served(site) == ruled | {Served("GET", path) for path in PUBLIC}


async def test_nothing_is_answered_without_a_credential(site: Site) -> None:
    """Without a credential every path and method is 401, but for the public ones."""
    paths = {filled(route.path) for route in served(site)} | {"/", "/docs", "/api/v1/nothing"}

    for path in sorted(paths):
        for method in METHODS:
            answer = await site.http.request(method, path)

            if path in PUBLIC:
                assert answer.status_code in {200, 405}, (method, path)
            else:
                assert answer.status_code == 401, (method, path)
                assert "Bearer" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/jobs/health",
        "/api/v1/jobs/x;/health",
        "/health/../api/v1/jobs",
        "//api/v1/jobs",
        "//health",
        "/health/",
        "/health.",
        "/health%00",
        "/%68ealth",
        "/api/v1/%6aobs",
        "/%2e%2e/health",
        "/ready/x",
        "/HEALTH",
    ],
)
async def test_what_only_looks_public_is_not(site: Site, path: str) -> None:
    """A public path is one exact text: no prefix, suffix, escape or detour of it is public."""
    target = path.encode()

    answer = await site.raw(
        b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 401 "), answer


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Basic YWRtaW46YWRtaW4=",
        "Bearer admin",
        f"Bearer {make_token('pak', bytes(32))}",
        f"Bearer {make_token('pak', bytes(32))[:-1]}X",
        f"Bearer {make_token('secret', bytes(32))}",
        "Bearer " + "x" * 8000,
        "Bearer a, Bearer b",
        f"Worker machine_{'0' * 26}:worker_{'0' * 26}:{make_token('secret', bytes(32))}",
        "Worker ::",
        "Digest x",
    ],
)
async def test_what_is_no_credential_is_refused(site: Site, header: str) -> None:
    """Anything but a valid credential is 401, with the forms that are understood."""
    answer = await site.http.get("/api/v1/jobs", headers={"Authorization": header})

    assert "pak_" in problem(answer, 401, "unauthenticated")["hint"]


async def test_strange_bytes_in_a_credential_are_refused(site: Site) -> None:
    """A credential that is not ASCII is 401 like any other wrong one."""
    answer = await site.raw(
        b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n"
        b"Authorization: Bearer \xc3\xa4\xff\r\nConnection: close\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_each_credential_has_its_scheme(site: Site) -> None:
    """A worker's words are refused as a key, and a key as a worker's words."""
    worker = await enrolled(site)

    as_key = await site.http.get("/api/v1/jobs", headers=bearer(worker.token))
    as_worker = await site.http.get(
        "/api/v1/jobs", headers={"Authorization": f"Worker {site.key()}"}
    )

    problem(as_key, 401, "unauthenticated")
    problem(as_worker, 401, "unauthenticated")


async def test_a_token_in_the_address_is_nobodys(site: Site) -> None:
    """A credential in a query string is not looked at: addresses end up in logs."""
    answer = await site.http.get(f"/api/v1/jobs?token={site.key()}&access_token={site.key()}")

    problem(answer, 401, "unauthenticated")


async def test_scopes_decide_each_route(site: Site) -> None:
    """The reviewed matrix says which credential reaches which route; everything else is 403."""
    credentials = await _credentials(site)
    lines = [line.split() for line in MATRIX.read_text().splitlines() if line[:1] not in {"", "#"}]
    columns, rows = lines[0][2:], lines[1:]
    assert {Served(row[0], row[1]) for row in rows} == {Served(r.method, r.path) for r in RULES}

    for method, path, *expected in rows:
        for name, may in zip(columns, expected, strict=True):
            answer = await _call(site, method, path, credentials[name])

            allowed = answer.status_code not in {401, 403}
            assert allowed == (may == "yes"), (method, path, name, answer.status_code, answer.text)


async def _credentials(site: Site) -> dict[str, dict[str, str]]:
    """Return the headers of one credential for each column of the matrix."""
    found = {
        "admin": site.admin,
        "enrolment": bearer(site.key("enrol")),
        "worker": (await at_work(site)).headers,
        "nothing": bearer(await site.new_key()),
    }
    for scope in Scope:
        if scope not in {Scope.ADMIN, Scope.WORKER, Scope.WORKER_ENROL}:
            found[scope.value] = bearer(await site.new_key(scope, prefix="sak"))
    for more in (Scope.JOBS_CANCEL, Scope.OUTPUT_READ, Scope.WORKERS_READ, Scope.JOBS_WRITE):
        found[f"{more}+{Scope.JOBS_READ}"] = bearer(await site.new_key(more, Scope.JOBS_READ))
    both = (Scope.WORKERS_WRITE, Scope.WORKERS_READ)
    found["+".join(both)] = bearer(await site.new_key(*both))
    return found


async def test_what_shows_a_job_asks_for_the_right_to_read_it(site: Site) -> None:
    """A key that may only cancel, or only read output, is told no job's result on the way."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    await worker.end(job_id, result={"secret": "word"})
    for method, path, scope in (
        ("POST", "cancel", Scope.JOBS_CANCEL),
        ("GET", "output/stream", Scope.OUTPUT_READ),
    ):
        key = bearer(await site.new_key(scope))
        answer = await site.http.request(method, f"/api/v1/jobs/{job_id}/{path}", headers=key)

        assert "jobs:read" in problem(answer, 403, "forbidden")["detail"]
        both = bearer(await site.new_key(scope, Scope.JOBS_READ))
        answer = await site.http.request(method, f"/api/v1/jobs/{job_id}/{path}", headers=both)
        assert "word" in answer.text


@pytest.mark.parametrize(
    ("more", "scope"),
    [
        ({"unique": {"key": "k"}}, Scope.JOBS_READ),
        ({"unique": {"key": "k", "on_conflict": "replace"}}, Scope.JOBS_CANCEL),
        ({"concurrency": [{"key": "k", "strategy": "cancel_running"}]}, Scope.JOBS_CANCEL),
    ],
)
async def test_a_submit_is_no_way_around_the_table(
    site: Site, more: dict[str, Any], scope: Scope
) -> None:
    """A job that may end another one, or be answered with it, asks for the right to do that."""
    over = await site.submit(delay())
    await site.post(f"/api/v1/jobs/{over}/cancel", {})
    other = await site.submit(delay(**more))
    job = delay(**more)
    writer = bearer(await site.new_key(Scope.JOBS_WRITE))
    looker = bearer(await site.new_key(Scope.JOBS_WRITE, Scope.JOBS_READ, Scope.JOBS_CANCEL))
    looker_alone = bearer(
        await site.new_key(Scope.JOBS_WRITE, *{Scope.JOBS_READ, Scope.JOBS_CANCEL} - {scope})
    )
    schedule = {"name": "s", "every_s": 60, "job": job}

    told = [
        await site.post("/api/v1/jobs", job, **writer),
        await site.post(f"/api/v1/jobs/{over}/retry", {"spec": job}, **looker_alone),
        await site.post("/api/v1/schedules", schedule, **looker_alone),
    ]

    for answer in told:
        assert f"lacks the scope {scope}" in problem(answer, 403, "forbidden")["detail"]
    assert (await site.job(other))["state"] == "queued"
    assert (await site.get("/api/v1/schedules")).json()["items"] == []
    assert (await site.post("/api/v1/jobs", job, **looker)).status_code in {200, 201}


@pytest.mark.parametrize(
    "more",
    [
        {"unique": {"key": "k", "on_conflict": "replace"}},
        {"concurrency": [{"key": "k", "strategy": "cancel_running"}]},
    ],
)
async def test_a_repeat_is_no_way_around_the_table(site: Site, more: dict[str, Any]) -> None:
    """What a job asked for is asked again of who repeats it: one by one, or by a filter."""
    over = await site.submit(delay(**more, labels={"old": "1"}))
    await site.post(f"/api/v1/jobs/{over}/cancel", {})
    other = await site.submit(delay(**more))
    writer = bearer(await site.new_key(Scope.JOBS_WRITE, Scope.JOBS_READ))
    canceller = bearer(await site.new_key(Scope.JOBS_WRITE, Scope.JOBS_READ, Scope.JOBS_CANCEL))
    order = {"q": "label:old=1", "action": "retry"}

    async def by_filter(key: dict[str, str]) -> tuple[int, int]:
        counted = (await site.post("/api/v1/bulk", {**order, "dry_run": True}, **key)).json()
        given = {**order, "token": counted["token"]}
        bulk = (await site.post("/api/v1/bulk", given, **key)).json()["id"]

        async def done() -> dict[str, Any] | None:
            told: dict[str, Any] = (await site.get(f"/api/v1/bulk/{bulk}")).json()
            return told if told["finished_at"] else None

        found = await until(done)
        assert found is not None
        return found["done"], found["refused"]

    answer = await site.post(f"/api/v1/jobs/{over}/retry", {}, **writer)
    assert "lacks the scope jobs:cancel" in problem(answer, 403, "forbidden")["detail"]
    assert await by_filter(writer) == (0, 1)
    assert (await site.job(other))["state"] == "queued"

    assert (await site.post(f"/api/v1/jobs/{over}/retry", {}, **canceller)).status_code == 201
    assert (await site.job(other))["state"] == "cancelled"
    assert await by_filter(canceller) == (1, 0)


async def _call(site: Site, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    if path.endswith("/stream"):
        path = path.replace("{job_id}", await site.submit(delay()))
        async with site.http.stream(method, path, headers=headers) as answer:
            return answer
    return await site.http.request(method, filled(path), headers=headers)


async def test_a_key_that_is_withdrawn_is_refused_at_once(site: Site) -> None:
    """A key that was used a moment ago is refused as soon as it is gone from the database."""
    key = await site.new_key(Scope.JOBS_READ)
    assert (await site.http.get("/api/v1/jobs", headers=bearer(key))).status_code == 200

    await _withdraw_all_but_the_first(site)

    problem(await site.http.get("/api/v1/jobs", headers=bearer(key)), 401, "unauthenticated")


async def test_a_stream_ends_with_its_credential(site: Site) -> None:
    """An open stream of a key that is withdrawn ends without being asked."""
    key = await site.new_key(Scope.OUTPUT_READ, Scope.JOBS_READ)
    job_id = await site.submit(delay())

    async with site.stream(f"/api/v1/jobs/{job_id}/output/stream", **bearer(key)) as events:
        assert (await anext(events)).name == "state"
        await _withdraw_all_but_the_first(site)

        assert [event.name async for event in events] == []


async def _withdraw_all_but_the_first(site: Site) -> None:
    def withdraw(tx: Transaction) -> None:
        tx.execute("DELETE FROM api_key WHERE name NOT IN ('admin', 'enrolment')")
        tx.announce(KeysChanged())

    await site.services.store.write(withdraw)


async def test_enrolling_again_ends_the_old_credential(site: Site) -> None:
    """The same machine and name is the same worker, and its former token is worth nothing."""
    first = await at_work(site)
    second = await enrolled(site)

    assert first.token.split(":")[:2] == second.token.split(":")[:2]
    answer = await first.post("claim", {"session_id": first.session, "number": 1, "slots": 1})
    problem(answer, 401, "unauthenticated")


async def test_the_database_holds_no_credential(site: Site) -> None:
    """Whoever reads the data directory's database finds hashes and nothing to use."""
    worker = await at_work(site)
    words = [site.key(), site.key("enrol"), worker.token, worker.token.rsplit(":", 1)[1]]

    stored = b"".join(path.read_bytes() for path in site.folder.glob("orchestrator.db*"))

    assert worker.session.encode() in stored
    assert not [word for word in words if word.encode() in stored]


async def test_wrong_credentials_are_slowed_down(site: Site) -> None:
    """After hundreds of wrong credentials an address must wait before it may try another."""
    for number in range(TRIES):
        wrong = make_token("pak", number.to_bytes(32, "big"))
        await site.http.get("/api/v1/jobs", headers=bearer(wrong))

    refused = await site.http.get("/api/v1/jobs", headers=bearer(make_token("pak", b"\xff" * 32)))
    problem(refused, 429, "too_many_guesses")
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_right_credential_is_let_in_among_wrong_ones(site: Site) -> None:
    """Wrong credentials from an address hold up no valid one that is seen for the first time."""
    for _ in range(TRIES):
        await site.http.get("/api/v1/jobs", headers=bearer("wrong"))
    refused = await site.http.get("/api/v1/jobs", headers=bearer("wrong"))
    key = await site.new_key(Scope.JOBS_READ)

    answer = await site.http.get("/api/v1/jobs", headers=bearer(key))

    problem(refused, 429, "too_many_guesses")
    assert answer.status_code == 200
    assert (await at_work(site)).session
