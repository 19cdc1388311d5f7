"""The service: whether there is one, whether it is the one that runs, and what its unit says."""

from collections.abc import Iterator
from shlex import quote

from orchestrator.supervisor.logic.doctor.facts import Facts, Unit
from orchestrator.supervisor.logic.doctor.finding import Finding, ok, problem, unseen, warning


def service(facts: Facts) -> Iterator[Finding]:
    """Say how the service is."""
    if facts.no_units:
        yield unseen("service", facts.no_units)
        return
    there = [unit for unit in facts.units if unit.is_there]
    if not there:
        yield ok("service", "none is installed; orchestrator service install makes one")
    for unit in there:
        yield _state(unit, facts)
        yield from _file(unit, facts)
        if unit.of_a_user:
            yield from _lingering(unit)


def _option(unit: Unit) -> str:
    return " --user" if unit.of_a_user else " --system"


def _state(unit: Unit, facts: Facts) -> Finding:
    title = f"{unit.name} ({unit.path})"
    if unit.active is None:
        return unseen("service", f"{title} is installed; no service manager answers here")
    runs = facts.status
    start = f"orchestrator service start{_option(unit)} --name {quote(unit.name)}"
    if unit.active == "failed":
        remedy = f"orchestrator service logs{_option(unit)} --name {quote(unit.name)}"
        return problem("service", f"{title} has failed", remedy)
    if unit.pid is not None and runs is not None and unit.pid != runs.pid:
        seen = f"{title} runs as pid {unit.pid}, and pid {runs.pid} answers here"
        return warning("service", seen, "orchestrator status --state-dir …  – says which is which")
    if unit.pid is None and runs is not None:
        seen = f"{title} is {unit.active}; the orchestrator that runs (pid {runs.pid}) is not it"
        return warning("service", seen, f"stop that one, then: {start}")
    if unit.pid is None:
        return problem("service", f"{title} is {unit.active}", start)
    if not unit.enabled:
        system = "systemctl --user" if unit.of_a_user else "sudo systemctl"
        seen = f"{title} runs, and does not begin by itself"
        return warning("service", seen, f"{system} enable {quote(unit.name)}")
    return ok("service", f"{title} runs (pid {unit.pid}) and begins by itself")


def _file(unit: Unit, facts: Facts) -> Iterator[Finding]:
    """Say what of the unit this version would not write."""
    install = f"orchestrator service install{_option(unit)} --name {quote(unit.name)}"
    if not unit.is_ours:
        yield ok("unit", f"{unit.path} was written by somebody else, so it is not compared")
        return
    if unit.differs:
        count = len(unit.differs)
        seen = f"{unit.path} is not what this version writes: {'; '.join(unit.differs[:3])}"
        more = f" and {count - 3} more" if count > 3 else ""
        yield warning("unit", seen + more, install)
    else:
        yield ok("unit", f"{unit.path} is what this version writes")
    wanted = facts.wanted
    if wanted is None or unit.stop_timeout_s is None:
        return
    if unit.stop_timeout_s < wanted.drain_timeout_s:
        yield problem(
            "unit",
            f"a stop ends everything after {unit.stop_timeout_s:g} s, and jobs may drain for "
            f"{wanted.drain_timeout_s:g} s: they would be killed",
            install,
        )


def _lingering(unit: Unit) -> Iterator[Finding]:
    if unit.lingers is False:
        seen = f"{unit.name} ends when its user logs out"
        yield warning("linger", seen, "loginctl enable-linger")
    elif unit.lingers:
        yield ok("linger", f"{unit.name} runs while its user is not logged in, too")
    else:
        yield unseen("linger", "there is nobody to ask whether this user's services stay")
