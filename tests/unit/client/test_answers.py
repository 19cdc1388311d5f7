"""What an answer of the server stands for."""

import json

import pytest

from orchestrator.client.answers import Answer, refusal
from orchestrator.kernel.errors import (
    AlreadyExists,
    Forbidden,
    IllegalTransition,
    LeaseLost,
    NotFound,
    OrchestratorError,
    Overloaded,
    PeerBroken,
    Refused,
    RequestInvalid,
    ServerUnreachable,
    StoreBusy,
    Unauthenticated,
    Unavailable,
    VersionUnsupported,
)
from orchestrator.protocol.views import FileView

CALLED = "GET http://127.0.0.1:8700/api/v1/jobs"


def _answer(status: int, body: bytes, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, sent, body, CALLED)


def _problem(status: int, code: str, **headers: str) -> OrchestratorError:
    body = {"title": "No", "status": status, "code": code, "detail": "it is so", "hint": "do this"}
    error = refusal(_answer(status, json.dumps(body).encode(), **headers))
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "json_invalid", RequestInvalid),
        (401, "unauthenticated", Unauthenticated),
        (403, "forbidden", Forbidden),
        (404, "not_found", NotFound),
        (405, "method_refused", PeerBroken),
        (409, "already_exists", AlreadyExists),
        (409, "illegal_transition", IllegalTransition),
        (409, "lease_lost", LeaseLost),
        (409, "version_unsupported", VersionUnsupported),
        (409, "something_new", Refused),
        (413, "body_too_large", RequestInvalid),
        (415, "content_type_refused", RequestInvalid),
        (422, "zip_unsafe", RequestInvalid),
        (422, "request_invalid", RequestInvalid),
        (429, "too_many_streams", Overloaded),
        (500, "internal", PeerBroken),
        (503, "store_busy", StoreBusy),
        (503, "overloaded", Overloaded),
        (503, "unavailable", Unavailable),
    ],
)
def test_a_problem_is_the_error_that_it_names(
    status: int, code: str, kind: type[OrchestratorError]
) -> None:
    """The code decides, and where it is more particular than our errors, the status does."""
    error = _problem(status, code)

    assert type(error) is kind
    assert "it is so" in error.message
    assert error.hint == "do this"


def test_a_code_of_the_servers_own_is_kept() -> None:
    """A program can tell `zip_unsafe` from any other refusal of a request."""
    assert _problem(422, "zip_unsafe").problem_code == "zip_unsafe"


def test_every_place_and_fault_is_kept() -> None:
    """The fields of a refused request arrive with it."""
    fields = [{"field": "params.argv", "fault": "is empty"}]
    body = {"title": "No", "status": 422, "code": "x", "detail": "no", "fields": fields}

    error = refusal(_answer(422, json.dumps(body).encode()))

    assert isinstance(error, RequestInvalid)
    assert error.fields == (("params.argv", "is empty"),)


@pytest.mark.parametrize(("header", "wait_s"), [("7", 7.0), ("soon", 1.0)])
def test_the_time_to_come_back_is_kept(header: str, wait_s: float) -> None:
    """An overloaded server's Retry-After is a number of seconds, or one second."""
    error = _problem(429, "overloaded", retry_after=header)

    assert isinstance(error, Overloaded)
    assert error.retry_after_s == wait_s


def test_a_redirect_is_refused_with_its_target() -> None:
    """A redirect is an error that names where it leads, whatever its body says."""
    error = refusal(_answer(302, b"{}", location="http://evil.test/"))

    assert isinstance(error, ServerUnreachable)
    assert "http://evil.test/" in error.message
    assert "not followed" in error.message


@pytest.mark.parametrize(("status", "kind"), [(404, ServerUnreachable), (502, Unavailable)])
def test_an_answer_that_is_not_ours_is_called_that(
    status: int, kind: type[OrchestratorError]
) -> None:
    """A page of some other program is shown in part, with nothing in it that could act."""
    error = refusal(_answer(status, b"<html>\x1b[2J" + b"x" * 1000))

    assert type(error) is kind
    assert CALLED in error.message
    assert "\x1b" not in error.message
    assert len(error.message) < 400


def test_success_is_no_error() -> None:
    """Any 2xx is a success."""
    assert refusal(_answer(200, b"")) is None
    assert refusal(_answer(201, b"{}")) is None


def test_a_reply_that_does_not_fit_names_its_fault() -> None:
    """A body that is not what was asked for is the server's fault, and says where it is wrong."""
    body = b'{"sha256": "x", "size": "many", "created_at": "2026-08-21T09:14:03Z"}'

    with pytest.raises(PeerBroken, match="no FileView: size"):
        _answer(200, body).read(FileView)


def test_a_newer_servers_additions_are_ignored() -> None:
    """An unknown field of a reply does not disturb an older client."""
    body = b'{"sha256": "x", "size": 3, "created_at": "2026-08-21T09:14:03Z", "new": 1}'

    assert _answer(200, body).read(FileView).size == 3


def test_a_page_for_people_is_no_answer_of_ours() -> None:
    """An address of some other program is told as such, also when that one is content."""
    page = _answer(200, b"<html>welcome</html>", **{"content-type": "text/html"})

    with pytest.raises(ServerUnreachable, match="no orchestrator answers there") as refused:
        page.read(FileView)

    assert "ORCHESTRATOR_URL" in (refused.value.hint or "")
