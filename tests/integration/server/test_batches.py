"""Batches over HTTP: what is taken in, what is refused, and what a repeated request does."""

from typing import Any

from tests.integration.server.site import Site, problem
from tests.support.builders import command, delay

BATCHES = "/api/v1/batches"


def params(*words: str) -> dict[str, Any]:
    """Return an item that takes everything else from the defaults."""
    return {"params": {"argv": list(words)}}


async def test_items_take_what_they_leave_out_from_the_defaults(site: Site) -> None:
    """Params, variables and labels are put together; whatever else an item says replaces it."""
    defaults = command("true", env={"A": "1"}, labels={"team": "web"}, priority=3)
    items = [params("make"), {"env": {"B": "2"}, "priority": 4}, {"params": {"cwd": "sub"}}]

    answer = await site.post(BATCHES, {"name": "n", "defaults": defaults, "items": items})

    assert answer.status_code == 201, answer.text
    batch = answer.json()
    jobs = [await site.job(job_id) for job_id in batch["job_ids"]]
    assert [job["spec"]["params"] for job in jobs] == [
        {"argv": ["make"]},
        {"argv": ["true"]},
        {"argv": ["true"], "cwd": "sub"},
    ]
    assert [job["spec"]["env"] for job in jobs] == [{"A": "1"}, {"A": "1", "B": "2"}, {"A": "1"}]
    assert [job["priority"] for job in jobs] == [3, 4, 3]
    assert {job["batch_id"] for job in jobs} == {batch["id"]}
    shown = (await site.get(f"{BATCHES}/{batch['id']}")).json()
    assert (shown["counts"], shown["state"], shown["done"]) == ({"queued": 3}, "closed", False)
    listed = (await site.get(f"{BATCHES}/{batch['id']}/jobs?limit=2&state=queued")).json()
    assert [job["id"] for job in listed["items"]] == batch["job_ids"][:2]
    assert listed["next_cursor"] == batch["job_ids"][1].removeprefix("job_")


async def test_each_fault_is_told_with_the_place_of_its_item(site: Site) -> None:
    """Whatever is wrong, nothing of the batch is there."""
    several = [delay(), delay(kin=1), delay(priority="high"), delay(depends_on=[{"item": 0}])]
    kinds = [command(), {"kind": "comand", "params": {}}, delay(-1)]

    told = problem(await site.post(BATCHES, {"items": several}), 422, "request_invalid")
    kind = problem(await site.post(BATCHES, {"items": kinds}), 422, "request_invalid")
    empty = problem(await site.post(BATCHES, {}), 422, "request_invalid")
    circle = problem(
        await site.post(BATCHES, {"items": [delay(depends_on=[{"item": 0}])]}), 422, "batch_invalid"
    )

    assert [one["field"] for one in told["fields"]] == ["items.1.kin", "items.2.priority"]
    assert [one["field"] for one in kind["fields"]] == ["items.1.kind", "items.2.params.ms"]
    assert "give items, or say open: true" in empty["fields"][0]["fault"]
    assert circle["fields"] == [
        {"field": "items.0.depends_on", "fault": "it waits for itself: 0 → 0"}
    ]
    assert (await site.get(BATCHES)).json()["items"] == []
    assert (await site.get("/api/v1/jobs")).json()["items"] == []


async def test_defaults_are_no_way_to_ask_for_more_than_a_body_holds(site: Site) -> None:
    """A thousand items with a long script each are refused before anybody makes them."""
    script = {"params": {"script": "#" * 10_000, "shell": True}}
    defaults = {"kind": "command", **script}

    many = await site.post(BATCHES, {"defaults": defaults, "items": [{}] * 1000})
    batch = await site.post(BATCHES, {"defaults": defaults, "open": True})
    more = await site.post(f"{BATCHES}/{batch.json()['id']}/jobs", {"items": [{}] * 1000})
    few = await site.post(f"{BATCHES}/{batch.json()['id']}/jobs", {"items": [{}] * 10})

    for answer in (many, more):
        told = problem(answer, 422, "request_invalid")
        assert "at most 8388608 may" in told["fields"][0]["fault"]
    assert few.json()["jobs"] == 10


async def test_every_order_is_given_once_for_a_key(site: Site) -> None:
    """A batch that is submitted, added to and repeated twice with one key is so once."""
    key = {"Idempotency-Key": "k-1"}
    body = {"open": True, "items": [delay()]}
    first = await site.post(BATCHES, body, **key)
    path = f"{BATCHES}/{first.json()['id']}"

    again = await site.post(BATCHES, body, **key)
    more = [await site.post(f"{path}/jobs", {"items": [delay()]}, **key) for _ in range(2)]
    closed = [await site.post(f"{path}/close", {}, **key) for _ in range(2)]

    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert more[0].content == more[1].content
    assert more[0].json()["jobs"] == 2
    assert [answer.json()["state"] for answer in closed] == ["closed", "closed"]
    problem(await site.post(f"{path}/jobs", {"items": [delay()]}), 409, "illegal_transition")
    ended = (await site.post(f"{path}/cancel", {"comment": "enough"})).json()
    assert (ended["counts"], ended["done"]) == ({"cancelled": 2}, True)
    assert (await site.post(f"{path}/retry-failed", {})).json()["job_ids"] == []


async def test_a_batch_that_is_not_there_is_told_so(site: Site) -> None:
    """Also by an id that could be none."""
    for name in ("batch_" + "0" * 26, "x"):
        problem(await site.get(f"{BATCHES}/{name}"), 404, "not_found")
        problem(await site.get(f"{BATCHES}/{name}/jobs"), 404, "not_found")
        problem(await site.post(f"{BATCHES}/{name}/cancel", {}), 404, "not_found")
        problem(await site.post(f"{BATCHES}/{name}/jobs", {"items": [delay()]}), 404, "not_found")
