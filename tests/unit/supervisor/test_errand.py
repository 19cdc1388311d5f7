"""A restart, a shutdown and a stop are told from each other by systemd's own list of jobs."""

import pytest

from orchestrator.supervisor.logic.errand import Errand, errand, unit_of

UNIT = "orchestrator.service"


@pytest.mark.parametrize(
    ("jobs", "meant"),
    [
        ("", Errand.STOP),
        ("No jobs running.", Errand.STOP),
        (f"77 {UNIT} stop running", Errand.STOP),
        (f"77 {UNIT} restart running", Errand.RESTART),
        ("78 other.service restart running\n77 orchestrator.service stop running", Errand.STOP),
        (
            f"1 reboot.target start waiting\n2 shutdown.target start waiting\n3 {UNIT} stop x",
            Errand.SHUTDOWN,
        ),
        (f"2 shutdown.target start waiting\n3 {UNIT} restart running", Errand.SHUTDOWN),
        ("2 shutdown.target stop waiting\n", Errand.STOP),
        ("garbage\n\n1 2", Errand.STOP),
    ],
)
def test_the_list_of_jobs_says_why(jobs: str, meant: Errand) -> None:
    """Only our own unit's restart is ours, and a shutdown is more urgent than anything."""
    assert errand(jobs, UNIT) is meant


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ("0::/system.slice/orchestrator.service\n", (UNIT, False)),
        ("0::/system.slice/orchestrator.service/orchestrator\n", (UNIT, False)),
        (
            "4:memory:/x.service\n1:name=systemd:/system.slice/o.service\n0::/\n",
            ("o.service", False),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/orchestrator.service\n",
            (UNIT, True),
        ),
        ("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", None),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_a_process_finds_its_unit(groups: str, found: tuple[str, bool] | None) -> None:
    """In any layout of control groups, and below a user's manager."""
    assert unit_of(groups) == found
