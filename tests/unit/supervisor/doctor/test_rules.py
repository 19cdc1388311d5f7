"""What a doctor says of each thing that can be wrong, and that it says so of nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.supervisor.logic.doctor.finding import is_well
from orchestrator.supervisor.logic.doctor.programs import ASKED
from orchestrator.supervisor.logic.doctor.table import examine
from tests.unit.supervisor.doctor import builders as b
from tests.unit.supervisor.doctor.cases import CASES, LINUX, OK, P, W


def test_a_machine_that_is_well_is_said_so() -> None:
    """Nothing is wrong and nothing is odd; everything that there is was looked at."""
    findings = examine(b.facts())

    assert {finding.grade for finding in findings} == {OK}
    assert is_well(findings)


@pytest.mark.parametrize("name", CASES)
def test_what_is_seen_is_told_with_what_mends_it(name: str) -> None:
    """In its grade, in words, and with a command or an edit if it can be mended."""
    case = CASES[name]

    found = [it for it in b.told(case.facts, case.check, case.grade) if case.seen in it.seen]

    assert len(found) == 1, examine(case.facts)
    assert (found[0].remedy is not None) is (case.grade in {P, W})
    assert case.remedy in (found[0].remedy or "")


@pytest.mark.parametrize("name", CASES)
def test_one_thing_that_is_wrong_is_no_other(name: str) -> None:
    """Where a problem is told, nothing else is one; a warning leaves a machine well."""
    case = CASES[name]

    problems = {finding.check for finding in examine(case.facts) if finding.grade is P}

    assert problems == ({case.check} if case.grade is P else set())
    assert is_well(examine(case.facts)) is (case.grade is not P)


def test_nothing_is_claimed_of_what_did_not_run() -> None:
    """Without an orchestrator nobody says how its workers are, or what its memory shows."""
    checks = {finding.check for finding in examine(b.stopped())}

    assert not checks & {"workers", "applied", "version", "socket", "user", "memory", "unit"}


def test_nothing_is_said_of_what_is_not_there() -> None:
    """No server that is asked for, no list of absent programs, no setting of another kernel."""
    everything = {name: (None, f"/bin/{name}") for name in ASKED}
    seen = b.facts(
        routes=(), programs=b.programs(found=everything), kernel=replace(LINUX, suid_dumpable=None)
    )

    assert b.told(seen, "server") == b.told(seen, "core") == []
    assert b.told(b.facts(routes=(b.route(ahead_s=None),)), "clock") == []
    assert not [each for each in b.told(seen, "program") if "not here" in each.seen]


@pytest.mark.parametrize("fault", ["resolve", "connect", "encryption", "answer"])
def test_no_token_goes_where_no_orchestrator_is(fault: str) -> None:
    """A way that ends anywhere does not lead there."""
    broken: dict[str, Any] = {f"{fault}_fault": "no"}

    assert b.route().leads_there
    assert not b.route(**broken).leads_there


def test_programs_read_the_same() -> None:
    """A finding has four keys, whatever it is."""
    (found,) = b.told(CASES["ptrace"].facts, "ptrace")

    assert set(found.as_json()) == {"check", "grade", "seen", "remedy"}
    assert found.as_json()["grade"] == "warning"
