"""`orchestrator entry NAME`: one worker of the configuration in the foreground.

It is what `worker run --name` becomes: a worker reads no configuration, and who reads it keeps no
worker, so somebody above both has to bring them together.
"""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.commands.surroundings import Surroundings
from orchestrator.kernel.errors import ConfigInvalid

if TYPE_CHECKING:
    from orchestrator.supervisor.config.loader import Loaded
    from orchestrator.supervisor.logic.wanted import WorkerWanted


@click.command(hidden=True)
@click.argument("name")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE")
@click.pass_obj
def entry(surroundings: Surroundings, name: str, config: Path | None) -> int:
    """Run the worker NAME of a configuration here until it is stopped."""
    from orchestrator.kernel import delegation, launcher

    delegation.settle()
    process = launcher.start(preload=["worker.shim"])  # before any big import, thread or event loop

    from orchestrator.kernel import paths
    from orchestrator.kernel.files import private_dir
    from orchestrator.supervisor.config.loader import load
    from orchestrator.supervisor.config.location import locate
    from orchestrator.supervisor.logic import orders
    from worker import dev

    try:
        loaded = load(locate(config, surroundings.environ), surroundings.environ)
        worker = _found(loaded, name)
        machine = loaded.wanted
        if machine is None or worker.token is None:
            raise ConfigInvalid(
                f"worker {name} belongs to the server that `orchestrator run` starts with it",
                hint="only `orchestrator run` runs it; name a server_url for one that runs alone",
            )
        workers = private_dir(private_dir(paths.state_dir()) / "workers")
        place = orders.Place(
            server_url=worker.identity.server_url,
            state_dir=str(private_dir(workers / worker.identity.worker_id)),
            token_file=None,
        )
        settings = orders.at_start(worker, machine, place, paused=None)
        return dev.run(dev.Plan(settings, token=worker.token), process)
    finally:
        process.close()


def _found(loaded: "Loaded", name: str) -> "WorkerWanted":
    """Return the worker of that name, or say why there is none."""
    known = [] if loaded.wanted is None else [worker.name for worker in loaded.wanted.workers]
    if loaded.wanted is None or name in {parked.name for parked in loaded.parked}:
        first = next(iter(loaded.problems), None)
        raise ConfigInvalid(
            f"{loaded.path} cannot be used" + (f": {first.message}" if first else ""),
            hint="orchestrator check tells everything that is wrong with it",
        )
    for worker in loaded.wanted.workers:
        if worker.name == name:
            return worker
    close = difflib.get_close_matches(name, known, n=1)
    raise ConfigInvalid(
        f"{loaded.path} has no worker {name!r}",
        hint=f"did you mean {close[0]}?" if close else f"it has {', '.join(known) or 'none'}",
    )
