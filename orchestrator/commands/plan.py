"""`orchestrator plan`: what saving a configuration would change, before it is saved."""

from pathlib import Path
from typing import Final

import click

from orchestrator.commands import output
from orchestrator.commands.surroundings import Surroundings

INVALID: Final = 78


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of words.")
@click.pass_obj
def plan(surroundings: Surroundings, file: Path | None, *, as_json: bool) -> int:
    """Tell what FILE would change compared to what was applied last.

    Nothing is changed. What was applied last is what runs, if an orchestrator does.
    """
    from orchestrator.kernel.paths import state_dir
    from orchestrator.supervisor.config.loader import load
    from orchestrator.supervisor.config.location import locate
    from orchestrator.supervisor.last_good import LastGood
    from orchestrator.supervisor.preview import preview

    path = locate(file, surroundings.environ)
    loaded = load(path, surroundings.environ, state_dir=state_dir())
    applied = LastGood.find(state_dir())
    old = None
    if applied is not None:
        kept = load(
            applied.path,
            surroundings.environ,
            state_dir=state_dir(),
            kept=applied.raw,
            kept_included=applied.included,
        )
        old = kept.wanted
    lines = preview(old, loaded) if loaded.wanted is not None else []
    if as_json:
        output.document(
            {
                "file": str(path),
                "generation": None if applied is None else applied.generation,
                "changes": lines,
                "problems": [problem.as_json() for problem in loaded.problems],
            }
        )
    else:
        for problem in loaded.problems:
            for line in problem.render():
                output.data(line)
        for line in lines:
            output.data(line)
    if loaded.wanted is None:
        output.say("the file is refused as a whole: saving it would change nothing")
        return INVALID
    if not lines and not as_json:
        output.data("nothing changes")
    return 0
