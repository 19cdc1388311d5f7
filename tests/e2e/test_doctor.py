"""`orchestrator doctor` asks the running orchestrator, which may have other things than a shell."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.configs import token
from tests.support.configured import Configured, configured
from tests.support.installation import installed
from tests.support.waiting import wait_until

VARIABLE = "TOKEN_OF_A_WORKER"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configured]:
    """Give a machine whose orchestrator runs; each test leaves it as it was."""
    with configured(tmp_path_factory.mktemp("machine"), {"name": "web"}) as running:
        yield running


def _report(here: Any, *words: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    done = here.cli("doctor", "--json", *words, env=env)
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 3), done
    return report


def _said(report: dict[str, Any], check: str) -> list[tuple[str, str]]:
    return [(it["grade"], it["seen"]) for it in report["checks"] if it["check"] == check]


def _problems(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in report["checks"] if each["grade"] == "problem"]


def test_a_running_machine_is_well(here: Configured) -> None:
    """It is asked over its socket for what only it knows; nothing is left unseen."""
    report = _report(here)

    assert _problems(report) == []
    pid = here.process.pid if here.process else 0
    assert f"(pid {pid})" in _said(report, "orchestrator")[0][1]
    assert _said(report, "workers") == [("ok", "1 as wanted, 0 jobs run")]
    assert f"http://127.0.0.1:{here.port} (web) answers" in _said(report, "server")[0][1]
    assert _said(report, "memory")[0][0] == "ok"
    assert not any("from this shell" in each["seen"] for each in report["checks"])
    unseen = [each for each in report["checks"] if each["grade"] == "unseen"]
    assert unseen == []


def test_another_path_of_the_shell_is_told(here: Configured, tmp_path: Path) -> None:
    """Jobs get the orchestrator's, which it tells of itself."""
    more = tmp_path / "tools"
    more.mkdir()

    report = _report(here, env={"PATH": f"{more}:{os.environ['PATH']}"})

    pid = here.process.pid if here.process else 0
    why = f"jobs do not search {more}, as this shell does (PATH of the orchestrator, pid {pid})"
    assert _said(report, "path")[0] == ("warning", why)


def test_open_files_are_mended_by_what_is_said(here: Configured) -> None:
    """A worker's token that others may read, also while everything runs."""
    status = json.loads(here.cli("status", "--json").stdout)
    (file,) = Path(status["state_dir"]).glob("workers/*/token")
    file.chmod(0o644)
    try:
        (found,) = _problems(_report(here))
    finally:
        file.chmod(0o600)

    assert found["remedy"] == f"chmod 600 {file}"
    assert _problems(_report(here)) == []


def test_an_open_socket_is_told(here: Configured) -> None:
    """Nobody else is answered; but it should not even be asked."""
    path = Path(json.loads(here.cli("status", "--json").stdout)["state_dir"]) / "control.sock"
    path.chmod(0o666)
    try:
        (found,) = _problems(_report(here))
    finally:
        path.chmod(0o600)

    assert (found["check"], found["remedy"]) == ("socket", f"chmod 600 {path}")


def test_who_holds_jobs_to_their_limits_is_told(here: Configured) -> None:
    """As was found out at the start; a limit that nobody holds is told with its worker."""
    held = json.loads(here.cli("status", "--json").stdout)["limits"]["controllers"]
    here.save({"name": "web", "limits": {"pids": 50, "cpus": 1, "open_files": 100}})
    try:
        wait_until(lambda: here.cli("plan", str(here.file)).stdout == b"nothing changes\n")
        said = _said(_report(here), "limits")
    finally:
        here.save({"name": "web"})

    by_shim = "memory: its shim, by looking"
    by_kernel = "memory: the kernel (control group)"
    assert said[0][1].startswith(by_kernel if "memory" in held else by_shim)
    missing = [name for name, needs in (("pids", "pids"), ("cpus", "cpu")) if needs not in held]
    named = " and ".join(f"limits.{name}" for name in missing)
    assert [grade for grade, _ in said[1:]] == ["warning"] * bool(missing)
    assert all(seen.startswith(f"web: {named} hold nobody here: ") for _, seen in said[1:])


def test_a_broken_file_is_told_with_its_line(here: Configured) -> None:
    """It is not what runs."""
    here.save({"name": "web", "concurency": 4})
    try:
        here.wait_for_event("config.rejected")
        found = _problems(_report(here))
    finally:
        here.save({"name": "web"})

    assert {each["check"] for each in found} == {"configuration", "applied"}
    assert all(f"{here.file}:" in each["seen"] for each in found)
    wait_until(lambda: _problems(_report(here)) == [])


def test_what_the_shell_cannot_follow_is_no_problem(tmp_path: Path) -> None:
    """A variable of the orchestrator is not one of the person who asks; it says so itself."""
    home = tmp_path / "home"
    machine = Configured(home, variables={VARIABLE: token(1)})
    entry = {"name": "far", "token": f"${{env:{VARIABLE}}}", "server_url": "http://127.0.0.1:1"}
    machine.project.mkdir(parents=True)
    machine.save({"name": "web"}, entry)
    machine.launch()
    try:
        wait_until(lambda: machine.cli("status").returncode == 3, timeout_s=30)
        wait_until(lambda: b"connecting" in machine.cli("status").stdout, timeout_s=30)
        machine.variables = {}

        report = _report(machine)
    finally:
        machine.stop()

    assert all(grade == "ok" for grade, _ in _said(report, "configuration"))
    assert ("warning", "far is connecting") in [
        (grade, seen.partition(":")[0]) for grade, seen in _said(report, "workers")
    ]


def test_a_machine_without_a_file_is_looked_at(tmp_path: Path) -> None:
    """Its orchestrator says what is wanted; one that stands still is told by its pid."""
    with installed(tmp_path / "home") as here:
        report = _report(here)
        assert _problems(report) == []
        assert _said(report, "configuration")[0][0] == "unseen"
        assert "--local" in _said(report, "configuration")[0][1]
        assert _said(report, "open_files")[0][0] == "ok"

        assert here.process is not None
        here.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            found = _problems(_report(here))
        finally:
            here.process.send_signal(signal.SIGCONT)

    hangs = [each for each in found if each["check"] == "orchestrator"]
    assert len(hangs) == 1, found
    assert f"kill -USR1 {here.process.pid}" in hangs[0]["remedy"]
    assert time.monotonic() - began < 60
