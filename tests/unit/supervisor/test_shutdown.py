"""How a run ends, push by push."""

import itertools

import pytest

from orchestrator.supervisor.logic.shutdown import Phase, Push, pushed

ORDER = list(Phase)


def test_three_requests_end_every_run() -> None:
    """The first drains, the second interrupts, the third leaves."""
    phases = list(itertools.accumulate([Push.ASKED] * 3, pushed, initial=Phase.RUNNING))

    assert phases == [Phase.RUNNING, Phase.DRAINING, Phase.INTERRUPTING, Phase.LEAVING]


def test_whoever_keeps_jobs_leaves_them_running_the_first_time() -> None:
    """The second time ends at once; whoever urges wants them interrupted."""
    assert pushed(Phase.RUNNING, Push.ASKED, keep_jobs=True) is Phase.KEEPING
    assert pushed(Phase.KEEPING, Push.ASKED, keep_jobs=True) is Phase.LEAVING
    assert pushed(Phase.RUNNING, Push.URGED, keep_jobs=True) is Phase.INTERRUPTING


@pytest.mark.parametrize(("phase", "push"), list(itertools.product(Phase, Push)))
def test_every_push_leads_nearer_to_the_end(phase: Phase, push: Push) -> None:
    """Whoever pushes when nothing is left to push gets no error, and nothing ever goes back."""
    following = pushed(phase, push)

    assert following is Phase.LEAVING or ORDER.index(following) > ORDER.index(phase)


def test_urging_skips_the_drain() -> None:
    """Jobs are interrupted at once."""
    assert pushed(Phase.RUNNING, Push.URGED) is Phase.INTERRUPTING
