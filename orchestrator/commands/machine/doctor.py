"""`orchestrator doctor`: what is wrong with this machine, and exactly what mends it."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.machine.finding import SOCKET, find, state_dir_option
from orchestrator.commands.options import json_option
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.supervisor.doctor.gathering import Inquiry
    from orchestrator.supervisor.logic.doctor.finding import Finding

DEGRADED: Final = 3
MARKS: Final = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM", "unseen": "?      "}


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@state_dir_option
@json_option
@click.pass_obj
def doctor(
    surroundings: Surroundings, file: Path | None, state_dir: Path | None, *, as_json: bool
) -> int:
    """Look at this machine, and tell what is wrong, each with what mends it.

    The orchestrator that runs is asked, if one does. It returns 3 if there is any problem; a
    warning can wait. Nothing is changed, and nothing is claimed that was not looked at.
    """
    from orchestrator.supervisor.doctor.gathering import gather
    from orchestrator.supervisor.logic.doctor.finding import is_well
    from orchestrator.supervisor.logic.doctor.table import examine

    findings = examine(gather(inquiry(surroundings, file, state_dir)))
    if as_json:
        output.document(document(findings))
    else:
        for line in lines(findings):
            output.data(line)
    return 0 if is_well(findings) else DEGRADED


def inquiry(surroundings: Surroundings, file: Path | None, state_dir: Path | None) -> "Inquiry":
    """Return whom to ask: the one that is named, else the one that runs, else nobody."""
    from orchestrator.client.control import Control
    from orchestrator.kernel import paths
    from orchestrator.kernel.errors import NotRunning
    from orchestrator.supervisor.doctor.gathering import Inquiry

    try:
        control = find(state_dir)
    except NotRunning:
        control = Control(paths.state_dir() / SOCKET)
    return Inquiry(surroundings.environ, control, control.path.parent, file)


def document(findings: "list[Finding]") -> dict[str, object]:
    """Return them for programs."""
    from orchestrator import __version__
    from orchestrator.supervisor.logic.doctor.finding import is_well

    return {
        "ok": is_well(findings),
        "version": __version__,
        "checks": [finding.as_json() for finding in findings],
    }


def lines(findings: "list[Finding]") -> list[str]:
    """Return them for a person: what mends something stands below it."""
    width = max(len(finding.check) for finding in findings)
    told = []
    for finding in findings:
        told.append(f"{MARKS[finding.grade]}  {finding.check:<{width}}  {finding.seen}")
        if finding.remedy is not None:
            told.append(f"{' ' * (width + 11)}→ {finding.remedy}")
    wrong = sum(finding.grade == "problem" for finding in findings)
    odd = sum(finding.grade == "warning" for finding in findings)
    counted = f"{wrong} problem{'s' * (wrong != 1)}, {odd} warning{'s' * (odd != 1)}"
    return [*told, counted if wrong or odd else "nothing is wrong"]
