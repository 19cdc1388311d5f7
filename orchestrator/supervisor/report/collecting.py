"""All parts of a report, and all secrets that must not be in it."""

import contextlib
from pathlib import Path
from typing import NamedTuple

from orchestrator.kernel.errors import Forbidden
from orchestrator.supervisor.doctor import gathering
from orchestrator.supervisor.doctor.gathering import Asked, Inquiry
from orchestrator.supervisor.logic.doctor.table import examine
from orchestrator.supervisor.logic.redaction import Redactor
from orchestrator.supervisor.report import parts, secrets
from orchestrator.supervisor.report.parts import Part
from orchestrator.supervisor.report.source import sources
from orchestrator.supervisor.service.systemd import Systemd
from orchestrator.supervisor.service.wanted import Reach


class Collected(NamedTuple):
    """What was found, and who knows what of it is secret."""

    parts: list[Part]
    redactor: Redactor


def collect(inquiry: Inquiry) -> Collected:
    """Return everything; a machine whose secrets cannot be read gives no report."""
    told = gathering.ask(inquiry.control)
    _check_owner(inquiry, told)
    facts, loaded = gathering.look(inquiry, told)
    state_dir = Path(facts.state_dir)
    found = [parts.versions()]
    checks = [finding.as_json() for finding in examine(facts)]
    found.append(Part("doctor.json", "what `orchestrator doctor` says", checks))
    if loaded is not None:
        found += parts.configuration(loaded, sources(loaded)[0])
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


def _check_owner(inquiry: Inquiry, told: Asked) -> None:
    """Refuse what is another user's before anything of it is looked at: that may start programs."""
    owners = {None if told.process is None else told.process.uid}
    with contextlib.suppress(OSError):
        owners.add(inquiry.control.path.lstat().st_uid)
    with contextlib.suppress(OSError):
        owners.add(inquiry.state_dir.stat().st_uid)
    for uid in owners - {None, inquiry.euid}:
        raise Forbidden(
            f"the orchestrator is that of user {uid}: what is secret of it, and must be taken out, "
            "only that user can read",
            hint=f"sudo -u '#{uid}' orchestrator bug-report",
        )
