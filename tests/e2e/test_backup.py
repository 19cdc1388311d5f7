"""A backup made while jobs run, brought back after worse: nothing runs twice by itself."""

import shutil
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until

NOTED = (
    'echo "{name} $ORCHESTRATOR_ATTEMPT" >> {ledger}; while [ ! -e {gate} ]; do sleep 0.02; done'
)


class Noted:
    """A job that writes each of its starts into a ledger of ours, and ends when its gate opens."""

    def __init__(self, house: Installation, name: str) -> None:
        self.gate = house.home / f"{name}.gate"
        script = NOTED.format(name=name, ledger=house.home / "ledger", gate=self.gate)
        self.job_id = house.submit("--name", name, "--retries", "5", "--shell", script)


def _ledger(house: Installation) -> list[str]:
    path = house.home / "ledger"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("form", ["backup", "backup.tar"])
def test_a_backup_of_a_working_server_is_brought_back_and_runs_nothing_twice(
    home: Path, form: str
) -> None:
    """What ran then or since is held with all that its worker knows, until somebody lets it go."""
    with installed(home, "--slots=1") as house:
        done = house.submit("--", "sh", "-c", "seq 1 20000")
        house.wait_state(done, "succeeded")
        running, queued = Noted(house, "running"), Noted(house, "queued")
        wait_until(lambda: _ledger(house) == ["running 1"], timeout_s=20)
        key, server = house.key, house.home / "data/orchestrator/server"

        made = house.cli("server", "backup", str(home / form))
        assert made.returncode == 0, made.stderr.decode()
        # After the backup one job ends, and the other one runs until everything of ours is gone.
        running.gate.touch()
        house.wait_state(running.job_id, "succeeded")
        wait_until(lambda: _ledger(house) == ["running 1", "queued 1"], timeout_s=20)
        house.kill()
        wait_until(lambda: not house.children("server\0run"), timeout_s=20)
        queued.gate.touch()
        shutil.rmtree(server)

        assert house.cli("server", "restore", "--verify", str(home / form)).returncode == 0
        brought = house.cli("server", "restore", str(home / form))
        assert brought.returncode == 0, brought.stderr.decode()
        assert b"2 jobs were not over and are held" in brought.stderr
        house.start()

        wait_until(
            lambda: any(one["late_result"] for one in house.job(queued.job_id)["attempts"]),
            timeout_s=30,
        )
        after = house.submit("--", "true")
        house.wait_state(after, "succeeded")
        for noted in (running, queued):
            job = house.job(noted.job_id)
            assert (job["state"], job["reason"]) == ("held", "restored")
            [attempt] = job["attempts"]
            assert (attempt["number"], attempt["outcome"]) == (1, "indeterminate")
        assert house.job(queued.job_id)["attempts"][0]["late_result"]["outcome"] == "succeeded"
        assert _ledger(house) == ["running 1", "queued 1"]
        logged = house.cli("jobs", "logs", done).stdout.decode().split()
        assert logged == [str(number) for number in range(1, 20_001)]
        told = house.cli("jobs", "show", queued.job_id).stdout.decode()
        assert "brought back queued from a backup of" in told

        # The key of before still opens the door, beside the new one.
        asked = Request(f"{house.url}/api/v1/jobs", headers={"Authorization": f"Bearer {key}"})
        with urlopen(asked, timeout=10) as answer:
            assert answer.status == 200
        assert house.key != key

        assert house.cli("jobs", "release", queued.job_id).returncode == 0
        again = house.wait_state(queued.job_id, "succeeded")
        assert again["attempt"] > 1_000_000
        assert _ledger(house)[2:] == [f"queued {again['attempt']}"]
