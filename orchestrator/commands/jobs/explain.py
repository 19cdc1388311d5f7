"""`orchestrator jobs explain`: why a job is not running, and what would have to change."""

import click

from orchestrator.commands import output
from orchestrator.commands.options import job_argument, json_option
from orchestrator.commands.surroundings import Surroundings


@click.command()
@job_argument
@json_option
@click.pass_obj
def explain(surroundings: Surroundings, job_id: str, *, as_json: bool) -> int:
    """Say why a job is not running: how many workers lack what, and who lacks least."""
    from orchestrator.protocol.views import Explanation

    with surroundings.connect() as remote:
        answer = remote.explain(job_id)
    if as_json:
        output.document(answer.body)
        return 0
    told = answer.read(Explanation)
    why = f" ({told.pending_reason})" if told.pending_reason else ""
    output.data(f"{told.state}{why}: {told.words}")
    for miss in told.failing:
        output.data(f"  {_count(miss.workers)} {miss.constraint}")
    if told.nearest is not None:
        output.data(f"  nearest: {told.nearest.worker} lacks {', '.join(told.nearest.lacks)}")
    return 0


def _count(workers: int) -> str:
    return "1 worker lacks" if workers == 1 else f"{workers} workers lack"
