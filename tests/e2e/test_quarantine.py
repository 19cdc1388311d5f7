"""A machine that fails every job at once: found out, seen by everybody, mended by a person."""

from pathlib import Path

from tests.support.installation import Installation
from tests.support.waiting import wait_until

WORK = "builder-of-things"


def _local(house: Installation) -> str:
    [worker] = house.json("workers", "list")["items"]
    return str(worker["name"])


def _broken_job(house: Installation, number: int) -> None:
    """Have a job fail because the machine lacks what it names."""
    job_id = house.submit("--", f"/opt/{WORK}/tool-{chr(97 + number)}")
    assert house.wait_state(job_id, "failed")["reason"] == "spawn_error"


def test_a_worker_whose_programs_are_gone_is_found_out(house: Installation, tmp_path: Path) -> None:
    """Suspect after three jobs, because it is the last; out by a person's word; in again."""
    name = _local(house)
    for number in range(3):
        _broken_job(house, number)

    shown = house.cli("workers", "show", name).stdout.decode()
    assert "suspect" in shown
    assert "3 different jobs failed here one after another (spawn_error)" in shown
    assert shown.count("spawn_error") == 4
    kept = house.json("workers", "show", name)["quarantine"]
    assert (kept["state"], kept["serves"], len(kept["faults"])) == ("open", True, 3)

    done = house.cli("workers", "quarantine", name, "--reason", "its disk is being changed")
    assert done.returncode == 0, done.stderr.decode()
    job_id = house.submit("--", "touch", str(tmp_path / "done"))
    wait_until(lambda: house.job(job_id)["pending_reason"] == "workers_quarantined", timeout_s=10)
    assert "are in quarantine" in house.cli("jobs", "explain", job_id).stdout.decode()
    assert "quarantined" in house.cli("workers", "list").stdout.decode()
    assert not (tmp_path / "done").exists()

    done = house.cli("workers", "release", name, "--reason", "it has a new disk")
    assert done.returncode == 0, done.stderr.decode()
    house.wait_state(job_id, "succeeded")
    assert house.json("workers", "show", name)["quarantine"] is None
    assert b"there is no worker nobody" in house.cli("workers", "show", "nobody").stderr
    log = house.log.read_text()
    assert "worker.quarantined" in log
    assert "worker.trusted" in log
