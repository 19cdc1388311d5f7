"""What a person reads while everything ends: what is waited for, and what they can do meanwhile."""

from collections.abc import Sequence

from orchestrator.supervisor.logic.shutdown import Phase

FORCED = (
    "A worker did not end in time and was killed. Its jobs may still run in their shims; "
    "the next start finds them."
)


def farewell(phase: Phase, running_since: Sequence[float], *, now: float) -> str:
    """Return the text for a phase; the moments are those at which the jobs began."""
    jobs = _jobs(running_since, now) if running_since else ""
    match phase:
        case Phase.DRAINING if running_since:
            return (
                f"Draining: {jobs}, no new ones. Ctrl-C again interrupts them (they go back to the "
                "queue); a third time leaves them running and ends at once."
            )
        case Phase.DRAINING:
            return "Stopping when the running jobs are done. Ctrl-C again interrupts them."
        case Phase.KEEPING:
            stays = f" {jobs} and go on: the next start takes them up." if running_since else ""
            return f"Stopping.{stays} Ctrl-C again ends at once."
        case Phase.INTERRUPTING:
            return "Interrupting the running jobs. Ctrl-C again leaves at once."
        case Phase.RUNNING | Phase.LEAVING:  # pragma: no branch - mypy proves that there is no more
            return ""  # nobody is leaving, or nobody is left to read it


def _jobs(running_since: Sequence[float], now: float) -> str:
    count = len(running_since)
    oldest = _span(max(0.0, now - min(running_since)))
    return (
        f"{count} job running ({oldest})"
        if count == 1
        else f"{count} jobs running (oldest {oldest})"
    )


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
