"""Every planted mistake, by name. Whoever adds one names it in a row of a table."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry import (
    attempts,
    ends,
    goals,
    jobs,
    leases,
    machines,
    outputs,
    quarantine,
    sites,
    versions,
    workers,
)

MUTANTS: Final[dict[str, Mutant]] = {
    mutant.name: mutant
    for family in (
        jobs,
        attempts,
        ends,
        outputs,
        leases,
        workers,
        machines,
        sites,
        versions,
        goals,
        quarantine,
    )
    for mutant in family.MUTANTS
}
