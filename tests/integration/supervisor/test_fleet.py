"""Many workers under one supervisor: what becomes of one does not touch the others."""

import os
import signal
from pathlib import Path

import pytest

from orchestrator.client.control import Control
from orchestrator.protocol.machine import HoldWorkerRequest, WorkerStatus
from tests.integration.supervisor.fleets import Machine, token, worker
from tests.support.waiting import wait_until

NAMES = ["a", "b", "c", "d", "e"]


def _five(home: Path) -> Machine:
    machine = Machine(home)
    machine.save(*[worker(name, number) for number, name in enumerate(NAMES)])
    return machine


def test_all_start_and_all_stop(tmp_path: Path) -> None:
    """Each is told who it is, in its own folder; the end asks all at once."""
    machine = _five(tmp_path)
    with machine.run() as daemon:
        daemon.wait_for("Running 5 workers")
        told = machine.told("c")
        daemon.signal(signal.SIGINT)
        assert daemon.wait() == 0

    assert told["state_dir"] == str(machine.folder(2))
    assert token(2) not in str(told)
    heard = [line for line in machine.journal() if "heard" in line]
    assert heard[0].split(" ")[1] == "heard"
    for number, name in enumerate(NAMES):
        assert f'{name} heard {{"do": "identify", "token": "{token(number)}"}}' in heard
        assert f'{name} heard {{"do": "drain"}}' in heard
    assert token(0) not in daemon.said


def test_a_crash_touches_nobody_else(tmp_path: Path) -> None:
    """It is back at once; the others keep their processes."""
    machine = _five(tmp_path)
    with machine.run() as daemon:
        daemon.wait_for("Running 5 workers")
        before = machine.pids()

        os.kill(before["b"][0], signal.SIGKILL)
        machine.wait_for("b ready", count=2)

        after = machine.pids()
        assert {name: after[name] for name in "acde"} == {name: before[name] for name in "acde"}
        assert len(after["b"]) == 2


def test_a_worker_that_keeps_ending_is_told_once(tmp_path: Path) -> None:
    """Somebody should look at it after five times in a row; it is started again all the same."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0), worker("b", 1))
    (machine.folder(1) / "exit-code").write_text("1")
    with machine.run("hurried") as daemon:
        told = machine.wait_for_event("child.failed_repeatedly")
        assert (told["child"], told["times"], told["level"]) == ("worker:b", 5, "error")
        assert told["why"] == "its process ended with exit code 1"
        machine.wait_for_event("child.ended", count=8, child="worker:b")

        (machine.folder(1) / "exit-code").unlink()
        machine.wait_for("b ready")

        assert len(machine.events("child.failed_repeatedly")) == 1
        assert len(machine.pids()["a"]) == 1
        assert daemon.returncode is None


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    """It says nothing any more, so it is killed; the log says why; the others are left alone."""
    machine = _five(tmp_path)
    with machine.run("impatient") as daemon:
        daemon.wait_for("Running 5 workers")
        (machine.folder(1) / "mute").touch()
        machine.wait_for("b falls silent")
        (machine.folder(1) / "mute").unlink()

        machine.wait_for("b ready", count=2, timeout_s=20)

        killed = machine.wait_for_event("child.killed")
        assert (killed["child"], "hangs" in killed["why"]) == ("worker:b", True)
        assert all(len(pids) == 1 for name, pids in machine.pids().items() if name != "b")


def test_bad_entries_stop_only_themselves(tmp_path: Path) -> None:
    """One has no directory, one a broken token: the others run, and the two come when mended."""
    machine = Machine(tmp_path)
    entries = [
        worker("a", 0),
        worker("b", 1, working_directory="missing"),
        worker("c", 2) | {"token": "machine_1"},
    ]
    machine.save(*entries)
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        assert "2 more cannot" in daemon.stdout
        rejected = machine.wait_for_event("config.partly_applied")
        assert any("workers.yaml:" in problem for problem in rejected["problems"])

        (tmp_path / "missing").mkdir()
        machine.wait_for("b ready")
        machine.save(*entries[:2], worker("c", 2))
        machine.wait_for("c ready")

        assert all(len(pids) == 1 for pids in machine.pids().values())
        assert "machine_1" not in daemon.stderr


def test_a_directory_that_comes_back_brings_its_worker_back(tmp_path: Path) -> None:
    """It was there when the file was read, and gone when the worker began."""
    machine = Machine(tmp_path)
    (tmp_path / "there").mkdir()
    machine.save(worker("a", 0), worker("b", 1, working_directory="there"))
    with machine.run() as daemon:
        daemon.wait_for("Running 2 workers")
        (tmp_path / "there").rmdir()
        os.kill(machine.pids()["b"][0], signal.SIGKILL)
        machine.wait_for_event("child.parked", child="worker:b")

        (tmp_path / "there").mkdir()

        machine.wait_for("b ready", count=2)
        assert len(machine.pids()["a"]) == 1


def test_a_refused_token_waits_for_another_one(tmp_path: Path) -> None:
    """It is not tried in vain; a new secret of the same worker is tried at once."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0), worker("b", 1))
    (machine.folder(1) / "once").write_text("77")
    with machine.run():
        parked = machine.wait_for_event("child.parked", child="worker:b")
        assert parked["restart_in_s"] > 800

        machine.save(worker("a", 0), worker("b", 1) | {"token": token(1, 2)})

        machine.wait_for(f'b heard {{"do": "identify", "token": "{token(1, 2)}"')
        assert len(machine.pids()["a"]) == 1


def test_a_file_without_one_good_worker_starts_nothing(tmp_path: Path) -> None:
    """Everything that is wrong is told with its line, and the code says that it is the file."""
    machine = Machine(tmp_path)
    machine.save(*[worker(name, n, working_directory="no") for n, name in enumerate("ab")])
    with machine.run() as daemon:
        assert daemon.wait() == 78

        assert daemon.stderr.count("there is no directory") == 2
        assert "workers.yaml:6:" in daemon.stderr


def test_a_run_in_which_nothing_can_work_ends(tmp_path: Path) -> None:
    """With the code that says why; one that works is enough to go on."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0), worker("b", 1))
    for number in (0, 1):
        (machine.folder(number) / "exit-code").write_text("77")
    with machine.run() as daemon:
        assert daemon.wait() == 77

    (machine.folder(0) / "exit-code").unlink()
    with machine.run() as daemon:
        machine.wait_for("a ready")
        machine.wait_for_event("child.parked", child="worker:b")
        assert daemon.returncode is None


def test_under_a_service_nothing_ends_by_itself(tmp_path: Path) -> None:
    """It waits until what has to be mended is mended."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    (machine.folder(0) / "exit-code").write_text("78")
    with machine.run("waits") as daemon:
        machine.wait_for_event("child.parked")
        (machine.folder(0) / "exit-code").unlink()
        assert daemon.returncode is None

        machine.save(worker("a", 0, concurrency=2))

        machine.wait_for("a ready")


def test_jobs_may_be_kept_on_stop(tmp_path: Path) -> None:
    """Then nobody is told to drain: the workers hear that we are gone."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0), machine={"keep_jobs_on_stop": True})
    (machine.folder(0) / "busy").touch()
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0

    assert machine.journal()[-1] == "a heard the end"
    assert not any("drain" in line for line in machine.journal())


def test_a_machine_has_one_orchestrator(tmp_path: Path) -> None:
    """The second ends with 5, and says which one runs, and since when."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as first:
        first.wait_for("Running")
        with machine.run() as second:
            assert second.wait() == 5
            assert f"pid {first.pid}, since 2" in second.stderr
        assert first.returncode is None


def test_the_limit_of_the_machine_is_shared(tmp_path: Path) -> None:
    """Workers that have more slots together than the machine allows are told their shares."""
    machine = Machine(tmp_path)
    machine.save(
        *[worker(name, number, concurrency=4) for number, name in enumerate(NAMES[:3])],
        machine={"max_jobs": 6},
    )
    with machine.run() as daemon:
        daemon.wait_for("Running 3 workers")

        def shares() -> list[int]:
            last: dict[str, int] = {}
            for line in machine.journal():
                if '"allow"' in line:
                    last[line[0]] = int(line.rpartition(": ")[2].rstrip("}"))
            return sorted(last.values())

        wait_until(lambda: shares() == [2, 2, 2], what=f"two each in {machine.journal()}")

        machine.save(
            *[worker(name, number, concurrency=4) for number, name in enumerate(NAMES[:3])],
            machine={"max_jobs": 12},
        )

        for name in "abc":
            machine.wait_for(f'{name} heard {{"do": "allow", "slots": null}}')


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_request_interrupts_everybody(tmp_path: Path, number: int) -> None:
    """The first one drains them all; however many are busy, the second ends it."""
    machine = _five(tmp_path)
    for each in range(5):
        (machine.folder(each) / "busy").touch()
    with machine.run() as daemon:
        daemon.wait_for("Running 5 workers")
        daemon.signal(number)
        for name in NAMES:
            machine.wait_for(f'{name} heard {{"do": "drain"}}')
        assert daemon.returncode is None
        daemon.signal(number)
        daemon.wait_for("run.interrupting")
        assert daemon.wait() == 0


def test_the_end_of_the_machine_has_its_own_patience(tmp_path: Path) -> None:
    """However long a worker's own restart may take, the machine's time to drain is what counts."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0, drain_timeout="1h"), machine={"drain_timeout": "1s"})
    (machine.folder(0) / "busy").touch()
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        daemon.signal(signal.SIGTERM)

        assert daemon.wait() == 6
        assert 'a heard {"do": "stop"}' in machine.journal()


def test_a_pause_ends_although_that_cannot_be_written_down(tmp_path: Path) -> None:
    """A disk without room ends neither the machine's work nor the worker's."""
    machine = Machine(tmp_path)
    machine.save(worker("a", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        control = Control(machine.state / "control.sock")
        control.post("/v1/workers/a:pause", HoldWorkerRequest(for_s=1.5))
        in_the_way = machine.state / f".new-holds.json.{daemon.pid}"
        in_the_way.mkdir()

        machine.wait_for_event("worker.resumed", worker="a")

        assert "pause" in (machine.state / "holds.json").read_text()
        assert control.get("/v1/workers/a").read(WorkerStatus).state == "ready"
