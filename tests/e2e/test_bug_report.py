"""`orchestrator bug-report` of a machine that runs: what its orchestrator says is in it."""

import json
from pathlib import Path

from tests.support.configured import configured
from tests.support.reports import Report

SECRET = "planted-secret-4711"


def test_a_running_machine_is_told_of_without_its_secrets(tmp_path: Path) -> None:
    """Status, events and stacks; no token, no key, and nothing of the environment of its jobs."""
    home = tmp_path / "home"
    with configured(home, {"name": "web", "env": {"DEPLOY_KEY": SECRET}}) as here:
        job = here.submit("--", "sh", "-c", "echo $DEPLOY_KEY")
        here.wait_state(job, "succeeded")
        assert SECRET in here.cli("jobs", "logs", job).stdout.decode()

        done = here.cli("bug-report", f"--output={tmp_path}/report.tar.gz")

        files = [*home.glob("**/token"), *home.glob("**/*.key")]
        secrets = [path.read_text().strip() for path in files]

    assert done.returncode == 0, done
    report = Report(tmp_path / "report.tar.gz")
    assert set(report.parts) > {"status.json", "events.jsonl", "stacks.txt", "logs/web.jsonl"}
    assert report.json("status.json")["workers"][0]["name"] == "web"
    events = [json.loads(line)["event"] for line in report.parts["events.jsonl"].splitlines()]
    assert "child.ready" in events
    assert "Daemon.run" in report.parts["stacks.txt"]
    assert job in report.parts["logs/web.jsonl"]
    assert "Agent.run" in report.parts["logs/web.jsonl"]
    assert len(secrets) == 3
    for secret in (*secrets, SECRET):
        assert secret not in report.text
