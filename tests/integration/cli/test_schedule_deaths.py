"""A server that is killed at the worst moments of a schedule, and started again."""

import json
from pathlib import Path

import pytest

from orchestrator.kernel.failpoints import FOLDER, SPEC
from tests.integration.cli.commands import CommandLine
from tests.integration.cli.real import real_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("site", ["schedule.before_commit", "schedule.after_commit"])
def test_a_killed_server_fires_once(tmp_path: Path, site: str) -> None:
    """Killed with a fire half-way, or committed and told to nobody, it has one job afterwards."""
    notes = tmp_path / "notes"
    notes.mkdir()
    with real_server(tmp_path, {SPEC: f"{site}=kill", FOLDER: str(notes)}) as server:
        cli = CommandLine(tmp_path, server.env)
        server.add_soon("soon")
        process = server.process
        assert process is not None
        wait_until(lambda: process.poll() is not None)

        server.start()

        def fired() -> list[dict[str, object]]:
            found = cli("schedules", "history", "soon", "--json").stdout
            items: list[dict[str, object]] = json.loads(found)["items"]
            return items

        (fire,) = wait_until(fired)
        jobs = json.loads(cli("jobs", "list", "--json").stdout)["items"]

    assert (notes / f"{site}=kill").exists()
    assert fire["outcome"] == "fired"
    assert [job["id"] for job in jobs] == [fire["job_id"]]
