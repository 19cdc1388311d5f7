"""A job that comes again by itself, as somebody keeps it who has only a command line."""

import json
from typing import Any

from tests.support.installation import Installation
from tests.support.waiting import wait_until


def test_a_schedule_runs_its_job_by_itself(house: Installation) -> None:
    """Shown first, kept, run by a worker at its moment with that moment in its words, deleted."""
    words = ("--every", "5s", "--zone", "Europe/Berlin", "--", "echo", "{{fire_time}}")
    shown = house.cli("schedules", "add", "tick", "--dry-run", *words)
    assert b"it fires every 5 seconds" in shown.stderr

    assert house.cli("schedules", "add", "tick", *words).returncode == 0

    def succeeded() -> list[dict[str, Any]]:
        told = house.json("schedules", "history", "tick")["items"]
        return [fire for fire in told if fire.get("job_state") == "succeeded"]

    fire = wait_until(succeeded, timeout_s=60)[-1]
    assert house.cli("schedules", "delete", "tick").returncode == 0
    said = house.cli("jobs", "logs", fire["job_id"]).stdout.decode().strip()
    assert said[:19] == fire["at"][:19]
    assert json.loads(house.cli("schedules", "list", "--json").stdout)["items"] == []
