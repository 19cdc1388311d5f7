"""What is wanted after a reload that does not understand every worker."""

from collections.abc import Collection
from dataclasses import replace

from orchestrator.supervisor.logic.plan import identity
from orchestrator.supervisor.logic.wanted import MachineWanted


def with_parked(old: MachineWanted, new: MachineWanted, parked: Collection[str]) -> MachineWanted:
    """Return the new one, with the workers whose new entry is wrong as they were in the old one.

    A mistake in an entry must not end what works. A worker that is not in the old one has nothing
    to go on with, and an identity that another entry has by now is that one's.
    """
    taken = {identity(worker) for worker in new.workers}
    kept = tuple(
        worker for worker in old.workers if worker.name in parked and identity(worker) not in taken
    )
    return replace(new, workers=new.workers + kept)
