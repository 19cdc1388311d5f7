"""What is wanted when a reload does not understand every worker."""

from pathlib import Path

from orchestrator.supervisor.logic.merging import with_parked
from orchestrator.supervisor.logic.wanted import MachineWanted, WorkerIdentity, WorkerWanted


def _worker(name: str, number: int) -> WorkerWanted:
    return WorkerWanted(
        name=name,
        identity=WorkerIdentity("http://a", "machine_1", f"worker_{number}"),
        token="t",
        working_directory=Path("/work"),
    )


def _machine(*workers: WorkerWanted, max_jobs: int = 1) -> MachineWanted:
    return MachineWanted(server=None, workers=workers, name="oak", max_jobs=max_jobs)


def test_a_worker_whose_entry_is_wrong_stays_as_it_was() -> None:
    """Everything else is as the new file says."""
    a, b = _worker("a", 1), _worker("b", 2)

    merged = with_parked(_machine(a, b), _machine(b, max_jobs=5), {"a"})

    assert merged == _machine(b, a, max_jobs=5)


def test_one_that_was_not_there_has_nothing_to_stay_as() -> None:
    """Nor has one that is gone from the file altogether."""
    a, b = _worker("a", 1), _worker("b", 2)

    assert with_parked(_machine(a, b), _machine(b), {"c"}) == _machine(b)


def test_an_identity_that_another_entry_has_by_now_is_not_there_twice() -> None:
    """The entry that is right has it."""
    moved = _worker("b", 1)

    assert with_parked(_machine(_worker("a", 1)), _machine(moved), {"a"}) == _machine(moved)
