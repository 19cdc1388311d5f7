"""Workers and servers of two versions understand each other, whichever of them is the older."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.protocol import wire
from tests.fixtures.kept import asked, grown, read_json, versions
from tests.integration.server.site import Site, bearer, problem, running
from tests.integration.server.worker import at_work
from tests.support.builders import command, delay

ANSWERS: dict[str, type[BaseModel]] = {
    "enrol": wire.EnrolReply,
    "sessions": wire.SessionReply,
    "claim": wire.ClaimReply,
    "report": wire.ReportReply,
    "heartbeat": wire.HeartbeatReply,
}
EACH_VERSION = pytest.mark.parametrize("version", versions(), ids=lambda path: path.name)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Give a new server."""
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)
    async with running(folder) as started:
        yield started


def _shape(value: Any) -> Any:
    """Return only which fields there are, and of what type."""
    match value:
        case dict():
            return {name: _shape(one) for name, one in value.items()}
        case list():
            return [_shape(one) for one in value[:1]]
        case _:
            return type(value).__name__


def _has_all_of(new: Any, old: Any) -> bool:
    match old:
        case dict() if isinstance(new, dict):
            return all(name in new and _has_all_of(new[name], one) for name, one in old.items())
        case list() if isinstance(new, list):
            return all(_has_all_of(one, old[0]) for one in new) if old else True
        case _:
            return bool(new == old or "NoneType" in (new, old))


@EACH_VERSION
async def test_a_worker_of_another_version_is_served(site: Site, version: Path) -> None:
    """Each of its calls is answered as it was, and no answer lacks a field that it reads."""
    calls = read_json(version / "wire.json")
    new: dict[str, str] = {}
    token = ""
    wanted = iter(
        [
            command("make", env={"A": "1"}),
            command("false"),
            delay(),
            command("pay", execution="at_most_once", priority=5),
        ]
    )

    for call in calls:
        name = call["path"].rpartition("/")[2]
        for grant in call["answer"].get("grants", []) if name == "claim" else []:
            new[grant["job_id"]] = await site.submit(next(wanted))
        headers = bearer(site.key("enrol")) if name == "enrol" else {"Authorization": token}
        answer = await site.post(call["path"], _renamed(call["request"], new), **headers)

        assert answer.status_code == call["status"], (call, answer.text)
        assert _has_all_of(_shape(answer.json()), _shape(call["answer"])), (call, answer.text)
        token = f"Worker {answer.json()['token']}" if name == "enrol" else token
        if name == "sessions":
            new[call["answer"]["session_id"]] = answer.json()["session_id"]


def _renamed(value: Any, names: dict[str, str]) -> Any:
    match value:
        case dict():
            return {name: _renamed(one, names) for name, one in value.items()}
        case list():
            return [_renamed(one, names) for one in value]
        case str():
            return names.get(value, value)
        case _:
            return value


@EACH_VERSION
def test_a_worker_understands_the_server_of_another_version(version: Path) -> None:
    """Its answers are read whole, and what a newer one adds to them is passed over."""
    for call in read_json(version / "wire.json"):
        model = ANSWERS.get(call["path"].rpartition("/")[2])
        if model is None:
            continue
        read = model.model_validate(call["answer"])

        assert model.model_validate(grown(call["answer"])) == read
        assert read.model_dump(mode="json").items() >= call["answer"].items()


@EACH_VERSION
def test_a_server_before_is_asked_nothing_that_it_does_not_know(version: Path) -> None:
    """A field that a request has gained is left out of it while it says nothing.

    Servers refuse what they do not know. So a newer worker works with an older server as long as it
    needs nothing new of it, and is refused, with the field's name, when it does.
    """
    kept = read_json(version / "fields.json")
    for name, model in asked():
        for field, about in model.model_fields.items():
            old = field in kept.get(name, [])
            assert old or about.exclude_if is not None, (
                f"{name}.{field} is new: declare it with `exclude_if`; or, while {version.name} is "
                "not released, run: python -m tests.fixtures.keep"
            )
        assert set(kept.get(name, [])) <= set(model.model_fields), f"{name} lost a field"


async def test_a_worker_of_another_protocol_is_refused_in_words(site: Site) -> None:
    """It is told which version is spoken here, and which of the two is to be changed."""
    worker = await at_work(site)

    for spoken in ("2", "37"):
        answer = await site.post(f"/api/worker/v{spoken}/sessions", {}, **worker.headers)
        told = problem(answer, 409, "version_unsupported")
        assert f"version {spoken} of the protocol" in told["detail"]
        assert "speaks version 1" in told["detail"]
        assert "upgrade the older of the two" in told["hint"]
    unknown = await site.post("/api/worker/v1/nothing", {}, **worker.headers)
    problem(unknown, 404, "not_found")
