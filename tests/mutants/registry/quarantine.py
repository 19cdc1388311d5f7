"""Mistakes about workers on which jobs fail: M42."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_OPERATIONS: Final = "orchestrator/server/operations"
_STORIES: Final = "integration/store/test_quarantine.py"

MUTANTS: Final = (
    Mutant(
        name="quarantine-not-asked",
        breaks=("M42",),
        file=f"{_OPERATIONS}/claim.py",
        old="    if restricted:\n        slots = admit(",
        new="    if False:\n        slots = admit(",
        tests=tests_in(_STORIES, "test_a_machine_on_which_jobs_fail_is_given_no_more"),
    ),
    Mutant(
        name="last-one-kept-out",
        breaks=("M42",),
        file=f"{_OPERATIONS}/admission.py",
        old="if not by_others)\n    if breaker",
        new="if None)\n    if breaker",
        tests=tests_in(_STORIES, "test_the_last_that_can_do_something_goes_on"),
    ),
    Mutant(
        name="canaries-by-the-dozen",
        breaks=("M42",),
        file=f"{_OPERATIONS}/admission.py",
        old="        return min(slots, 1)",
        new="        return slots",
        tests=tests_in(_STORIES, "test_a_canary_that_succeeds_lets_its_worker_in"),
    ),
    Mutant(
        name="jobs-own-failures-count",
        breaks=("M42",),
        file="orchestrator/core/breaker.py",
        old="    {Reason.SPAWN_ERROR, Reason.DISK_FULL, Reason.OOM, Reason.WORKER_LOST}",
        new="    {Reason.SPAWN_ERROR, Reason.DISK_FULL, Reason.OOM, Reason.EXIT_NONZERO}",
        tests=tests_in(
            _STORIES, "test_jobs_that_are_at_fault_themselves_cost_no_machine_its_trust"
        ),
    ),
    Mutant(
        name="nowhere-is-here",
        breaks=("M42",),
        file=f"{_OPERATIONS}/breakers.py",
        old="        if others:\n",
        new="        if others is None:\n",
        tests=tests_in(_STORIES, "test_a_program_that_is_nowhere_is_the_jobs_fault"),
    ),
    Mutant(
        name="old-success-is-proof",
        breaks=("M42",),
        file=f"{_OPERATIONS}/breakers.py",
        old="        if held.attempt.claimed_us >= breaker.since_us:",
        new="        if held.attempt.claimed_us >= 0:",
        tests=tests_in(_STORIES, "test_a_success_of_the_last_one_is_its_proof"),
    ),
)
