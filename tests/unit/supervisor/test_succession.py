"""What one program tells the next in its process is understood; nothing else is believed."""

import pytest

from orchestrator.kernel.notify import Notifier
from orchestrator.supervisor.succession import VARIABLE, Succession, own_command


def test_a_new_version_knows_what_to_return_to() -> None:
    """One that has to prove itself is told the command of the old one; one of the same is not."""
    proven, same = Succession(), Succession()
    proven.become(("/next/orchestrator", "run"), to_prove=True)
    same.become(own_command())

    after = Succession.told_by(proven.environment)
    after_same = Succession.told_by(same.environment)

    assert after.predecessor == own_command()
    assert after.began_anew
    assert not after.rolled_back
    assert after_same.predecessor == ()
    assert after_same.began_anew


def test_a_way_back_leads_no_further() -> None:
    """The old version, back again, knows that it was left, and returns to nothing."""
    failed = Succession(predecessor=("/old", "run"))
    failed.become(failed.predecessor, returning=True)

    back = Succession.told_by(failed.environment)

    assert back.rolled_back
    assert back.predecessor == ()


def test_nothing_follows_on_an_end_that_was_wanted() -> None:
    """Who has proved itself, or is ended by somebody, becomes nothing else."""
    ended = Succession(predecessor=("/does-not-exist", "run"))
    ended.settle()

    ended.carry_on({}, Notifier())

    assert ended.successor == ()


@pytest.mark.parametrize("said", ["", "nonsense", "[]", "null", '"x"', '{"predecessor": "x"}'])
def test_nonsense_is_no_command(said: str) -> None:
    """A variable that we did not write leads nowhere."""
    assert Succession.told_by({VARIABLE: said}).predecessor == ()


def test_the_line_to_the_manager_is_handed_on() -> None:
    """The next program in the process finds what this one was told, under the same pid."""
    told = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "7"}
    notifier = Notifier.taken_from(dict(told), 7)

    assert notifier.variables(7) == told
    assert Notifier.taken_from(notifier.variables(7), 7) == notifier
    assert Notifier().variables(7) == {}
