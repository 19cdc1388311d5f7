"""A real systemd keeps the orchestrator: whatever becomes of it, its jobs go on."""

import json
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from orchestrator.supervisor.service import unit
from tests.support.booted import ACCOUNT, Booted
from tests.support.serviced import Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
Installed = Callable[..., Service]


@pytest.fixture
def installed(machine: Booted) -> Iterator[Installed]:
    """Give a service of the machine, as the story wants it; afterwards nothing of it runs."""
    made: list[Service] = []

    def make(
        *, account: str = ACCOUNT, drain_s: float = 30.0, start: bool = True, **drop_in: str
    ) -> Service:
        name = f"orch-{os.urandom(4).hex()}"
        made.append(Service(machine, name, account, drain_s))
        made[-1].install(**drop_in)
        if start:
            made[-1].control("start", name)
        return made[-1]

    yield make
    for service in made:
        machine.run("systemctl", "kill", "--kill-whom=all", "--signal=KILL", service.name)
        machine.run("systemctl", "stop", service.name)
        machine.run("systemctl", "reset-failed", service.name)


def test_it_is_ready_when_its_workers_are(installed: Installed) -> None:
    """`systemctl start` returns when every worker has met its server, and jobs run as its user."""
    service = installed()

    assert service.show("ActiveState") == "active"
    assert service.show("StatusText") == "1/1 ready, 0 jobs"
    assert service.cli("jobs", "submit", "--follow", "--", "id", "-un") == ACCOUNT
    # The journal knows of each line what it is about, and a job can be looked for.
    asked = ["journalctl", "--output=json", f"--unit={service.name}", "EVENT=attempt.ended"]
    wait_until(lambda: service.machine.run(*asked).stdout)
    entry = json.loads(service.machine.run(*asked).stdout)
    assert (entry["WORKER"], entry["ATTEMPT"], entry["PRIORITY"]) == ("web", "1", "6")
    assert json.loads(entry["MESSAGE"])["job"] == entry["JOB"]


def test_a_reload_is_done_when_it_is_said_to_be(installed: Installed) -> None:
    """`systemctl reload` applies the changed file; a broken one changes nothing and is shown."""
    service = installed()
    before = service.pid

    service.configure("web", "api")
    service.control("reload", service.name)
    wait_until(lambda: service.show("StatusText") == "2/2 ready, 0 jobs", timeout_s=30)
    service.machine.place(service.config).write_text("version: 1\nwokers: []\n")
    service.control("reload", service.name)
    wait_until(lambda: "configuration: 1 problem" in service.show("StatusText"), timeout_s=30)
    service.control("restart", service.name)

    assert service.show("StatusText").startswith("2/2 ready, 0 jobs; configuration: 1 problem")
    assert service.pid != before


def test_it_waits_for_a_configuration(installed: Installed, machine: Booted) -> None:
    """A file that is wrong from the start ends nothing: the service says so until it is mended."""
    service = installed(start=False)
    path = machine.place(service.config)
    good = path.read_text()
    path.write_text("version: 1\n")

    service.control("start", service.name)
    said = service.show("StatusText")
    path.write_text(good)
    service.control("reload", service.name)
    wait_until(lambda: service.show("StatusText") == "1/1 ready, 0 jobs", timeout_s=40)

    assert "problem" in said
    assert service.show("NRestarts") == "0"


def test_nobody_else_can_speak_to_the_service_manager(installed: Installed) -> None:
    """What systemd told the supervisor of itself, neither its server nor a job has."""
    service = installed()
    of_a_job = service.cli("jobs", "submit", "--follow", "--", "env")
    [server] = service.machine.must("pgrep", "-f", f"server run .*{service.home}").split()
    of_the_server = service.machine.must("cat", f"/proc/{server}/environ")

    for said in (of_a_job, of_the_server):
        assert "PATH=" in said
        assert "NOTIFY_SOCKET" not in said
        assert "WATCHDOG" not in said


def test_what_holds_jobs_to_their_limits_is_told(installed: Installed) -> None:
    """Jobs are in groups of their own, and `status` says which limits the kernel sees to there."""
    service = installed()
    told = json.loads(service.cli("status", "--json"))["limits"]
    group = service.cli("jobs", "submit", "--follow", "--", "tail", "-n1", "/proc/self/cgroup")

    # An older systemd has no place for us beside our jobs, and could not start us again.
    absent = [name for name in ("cpu", "memory", "pids") if name not in told["controllers"]]
    assert all(name in (told["reason"] or "") for name in absent)
    assert told["controllers"] or "DelegateSubgroup" in unit.render(service.wanted, 254)
    assert f"/{service.name}.service/orch-" in group


def test_a_restart_leaves_jobs_running(installed: Installed) -> None:
    """`systemctl restart` waits for no job and ends none: the next start takes them up."""
    service = installed(drain_s=600)
    job = service.submit("while [ ! -e go ]; do sleep 0.1; done; echo done")
    before = service.pid

    service.control("restart", service.name)
    assert service.pid != before
    assert job.is_alive
    service.file("go").touch()
    shown = job.wait("succeeded")

    assert shown["attempt"] == 1


def test_a_job_can_restart_what_runs_it(installed: Installed) -> None:
    """A job that restarts the service waits for it, and survives it."""
    service = installed(account="root", drain_s=600)
    before = service.pid

    job = service.submit(f"systemctl restart {service.name} && echo restarted >done")
    wait_until(lambda: service.file("done").exists(), timeout_s=40)
    shown = job.wait("succeeded")

    assert shown["attempt"] == 1
    assert service.pid != before


def test_an_upgrade_is_no_restart(installed: Installed) -> None:
    """The manager sees the same process, ready again and alive, and the job never noticed."""
    service = installed(WatchdogSec="6")
    job = service.submit("sleep 15")
    before = service.pid

    service.cli("upgrade")
    assert job.is_alive
    assert (service.pid, service.show("ActiveState")) == (before, "active")
    shown = job.wait("succeeded")

    assert shown["attempt"] == 1
    assert (service.pid, service.show("NRestarts")) == (before, "0")


def test_a_killed_supervisor_interrupts_no_job(installed: Installed) -> None:
    """After `kill -9` systemd starts it again, and the same process of the job goes on."""
    service = installed()
    job = service.submit("while [ ! -e go ]; do sleep 0.1; done; echo done")
    before = service.pid

    service.machine.must("kill", "-KILL", before)
    wait_until(lambda: service.pid not in {before, "0"}, timeout_s=30)
    service.wait_active()
    assert job.is_alive
    service.file("go").touch()
    shown = job.wait("succeeded")

    assert shown["attempt"] == 1
    assert service.show("NRestarts") == "1"


def test_a_supervisor_that_stands_still_is_started_again(installed: Installed) -> None:
    """The watchdog ends a loop that does not turn any more; the job goes on in its process."""
    service = installed(WatchdogSec="3")
    job = service.submit("while [ ! -e go ]; do sleep 0.1; done; echo done")
    before = service.pid

    service.machine.must("kill", f"-{signal.SIGSTOP}", before)
    wait_until(lambda: service.show("NRestarts") == "1", timeout_s=40)
    service.wait_active()
    assert job.is_alive
    service.file("go").touch()
    shown = job.wait("succeeded")

    assert shown["attempt"] == 1
    assert service.pid != before


def test_a_busy_machine_is_no_reason_for_the_watchdog(installed: Installed) -> None:
    """A worker that is stopped and jobs that take every core do not keep it from being fed."""
    service = installed(WatchdogSec="3")
    before = service.pid
    service.submit("timeout 7 sh -c 'while :; do :; done' & timeout 7 sh -c 'while :; do :; done'")

    wait_until(
        lambda: float(service.machine.must("ps", "-o", "etimes=", "-p", before)) > 10, timeout_s=30
    )

    assert service.pid == before
    assert service.show("NRestarts") == "0"


def test_a_stop_lets_jobs_finish(installed: Installed) -> None:
    """`systemctl stop` waits for a job that ends within the drain, and for nothing afterwards."""
    service = installed()
    job = service.submit("touch begun; while [ ! -e go ]; do sleep 0.1; done; echo done >done")

    service.control("stop", "--no-block", service.name)
    wait_until(lambda: service.show("StatusText").startswith("draining"), timeout_s=20)
    assert job.is_alive
    service.file("go").touch()
    wait_until(lambda: service.show("ActiveState") == "inactive", timeout_s=30)

    assert service.file("done").exists()
    assert service.show("Result") == "success"


def test_a_stop_does_not_wait_for_ever(installed: Installed) -> None:
    """When the drain is over jobs are interrupted, and nothing of the service is left."""
    service = installed(drain_s=1)
    job = service.submit("sleep 600")

    service.control("stop", service.name)

    assert not job.is_alive
    assert service.show("ActiveState") == "inactive"
    assert service.show("Result") == "success"
    assert service.show("ControlGroup") == ""
    service.control("start", service.name)
    wait_until(lambda: job.shown["attempt"] == 2, timeout_s=30)


def test_without_our_kill_mode_systemd_kills_the_job(installed: Installed) -> None:
    """The plain unit takes every job along with a killed supervisor: this is why ours differs."""
    service = installed(KillMode="control-group")
    job = service.submit("sleep 600")

    service.machine.must("kill", "-KILL", service.pid)
    wait_until(lambda: not job.is_alive, timeout_s=20)

    assert not job.is_alive
