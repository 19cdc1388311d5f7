"""Ask a person for what a folder's worker lacks; it is tried before anything is saved.

It starts nothing. Whoever interrupts it has changed nothing.
"""

from typing import Final

import click

from orchestrator.client import inquiry
from orchestrator.client.endpoint import Endpoint
from orchestrator.client.inquiry import Answer, Verdict
from orchestrator.kernel.errors import (
    ConfigInvalid,
    Forbidden,
    OrchestratorError,
    ServerUnreachable,
    Unauthenticated,
)
from orchestrator.protocol.tokens import WorkerToken
from worker import dotenv_file
from worker.dotenv_file import FILE, FORM, TOKEN, URL, Told
from worker.enrolment import is_key, with_token

_PROMPTS: Final = {
    URL[0]: "SERVER_URL, the server's address (such as https://control.example.com)",
    TOKEN[0]: "WORKER_TOKEN (machine_…), or a key to enrol the worker with (wak_…)",
}


def ask(told: Told, missing: list[str]) -> Told:
    """Ask until the server lets the worker in, save the answers, and return all that is known."""
    click.echo(f"worker: a worker for {told.folder}; Ctrl-C leaves everything as it is", err=True)
    answers: dict[str, str] = {}
    while True:
        for name in missing:
            if name not in answers:
                answers[name] = _answer(name)
        answer = _tried(Told(told.folder, {**told.values, **answers}), answers)
        if answer.verdict is Verdict.ACCEPTED:
            break
        wrong = TOKEN[0] if answer.verdict is Verdict.REFUSED else URL[0]
        if wrong not in answers:
            # It was said elsewhere: asking again would not change it.
            kind = ConfigInvalid if wrong == TOKEN[0] else ServerUnreachable
            raise kind(answer.why, hint=answer.hint)
        _complain(answer.why, answer.hint)
        del answers[wrong]
    dotenv_file.save(told.folder, answers)
    click.echo(f"worker: saved in {told.folder / FILE}", err=True)
    if dotenv_file.is_shared(told.folder) and click.confirm(
        f"{FILE} holds a secret now. Add it to {dotenv_file.IGNORE_FILE}?", default=True, err=True
    ):
        dotenv_file.exclude(told.folder)
    return Told(told.folder, {**told.values, **answers})


def _tried(known: Told, answers: dict[str, str]) -> Answer:
    """Return what the server says; a key that was answered becomes the token that it gives."""
    if not is_key(known.get(TOKEN)):
        return inquiry.ask(known.get(URL), str(known.token()))
    try:
        token = with_token(known).get(TOKEN)
    except (ConfigInvalid, Unauthenticated, Forbidden) as error:
        return Answer(Verdict.REFUSED, error.message, error.hint)
    except OrchestratorError as error:
        return Answer(Verdict.UNREACHABLE, error.message, error.hint)
    if TOKEN[0] in answers:
        answers[TOKEN[0]] = token
    return Answer(Verdict.ACCEPTED)


def _answer(name: str) -> str:
    """Return an answer that can be one."""
    while True:
        text: str = click.prompt(_PROMPTS[name], hide_input=name == TOKEN[0], err=True).strip()
        try:
            if name == URL[0]:
                return Endpoint.parse(text, "unused").url
        except ConfigInvalid as error:
            _complain(error.message, error.hint)
        else:
            if WorkerToken.parse(text) is not None or is_key(text):
                return text
            _complain("this is no worker token", FORM)


def _complain(why: str, hint: str | None) -> None:
    click.echo(f"worker: {why}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
