"""What came back from the server: an answer to read, or the error that it stands for.

It opens no connection and knows no caller. Problems (RFC 9457) become the errors of
`kernel/errors.py`, so that a refusal on the far side and one of our own are handled alike; whatever
is not a problem was not said by our server, and is called that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.kernel import errors
from orchestrator.kernel.errors import OrchestratorError, Overloaded, PeerBroken, RequestInvalid
from orchestrator.protocol.views import Problem

T = TypeVar("T", bound=BaseModel)

BY_CODE: Final[Mapping[str, type[OrchestratorError]]] = {
    kind.code: kind
    for kind in (
        errors.AlreadyExists,
        errors.Forbidden,
        errors.IllegalTransition,
        errors.JobsRunning,
        errors.LeaseLost,
        errors.NotClaimable,
        errors.NotFound,
        errors.Refused,
        errors.RequestInvalid,
        errors.StoreBusy,
        errors.Unauthenticated,
        errors.Unavailable,
        errors.VersionUnsupported,
    )
}
BY_STATUS: Final[Mapping[int, type[OrchestratorError]]] = {
    400: errors.RequestInvalid,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    408: errors.Unavailable,
    409: errors.Refused,
    413: errors.RequestInvalid,
    415: errors.RequestInvalid,
    422: errors.RequestInvalid,
    426: errors.VersionUnsupported,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
}
"""For codes more particular than a class, such as `zip_unsafe`."""
_GATEWAY: Final = frozenset({502, 503, 504})
_SHOWN_CHARS: Final = 200
RETRY_AFTER_DEFAULT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `body` is kept as it came, because `--json` prints it unchanged."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    called: str

    @property
    def is_json(self) -> bool:
        """Tell whether it claims nothing else, such as to be a page for people."""
        return "json" in self.headers.get("content-type", "json")

    def read(self, reply: type[T]) -> T:
        """Return the body as a model; a body that is not one is the server's fault."""
        try:
            return reply.model_validate_json(self.body)
        except ValidationError as error:
            if not self.is_json:
                raise _no_orchestrator(self) from None
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the body"
            raise PeerBroken(
                f"{self.called} answered what is no {reply.__name__}: {place}: {first['msg']}",
                hint="is the address right, and is the server's version the same as this one's?",
            ) from None


def refusal(answer: Answer) -> OrchestratorError | None:
    """Return the error that an answer stands for, or `None` when it is a success."""
    if 200 <= answer.status < 300:
        return None
    if 300 <= answer.status < 400:
        return _redirected(answer)
    try:
        problem = Problem.model_validate_json(answer.body)
    except ValidationError:
        return _foreign(answer)
    return _from_problem(problem, answer)


def _from_problem(problem: Problem, answer: Answer) -> OrchestratorError:
    message, code = problem.detail or problem.title, problem.code
    kind = BY_CODE.get(code)
    if code == Overloaded.code or (kind is None and answer.status == 429):
        after_s = _seconds(answer.headers.get("retry-after"))
        return Overloaded(message, retry_after_s=after_s, hint=problem.hint)
    kind = kind or BY_STATUS.get(answer.status)
    if kind is RequestInvalid:
        fields = tuple((fault.field, fault.fault) for fault in problem.fields)
        return RequestInvalid(message, hint=problem.hint, code=code, fields=fields)
    if kind is not None:
        return kind(message, hint=problem.hint, code=code)
    told = f" (request {problem.request_id})" if problem.request_id else ""
    return PeerBroken(
        f"{answer.called} answered {answer.status}: {message}{told}",
        hint=problem.hint or "the server's log says more",
        code=code,
    )


def _redirected(answer: Answer) -> OrchestratorError:
    # A redirect would carry the credential to an address that nobody configured, perhaps in plain
    # text, so it is refused even when it looks harmless.
    target = ascii(answer.headers.get("location", "nowhere"))[:_SHOWN_CHARS]
    return errors.ServerUnreachable(
        f"{answer.called} answered {answer.status}, a redirect to {target}; it is not followed",
        hint="give the server's final address",
    )


def _foreign(answer: Answer) -> OrchestratorError:
    if answer.status in _GATEWAY:
        message = f"{answer.called} answered {answer.status}: {_said(answer)}"
        return errors.Unavailable(message, hint="something before the server cannot reach it")
    return _no_orchestrator(answer)


def _no_orchestrator(answer: Answer) -> OrchestratorError:
    return errors.ServerUnreachable(
        f"no orchestrator answers there: {answer.called} answered {answer.status}: {_said(answer)}",
        hint="is that the address of an orchestrator server? ORCHESTRATOR_URL says which one is "
        "called; it is printed when the server starts",
    )


def _said(answer: Answer) -> str:
    return ascii(answer.body[:_SHOWN_CHARS].decode("utf-8", "replace").strip())


def _seconds(header: str | None) -> float:
    if header is not None and header.isascii() and header.isdigit():
        return float(header[:9])
    return RETRY_AFTER_DEFAULT_S
