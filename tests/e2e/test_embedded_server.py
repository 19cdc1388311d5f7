"""The server of a machine becomes what the file says, while jobs run: nobody has to start anew."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.configs import token
from tests.support.configured import Configured, configured
from tests.support.installation import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WEB = {"name": "web"}


def _begin(here: Configured, name: str) -> tuple[str, str]:
    """Start a job that ends when it may; return its id and its pid."""
    script = f"echo $$ >{name}; while [ ! -e go-{name} ]; do sleep 0.1; done; echo done"
    job = here.submit("--", "sh", "-c", script)
    path = here.project / name
    wait_until(lambda: path.exists() and path.read_text().strip(), timeout_s=30, what="it runs")
    return job, path.read_text().strip()


def _url(here: Configured) -> Any:
    return json.loads(here.cli("status", "--json").stdout)["server"]


def _moved(here: Configured, port: int) -> None:
    here.port = port
    here.save(WEB)
    wait_until(
        lambda: (_url(here)["url"] or "").endswith(f":{port}") and _url(here)["state"] == "ready",
        timeout_s=40,
        what="it is elsewhere",
    )


def test_at_another_address_jobs_run_on(tmp_path: Path) -> None:
    """The job's process never notices, its end is told at the new address, on its first try."""
    with configured(tmp_path / "home", WEB) as here:
        job, pid = _begin(here, "first")
        old = here.port

        _moved(here, free_port())

        assert Path(f"/proc/{pid}").exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", old), timeout=5).close()
        (here.project / "go-first").touch()
        shown = here.wait_state(job, "succeeded", "failed")
        assert (shown["state"], shown["attempt"]) == ("succeeded", 1)
        assert here.cli("jobs", "logs", job).stdout == b"done\n"
        applied = here.wait_for_event("config.applied")
        assert applied["plan"] == f"server: port {old}→{here.port} (drains, then restarts)"


def test_an_address_that_is_taken_changes_nothing(tmp_path: Path) -> None:
    """The server goes on where it is, `status` says why, and the next file is tried anew."""
    with configured(tmp_path / "home", WEB) as here, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        here.port, old = taken.getsockname()[1], here.port
        here.save(WEB)
        told = here.wait_for_event("server.not_changed")
        assert "the address is in use" in told["why"]
        here.port = old
        assert "the address is in use" in _url(here)["problem"]
        assert _url(here)["url"].endswith(f":{old}")
        assert b"the address is in use" in here.cli("status").stdout
        here.wait_state(here.submit("--", "true"), "succeeded")

        _moved(here, free_port())

        assert _url(here)["problem"] is None
        here.wait_state(here.submit("--", "true"), "succeeded")


def test_with_other_data_its_workers_finish_first(tmp_path: Path) -> None:
    """Only the old data knows their jobs; afterwards they are enrolled with the new server."""
    with configured(tmp_path / "home", WEB, drain_timeout="1m") as here:
        job, _ = _begin(here, "first")
        here.server = {"data_dir": str(here.home / "other")}
        here.save(WEB, drain_timeout="1m")
        here.wait_for_event("child.draining", child="worker:web")
        assert here.job(job)["state"] == "running"

        (here.project / "go-first").touch()
        wait_until((here.home / "other/orchestrator.db").exists, timeout_s=40, what="other data")
        here.wait_for_event("child.ready", child="worker:web", count=2)

        assert here.json("jobs", "list")["items"] == []
        here.wait_state(here.submit("--", "true"), "succeeded")


def test_one_that_is_not_wanted_goes_when_nobody_needs_it(tmp_path: Path) -> None:
    """Its worker finishes its job first; later both come back, with their data."""
    with configured(tmp_path / "home", WEB, drain_timeout="1m") as here:
        job, _ = _begin(here, "first")
        far = {"name": "far", "token": token(1), "server_url": "http://127.0.0.1:9"}
        here.server = {"embedded": False}
        here.save(far, drain_timeout="1m")
        applied = here.wait_for_event("config.applied")
        assert "server: removed (drains, then ends)" in applied["plan"]
        here.wait_for_event("child.draining", child="worker:web")
        assert here.job(job)["state"] == "running"

        (here.project / "go-first").touch()
        here.wait_for_event("child.stopped", child="server")
        wait_until(lambda: _url(here) is None, timeout_s=40, what="there is no server")

        here.server = {}
        here.save(WEB, far, drain_timeout="1m")
        here.wait_for_event("child.ready", child="worker:web", count=2)
        assert here.job(job)["state"] == "succeeded"
