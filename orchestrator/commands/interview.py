"""Ask a person for a first worker: each answer is tried before the next question.

It writes nothing. Whoever interrupts it has changed nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path

import anyio
import click

from orchestrator.client.endpoint import Endpoint
from orchestrator.client.enrolment import enrol_with
from orchestrator.client.inquiry import Verdict, ask
from orchestrator.commands import output
from orchestrator.kernel import paths
from orchestrator.kernel.errors import ConfigInvalid, OrchestratorError
from orchestrator.kernel.files import private_dir
from orchestrator.protocol.tokens import WorkerToken, is_well_formed
from orchestrator.supervisor.config.first.importing import name_for
from orchestrator.supervisor.config.tokens import fault

ENROLMENT: Path = Path("enrolments")
"""Below the state directory: who asks a second time is the same worker."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A worker that a server knows."""

    name: str
    server_url: str
    insecure: bool
    directory: Path
    token: str = field(repr=False)


def interview() -> Answers:
    """Ask until there is a worker that works, or somebody gives up."""
    output.say("a first worker for this machine; Ctrl-C leaves without writing anything")
    directory = _directory()
    name = click.prompt(
        "Name of the worker", default=name_for(directory.name, set()), err=True, value_proc=_named
    )
    while True:
        url, insecure = _server()
        token = _token(url, name)
        if token is not None:
            return Answers(name, url, insecure, directory, token)


def _directory() -> Path:
    while True:
        said = click.prompt("Directory in which it works", default=str(Path.cwd()), err=True)
        try:
            path = Path(said).expanduser().absolute()
            if path.is_dir():
                return path
            output.say(f"there is no directory {path}")
        except OSError as error:
            output.say(f"{said} cannot be looked at: {(error.strerror or '').lower()}")
        except RuntimeError:  # what pathlib says of a `~user`
            output.say(f"nobody is at home at {said}")


def _named(text: str) -> str:
    name = text.strip()
    if name_for(name, set()) != name:
        raise click.BadParameter(f"a name has a-z 0-9 . _ -, such as {name_for(name, set())}")
    return name


def _server() -> tuple[str, bool]:
    while True:
        said = click.prompt("Address of the server (https://…)", err=True).strip()
        try:
            server = Endpoint.parse(said, "unused")
        except ConfigInvalid as error:
            output.trouble(error.message, error.hint)
            continue
        if server.secure or server.local:
            return server.url, False
        output.say("plain http shows the token to everybody on the way")
        if click.confirm("Use it all the same?", err=True):
            return server.url, True


def _token(url: str, name: str) -> str | None:
    """Return a token that the server knows; nothing when the server should be asked for again."""
    while True:
        said = click.prompt(
            "Worker's token (machine_…), or a key to enrol it with (wak_…)",
            hide_input=True,
            err=True,
        ).strip()
        if is_well_formed(said, "wak"):
            try:
                return _enrolled(url, name, said)
            except OrchestratorError as error:
                output.trouble(error.message, error.hint)
                return None
        if WorkerToken.parse(said) is None:
            output.trouble(*fault(said))
            continue
        answer = ask(url, said)
        if answer.verdict is Verdict.ACCEPTED:
            return said
        output.trouble(answer.why, answer.hint)
        if answer.verdict is Verdict.UNREACHABLE:
            return None


def _enrolled(url: str, name: str, key: str) -> str:
    folder = private_dir(paths.state_dir() / ENROLMENT / name)
    return anyio.run(lambda: enrol_with(key, url=url, name=name, folder=folder))
