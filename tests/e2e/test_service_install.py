"""One command makes a service, for the machine or for a user, and one takes it away."""

import json
import os
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.booted import ACCOUNT, Booted, booted
from tests.support.installation import free_port
from tests.support.serviced import PROGRAM, Service
from tests.support.source import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
END = """\
[Unit]
DefaultDependencies=no
Requires=shutdown.target
After=shutdown.target
"""
"""What every way to switch a machine off begins with, without the end."""


def test_a_server_is_installed_watched_and_removed(machine: Booted) -> None:
    """One command makes a service of the server in the strictest unit, and one takes it away."""
    port = free_port()
    words = (PROGRAM, "service")
    which = ("--server", "--name=control")
    install = ("install", *which, f"--run-as={ACCOUNT}", f"--listen=127.0.0.1:{port}")

    made = machine.run(*words, *install)
    assert made.returncode == 0, f"{made.stderr}{machine.said()}"
    with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        health = answer.status
    shown = json.loads(machine.must(*words, "status", *which, "--json"))
    said = machine.must(*words, "logs", *which)
    before = shown["pid"]
    machine.must(*words, "restart", *which)
    after = json.loads(machine.must(*words, "status", *which, "--json"))
    machine.must(*words, "stop", *which)
    stopped = machine.run(*words, "status", *which)
    machine.must(*words, "uninstall", *which)
    gone = machine.run(*words, "status", *which)

    assert f"serving http://127.0.0.1:{port}" in made.stderr
    assert health == 200
    assert (shown["active"], shown["enabled"]) == ("active", True)
    assert "server.started" in said
    assert after["pid"] not in {before, None}
    assert stopped.returncode == 4
    assert "inactive" in stopped.stdout
    assert gone.returncode == 4
    assert not machine.place("/etc/systemd/system/control.service").exists()
    assert machine.place("/var/lib/control/orchestrator.db").exists()


def test_what_is_not_a_service_is_told(machine: Booted) -> None:
    """A verb for a service that was never installed says what to do."""
    for verb in ("start", "stop", "restart", "uninstall"):
        done = machine.run(PROGRAM, "service", verb, "--name=never")

        assert done.returncode == 1
        assert "there is no" in done.stderr
        assert "Traceback" not in done.stderr


def test_somebody_elses_unit_is_left_alone(machine: Booted) -> None:
    """A unit that we did not write is neither replaced nor removed."""
    unit = machine.place("/etc/systemd/system/theirs.service")
    unit.write_text("[Service]\nExecStart=/bin/true\n")

    install = ("install", "--server", f"--run-as={ACCOUNT}", "--name=theirs")
    for words in (install, ("uninstall", "--name=theirs")):
        done = machine.run(PROGRAM, "service", *words)
        assert done.returncode == 1
        assert "not written by this program" in done.stderr

    assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"


def test_the_orchestrator_is_installed_for_the_machine(machine: Booted) -> None:
    """Its unit runs it as the user that was named, with the shell's PATH, and jobs find both."""
    service = Service(machine, "whole", places=())
    service.prepare()
    words = ("install", f"--run-as={ACCOUNT}", "--name=whole", f"--config={service.config}")
    shell = {"PATH": f"/opt/tools/bin:{os.environ['PATH']}", "SECRET_TOKEN": "planted"}

    made = machine.run(PROGRAM, "service", *words, env=shell)
    shown = service.cli("jobs", "submit", "--follow", "--", "sh", "-c", "id -un; echo $PATH")
    unit = machine.place("/etc/systemd/system/whole.service").read_text()
    again = machine.run(PROGRAM, "service", *words, env=shell)
    machine.must(PROGRAM, "service", "uninstall", "--name=whole")

    assert made.returncode == 0, made.stderr
    assert "whole runs: 1/1 ready, 0 jobs" in made.stderr
    assert shown.splitlines()[0] == ACCOUNT
    assert shown.splitlines()[1].startswith("/opt/tools/bin:")
    assert "planted" not in unit
    assert again.returncode == 0, again.stderr


def test_the_orchestrator_is_installed_for_a_user(machine: Booted) -> None:
    """Without any right of root: installed, ready, restarted with a job, and removed."""
    service = Service(machine, "orchestrator")
    service.prepare()
    service.more = machine.start_manager_of_account()

    service.cli("service", "install", f"--config={service.config}")
    job = service.submit("while [ ! -e go ]; do sleep 0.1; done; echo done")
    first = json.loads(service.cli("service", "status", "--json"))
    service.cli("service", "restart")
    second = json.loads(service.cli("service", "status", "--json"))
    assert job.is_alive
    service.file("go").touch()
    shown = job.wait("succeeded")
    service.cli("service", "uninstall")

    assert first["status"] == "1/1 ready, 0 jobs" or first["status"] == "1/1 ready, 1 job"
    assert first["active"] == second["active"] == "active"
    assert first["pid"] != second["pid"]
    assert shown["attempt"] == 1
    assert not machine.place(first["file"]).exists()


def test_a_shutdown_gives_jobs_back(tmp_path: Path) -> None:
    """A machine that goes down waits for no drain: its job is back in the queue, not lost."""
    with booted(tmp_path / "machine") as machine:
        service = Service(machine, "orch", drain_timeout_s=600)
        service.install()
        service.control("start", service.name)
        job = service.submit("sleep 600")
        end = machine.place("/etc/systemd/system/end.target")
        end.write_text(END)
        service.control("daemon-reload")

        service.control("start", "end.target", timeout_s=100)
        assert service.show("ActiveState") == "inactive"
        assert not job.is_alive
        service.control("stop", "end.target")
        service.control("stop", "shutdown.target")
        service.control("start", service.name)
        wait_until(lambda: job.shown["attempt"] == 2, timeout_s=60)

        story = service.cli("jobs", "show", job.id)
        assert "preempted" in story


@pytest.mark.parametrize("allowed", [False, True])
def test_jobs_gain_rights_only_where_somebody_allowed_it(machine: Booted, *, allowed: bool) -> None:
    """The unit forbids new privileges; the drop-in for sudo, and nothing less, allows them."""
    name = f"sudo-{allowed}"
    units = machine.place("/etc/systemd/system")
    text = (ROOT / "systemd/orchestrator.service").read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    probe = "ExecStart=/bin/grep NoNewPrivs /proc/self/status\nRemainAfterExit=yes"
    text = text.replace(command, probe).replace("Type=notify", "Type=oneshot")
    text = text.replace("Restart=always\n", "").replace("User=orchestrator", f"User={ACCOUNT}")
    (units / f"{name}.service").write_text(text)
    if allowed:
        (units / f"{name}.service.d").mkdir()
        drop_in = ROOT / "systemd/drop-ins/jobs-may-use-sudo.conf"
        (units / f"{name}.service.d/sudo.conf").write_text(drop_in.read_text())
    machine.must("systemctl", "daemon-reload")

    machine.must("systemctl", "start", name)

    def said() -> str:
        return machine.must("journalctl", "--output=cat", f"--unit={name}", "--no-pager")

    wait_until(lambda: "NoNewPrivs" in said())
    assert f"NoNewPrivs:\t{0 if allowed else 1}" in said()
