"""Ask a server whether it would let a worker in, without becoming that worker.

The question is a read: for a file of a session that does not exist. A token that is known gets
*not found*, one that is not gets *unauthenticated*; no session begins, so a worker that runs with
the same token never notices.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from orchestrator.client.http import Api
from orchestrator.kernel.errors import (
    Forbidden,
    NotFound,
    OrchestratorError,
    PeerBroken,
    ServerUnreachable,
    Unauthenticated,
    Unavailable,
)

PATH: Final = f"/api/worker/v1/files/{'0' * 64}"
PARAMS: Final = {
    "session_id": f"session_{'0' * 26}",
    "job_id": f"job_{'0' * 26}",
    "attempt": "1",
}
PATIENCE_S: Final = 10.0


class Verdict(StrEnum):
    """What a server thinks of a token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Answer(NamedTuple):
    """A verdict, and why."""

    verdict: Verdict
    why: str = ""
    hint: str | None = None


def ask(server_url: str, token: str) -> Answer:
    """Ask about one token."""
    try:
        with Api(server_url, token) as api:
            api.get(PATH, PARAMS, timeout_s=PATIENCE_S)
    except NotFound:
        return Answer(Verdict.ACCEPTED)
    except (Unauthenticated, Forbidden):
        return Answer(
            Verdict.REFUSED,
            "the server does not know this token",
            "was the worker removed, or enrolled again? take the token that it got last",
        )
    except (ServerUnreachable, Unavailable, PeerBroken) as error:
        return Answer(Verdict.UNREACHABLE, error.message, error.hint)
    except OrchestratorError as error:
        return Answer(Verdict.UNREACHABLE, f"the server answered: {error.message}", error.hint)
    return Answer(Verdict.UNREACHABLE, "no orchestrator answers there")


def ask_all(questions: Iterable[tuple[str, str]]) -> list[Answer]:
    """Ask about many, in order; a server that did not answer once is not asked again."""
    silent: dict[str, Answer] = {}
    answers = []
    for server_url, token in questions:
        answer = silent.get(server_url) or ask(server_url, token)
        if answer.verdict is Verdict.UNREACHABLE:
            silent[server_url] = answer
        answers.append(answer)
    return answers
