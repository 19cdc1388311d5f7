"""A unit that was written is read back, and what differs is told line by line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.supervisor.service import reading, unit
from orchestrator.supervisor.service.wanted import Reach, Role, ServiceWanted

WORDS = st.text("abc $%\"\\';=/.-", min_size=1, max_size=12)
VALUES = st.text("abc $%\"\\'=/:", max_size=12)


def wanted(**more: object) -> ServiceWanted:
    """Return a service."""
    given_: dict[str, object] = {
        "name": "orchestrator",
        "reach": Reach.SYSTEM,
        "role": Role.ORCHESTRATOR,
        "command": ("/opt/o/bin/orchestrator", "run", "--config=/etc/o/workers.yaml"),
        "account": "orchestrator",
        "environment": {"PATH": "/usr/bin:/bin"},
        "drain_timeout_s": 90.0,
        **more,
    }
    return ServiceWanted(**given_)  # type: ignore[arg-type]


@given(
    command=st.lists(WORDS, min_size=1, max_size=3),
    environment=st.dictionaries(st.sampled_from(["PATH", "HOME", "A"]), VALUES),
    path=WORDS,
    version=st.sampled_from([252, 253, 254]),
)
def test_what_was_written_is_read(
    command: list[str], environment: dict[str, str], path: str, version: int
) -> None:
    """Whatever words, quotes and dollars are in it."""
    written = wanted(
        command=("/bin/x", *command),
        environment=environment,
        credentials=(("token", Path("/run") / path.strip("/ ")),),
    )

    text = unit.render(written, version)

    assert reading.read(text, "orchestrator", Reach.SYSTEM) == written


@pytest.mark.parametrize("reach", Reach)
@pytest.mark.parametrize("home", [True, False])
def test_a_server_is_read_as_one(reach: Reach, home: bool) -> None:
    """With whether its home is hidden, as far as that is written down."""
    written = wanted(
        role=Role.SERVER,
        reach=reach,
        command=("/bin/x", "server", "run"),
        lives_in_a_home=home and reach is Reach.SYSTEM,
        drain_timeout_s=0.0,
    )

    assert reading.read(unit.render(written, 252), "orchestrator", reach) == written


def test_nothing_differs_from_itself() -> None:
    """Comments do not count."""
    text = unit.render(wanted(), 252)

    assert reading.differences(text + "# mine\n", text) == ()


def test_what_differs_is_told_in_words() -> None:
    """What is missing, and what is there too much."""
    text = unit.render(wanted(), 252)
    old = text.replace("KillMode=process", "KillMode=mixed").replace("OOMPolicy=continue\n", "")

    assert reading.differences(old, text) == (
        "KillMode=process is missing",
        "OOMPolicy=continue is missing",
        "KillMode=mixed is not written any more",
    )


def test_the_time_for_a_stop_is_read() -> None:
    """Only where it is a number of seconds; nobody guesses."""
    assert reading.stop_timeout_s(unit.render(wanted(), 252)) == 150
    assert reading.stop_timeout_s("[Service]\nTimeoutStopSec=5min\n") is None


def test_a_unit_that_starts_nothing_is_none() -> None:
    """It was not written by us."""
    assert reading.read("[Unit]\nDescription=x\n", "x", Reach.SYSTEM) is None
