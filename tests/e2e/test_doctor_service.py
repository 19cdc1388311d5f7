"""`orchestrator doctor` beside a real systemd: the service that runs, its unit, its PATH."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.booted import Booted
from tests.support.serviced import PROGRAM, Service
from tests.support.source import ROOT

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def service(machine: Booted) -> Iterator[Service]:
    """Give a service of the machine that runs; afterwards nothing of it does."""
    made = Service(machine, f"orch-{os.urandom(4).hex()}")
    made.install()
    made.control("start", made.name)
    yield made
    machine.run("systemctl", "kill", "--kill-whom=all", "--signal=KILL", made.name)
    machine.run("systemctl", "stop", made.name)
    machine.run("systemctl", "reset-failed", made.name)


def _checks(service: Service, path: str = "") -> list[dict[str, Any]]:
    """Return what the doctor says to the person whose service it is."""
    change = ("setpriv", f"--reuid={service.account}", f"--regid={service.account}")
    env = service.environment
    env["PATH"] = path + env["PATH"]
    words = (*change, "--clear-groups", PROGRAM, "doctor", "--json")
    done = service.machine.run(*words, env=env)
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 3), done
    checks: list[dict[str, Any]] = report["checks"]
    return checks


def _of(checks: list[dict[str, Any]], name: str) -> list[tuple[str, str]]:
    return [(it["grade"], it["seen"]) for it in checks if it["check"] == name]


def test_the_service_that_runs_is_known_by_its_pid(service: Service) -> None:
    """Its unit is compared; that it does not begin by itself is a warning, until it does."""
    checks = _checks(service)

    assert not [each for each in checks if each["grade"] == "problem"], checks
    ((grade, seen),) = _of(checks, "service")
    assert (grade, "does not begin by itself" in seen) == ("warning", True)
    assert _of(checks, "unit") == [
        ("ok", f"/etc/systemd/system/{service.name}.service is what this version writes")
    ]
    service.control("enable", service.name)
    try:
        ((grade, seen),) = _of(_checks(service), "service")
        assert (grade, f"runs (pid {service.pid}) and begins by itself" in seen) == ("ok", True)
    finally:
        service.control("disable", service.name)


def test_a_unit_that_somebody_changed_is_told(service: Service) -> None:
    """Also one that would end jobs before they have drained."""
    unit = service.machine.place(f"/etc/systemd/system/{service.name}.service")
    text = unit.read_text()
    changed = text.replace("OOMPolicy=continue\n", "")
    unit.write_text(changed.replace("TimeoutStopSec=90", "TimeoutStopSec=20"))

    found = _of(_checks(service), "unit")

    assert [grade for grade, _ in found] == ["warning", "problem"]
    assert "OOMPolicy=continue is missing" in found[0][1]
    assert "after 20 s, and jobs may drain for 30 s" in found[1][1]


def test_the_path_of_a_service_is_not_that_of_the_shell(service: Service) -> None:
    """Which the orchestrator itself says."""
    more = str(ROOT / "tests")

    found = _of(_checks(service, f"{more}:"), "path")

    assert found[0][0] == "warning"
    assert f"jobs do not search {more}," in found[0][1]
    assert f"(PATH of the orchestrator, pid {service.pid})" in found[0][1]


def test_root_is_told_whose_orchestrator_it_is(service: Service) -> None:
    """Root is answered; what only its own user sees was not looked at, and that is said."""
    done = service.machine.run(PROGRAM, "doctor", "--json", env=service.environment)
    checks = json.loads(done.stdout)["checks"]
    refused = service.machine.run(PROGRAM, "bug-report", env=service.environment)

    ((grade, seen),) = _of(checks, "socket")
    assert grade == "warning"
    assert "what only its own user sees was not looked at" in seen
    assert _of(checks, "configuration")[0][0] == "unseen"
    assert refused.returncode == 77
    assert "only that user can read" in refused.stderr
