"""The document of the control socket, held against a real orchestrator."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.client.control import _Connection
from orchestrator.supervisor.control.routes import ROUTES
from tests.integration.supervisor.fleets import Machine, worker
from tests.support import documents
from tests.support.json_schema import faults

QUIET = {"POST /v1/upgrade"}
"""Would end what is asked."""
SENT: dict[str, Any] = {"reason": "why not"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Give a machine with two workers, of which one has a mistake in its entry."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.save(worker("web", 1), worker("bad", 2, working_directory="nowhere"))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        yield machine


def _asked(
    machine: Machine, method: str, path: str, body: Any = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = _Connection(machine.state / "control.sock", 10)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def _document(machine: Machine) -> Any:
    return json.loads(_asked(machine, "GET", "/openapi.json")[1])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_answer_is_as_it_is_described(machine: Machine, route: Any) -> None:
    """Each route of the table is in the document, and what it answers fits."""
    document = _document(machine)
    operation = document["paths"][route.path][route.method.lower()]
    assert operation["summary"]
    if f"{route.method} {route.path}" in QUIET:
        return
    path = route.path.replace("{name}", "web")

    answer, body = _asked(machine, route.method, path, {} if route.method == "POST" else None)

    described = operation["responses"].get(str(answer.status), operation["responses"]["default"])
    [(media_type, content)] = described["content"].items()
    assert answer.getheader("content-type") == media_type
    if media_type == "application/json":
        assert faults(json.loads(body), _closed(content["schema"], document), document) == []


def _closed(schema: Any, document: Any) -> Any:
    """Return the schema of an answer in which nothing may be that is not described."""
    for model in document["components"]["schemas"].values():
        if "properties" in model:
            model.setdefault("additionalProperties", False)
    return schema


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/workers/nobody", None),
        ("POST", "/v1/workers/web:pause", {"for_s": "soon"}),
        ("GET", "/v1/events?since=x", None),
        ("POST", "/v1/upgrade", {"program": "/no/such/program"}),
    ],
)
def test_a_refusal_is_as_it_is_described(
    machine: Machine, method: str, path: str, body: Any
) -> None:
    """Each has the form that the document gives to every other answer."""
    document = _document(machine)
    route = "/v1/workers/{name}:pause" if "pause" in path else path.partition("?")[0]
    route = route.replace("/nobody", "/{name}")
    described = document["paths"][route][method.lower()]["responses"]["default"]["content"]

    answer, told = _asked(machine, method, path, body)

    [(media_type, content)] = described.items()
    assert answer.status >= 400
    assert answer.getheader("content-type") == media_type
    assert faults(json.loads(told), _closed(content["schema"], document), document) == []


def test_what_is_sent_is_described(machine: Machine) -> None:
    """A body that fits is taken; a key that is not described is refused."""
    document = _document(machine)
    operation = document["paths"]["/v1/workers/{name}:pause"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]

    assert faults(SENT, schema, document) == []
    assert _asked(machine, "POST", "/v1/workers/web:pause", SENT)[0].status == 200
    assert faults({"why": 1}, schema, document) != []
    assert _asked(machine, "POST", "/v1/workers/web:pause", {"why": 1})[0].status == 422
    assert _asked(machine, "POST", "/v1/workers/web:resume")[0].status == 200


def test_the_manual_has_every_route() -> None:
    """Each stands in the table of calls, and none that does not exist."""
    table = documents.rows(documents.section("ORCHESTRATOR.md", "Looking after a machine"))
    told = set()
    for row in table:
        first, *others = row[0].replace("`", " ").split()
        if first in {"GET", "POST"}:
            path, *verbs = others
            told |= {(first, path.partition("?")[0])}
            told |= {(first, path.rpartition(":")[0] + verb) for verb in verbs}

    assert told == {(route.method, route.path) for route in ROUTES}
