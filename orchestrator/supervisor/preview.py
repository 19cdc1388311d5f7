"""What a reload would do, without a daemon."""

from orchestrator.supervisor.config.loader import Loaded
from orchestrator.supervisor.logic.merging import with_parked
from orchestrator.supervisor.logic.plan import plan
from orchestrator.supervisor.logic.wanted import MachineWanted


def preview(old: MachineWanted | None, loaded: Loaded) -> list[str]:
    """Return the plan in lines; without anything applied before, everything is added."""
    if loaded.wanted is None:
        return []
    if old is None:
        old = MachineWanted(
            server=None, workers=(), name=loaded.wanted.name, max_jobs=loaded.wanted.max_jobs
        )
    parked = {each.name for each in loaded.parked}
    lines = plan(old, with_parked(old, loaded.wanted, parked)).lines()
    return lines + [f"{name}: left as it is until its entry is mended" for name in sorted(parked)]
