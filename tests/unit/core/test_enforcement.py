"""Which limits hold nobody, because the kernel does not hold them here."""

import pytest

from orchestrator.core.enforcement import not_held
from orchestrator.supervisor.logic.wanted import JobLimits

BOTH = JobLimits(pids=20, cpus=1.5, memory_bytes=1, open_files=16)


@pytest.mark.parametrize(
    ("limits", "controllers", "names"),
    [
        (BOTH, set(), ["pids", "cpus"]),
        (BOTH, {"memory"}, ["pids", "cpus"]),
        (BOTH, {"cpu"}, ["pids"]),
        (BOTH, {"pids"}, ["cpus"]),
        (BOTH, {"cpu", "memory", "pids"}, []),
        (JobLimits(memory_bytes=1), set(), []),
        (JobLimits(cpus=1), set(), ["cpus"]),
    ],
)
def test_what_is_not_held(limits: JobLimits, controllers: set[str], names: list[str]) -> None:
    """Each of the two needs its own controller; memory is looked at without."""
    assert not_held(limits, controllers) == names
