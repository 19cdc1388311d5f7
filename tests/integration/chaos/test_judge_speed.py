"""The judge is asked after every run, so it must be quick."""

from time import process_time

import pytest

from tests.chaos.judge import judge
from tests.unit.chaos.forgery import Forger


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_hundred_thousand_operations_are_judged_in_seconds() -> None:
    """A history of 100,000 lines costs less than ten seconds of one core."""
    forger = Forger()
    for number in range(33_500):
        forger.job(number)
    run = forger.run()
    assert len(run.notes) > 100_000

    began = process_time()
    assert judge(run).is_clean
    assert process_time() - began < 10
