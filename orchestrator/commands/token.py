"""`orchestrator token renew`: another secret for a worker, while it works."""

from pathlib import Path

import click

from orchestrator.commands import output
from orchestrator.commands.checked import checked
from orchestrator.commands.lazy import LazyGroup
from orchestrator.commands.options import Duration
from orchestrator.commands.surroundings import Surroundings

PATH = "/api/worker/v1/token"


@click.group("token", cls=LazyGroup)
def token() -> None:
    """Look after the tokens of workers."""


token.members = {"renew": "orchestrator.commands.token:renew"}


@click.command()
@click.argument("worker", metavar="WORKER")
@click.option(
    "--overlap",
    "overlap_s",
    type=Duration(),
    default="10m",
    show_default=True,
    help="How long the old token is accepted as well, up to 24h.",
)
@click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="Which file it is in."
)
@click.pass_obj
def renew(surroundings: Surroundings, worker: str, *, overlap_s: float, config: Path | None) -> int:
    """Give a worker of workers.yaml a new token; its session and its jobs go on.

    It is written where the old one stands: in the file, or in the file that `${file:…}` names.
    """
    from orchestrator.client.http import Api
    from orchestrator.commands.moments import moment
    from orchestrator.kernel.errors import OrchestratorError, StateUnavailable
    from orchestrator.protocol.wire import RenewTokenReply, RenewTokenRequest
    from orchestrator.supervisor.config.location import locate
    from orchestrator.supervisor.config.renewing import credential

    request = checked(RenewTokenRequest, {"overlap_s": overlap_s}, option=lambda _: "--overlap")
    path = locate(config, surroundings.environ)
    had = credential(path, surroundings.environ, worker)
    with Api(had.server_url, had.token) as api:
        answer = api.post(PATH, request)
    reply = answer.read(RenewTokenReply)
    until = moment(reply.old_until)
    try:
        had.replace(reply.token, surroundings.environ)
    except OrchestratorError as error:
        raise StateUnavailable(
            f"{worker} has a new token, which is lost: {error.message}",
            hint=f"mend that, and say this again before {until}: so long the old one is accepted",
        ) from error
    output.say(f"{worker} has a new token, in {had.home}")
    output.advise(
        f"the old one is accepted until {until}; a running orchestrator takes "
        "the new one within two seconds"
    )
    return 0
