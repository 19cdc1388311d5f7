"""`orchestrator bug-report`: what whoever is to find out what is wrong needs, and no secret."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.commands import output
from orchestrator.commands.machine.doctor import inquiry
from orchestrator.commands.machine.finding import state_dir_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.kernel.clock import SystemClock

if TYPE_CHECKING:
    from orchestrator.supervisor.report.parts import Part


@click.command("bug-report")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where it is written (by default here, with the moment in its name).",
)
@click.option("--without", multiple=True, metavar="PART", help="Leave this part out, by its name.")
@state_dir_option
@click.pass_obj
def bug_report(
    surroundings: Surroundings,
    file: Path | None,
    path: Path | None,
    without: tuple[str, ...],
    state_dir: Path | None,
) -> int:
    """Write a tar.gz for whoever is to find out what is wrong, for its owner alone.

    Configuration, status, events, stacks, logs and what `doctor` says are in it, without secrets:
    those that are known, and what looks like one. It is searched once more before it is written,
    and if any secret is found it is not. Nothing is sent to anybody.
    """
    from orchestrator.supervisor.report import archive
    from orchestrator.supervisor.report.collecting import collect

    collected = collect(inquiry(surroundings, file, state_dir))
    names = {part.name for part in collected.parts}
    for unknown in sorted(set(without) - names):
        raise click.UsageError(
            f"there is no part {unknown!r}; there are {', '.join(sorted(names))}"
        )
    parts = [part for part in collected.parts if part.name not in without]
    now = SystemClock().now()
    body = archive.packed(parts, collected.redactor, int(now))
    target = path or Path(
        f"{archive.FOLDER}-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.tar.gz"
    )
    archive.write(target, body)
    for line in _contents(parts):
        output.data(line)
    output.say(f"written: {target} ({len(body) // 1024 + 1} KiB), for you alone")
    output.advise(
        f"look at it before you send it: tar -xzf {target}",
        "secrets are taken out; names of people, machines, folders and jobs are in it",
    )
    return 0


def _contents(parts: "list[Part]") -> list[str]:
    width = max(len(part.name) for part in parts)
    return [f"{part.name:<{width}}  {part.about}" for part in parts]
