"""All parts of a report, and all secrets that must not be in it."""

from pathlib import Path
from typing import NamedTuple

from orchestrator.kernel.errors import Forbidden
from orchestrator.supervisor.doctor import gathering
from orchestrator.supervisor.doctor.gathering import Inquiry
from orchestrator.supervisor.logic.doctor.table import examine
from orchestrator.supervisor.logic.redaction import Redactor
from orchestrator.supervisor.report import parts, secrets
from orchestrator.supervisor.report.parts import Part
from orchestrator.supervisor.report.source import source
from orchestrator.supervisor.service.systemd import Systemd
from orchestrator.supervisor.service.wanted import Reach


class Collected(NamedTuple):
    """What was found, and who knows what of it is secret."""

    parts: list[Part]
    redactor: Redactor


def collect(inquiry: Inquiry) -> Collected:
    """Return everything; a machine whose secrets cannot be read gives no report."""
    told = gathering.ask(inquiry.control)
    facts, loaded = gathering.look(inquiry, told)
    if (uid := facts.socket.uid) not in {None, inquiry.euid}:
        raise Forbidden(
            f"the orchestrator runs as user {uid}: what is secret of it, and must be taken out, "
            "only that user can read",
            hint=f"sudo -u '#{uid}' orchestrator bug-report",
        )
    state_dir = Path(facts.state_dir)
    found = [parts.versions()]
    checks = [finding.as_json() for finding in examine(facts)]
    found.append(Part("doctor.json", "what `orchestrator doctor` says", checks))
    if loaded is not None:
        found += parts.configuration(loaded, source(loaded))
    if told.status is not None:
        found += parts.running(inquiry.control)
    found += parts.logs(told.status, loaded, state_dir)
    for unit in facts.units:
        if unit.is_there and unit.active is not None:
            reach = Reach.USER if unit.of_a_user else Reach.SYSTEM
            found += parts.journal(Systemd(reach, inquiry.environ), unit.name)
    server_dir = gathering.server_dir(facts.wanted, told.status, state_dir)
    known = secrets.known(loaded, inquiry.environ, state_dir, server_dir)
    return Collected(found, Redactor(known))
