"""The rules in the order in which a person reads them: from what stops everything to what may wait.

Each rule is given all facts and says what it thinks of some of them. No rule knows another.
"""

from collections.abc import Callable, Iterable
from typing import Final

from orchestrator.supervisor.logic.doctor import (
    files,
    kernel,
    packages,
    programs,
    resources,
    running,
    servers,
    service,
)
from orchestrator.supervisor.logic.doctor.facts import Facts
from orchestrator.supervisor.logic.doctor.finding import Finding

Rule = Callable[[Facts], Iterable[Finding]]
RULES: Final[tuple[Rule, ...]] = (
    running.answers,
    running.version,
    running.workers,
    files.configuration,
    files.applied,
    files.modes,
    files.directories,
    servers.routes,
    servers.proxies,
    servers.tokens,
    servers.port,
    resources.disks,
    resources.open_files,
    resources.processes,
    resources.limits,
    programs.path,
    programs.own_paths,
    programs.programs,
    packages.packages,
    service.service,
    kernel.offers,
    kernel.root,
    kernel.secrecy,
)


def examine(facts: Facts) -> list[Finding]:
    """Return everything that there is to say of a machine."""
    return [finding for rule in RULES for finding in rule(facts)]
