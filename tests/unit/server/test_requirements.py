"""What jobs ask for, as numbers."""

import pytest

from orchestrator.core.matching import Requirement
from orchestrator.server.operations.requirements import requirement_id, requirement_of
from tests.support.builders import delay, spec


def test_a_requirement_has_one_number() -> None:
    """How tags are written and ordered does not matter; everything else does."""
    first = requirement_of(spec(delay(), requires={"tags": ["a", "b"], "platform": "linux"}))
    second = requirement_of(spec(delay(), requires={"tags": ["b", "a"], "platform": "linux"}))

    third = requirement_of(spec(delay(), requires={"tags": "(b) && a", "platform": "linux"}))

    assert requirement_id(first) == requirement_id(second) == requirement_id(third)


@pytest.mark.parametrize(
    "other",
    [
        Requirement("b"),
        Requirement("a", frozenset({"x"})),
        Requirement("a", frozenset({"x", "y"})),
        Requirement("a", frozenset({'x", "y'})),
        Requirement("a", platform="linux"),
        Requirement("a", worker="linux"),
    ],
)
def test_different_requirements_have_different_numbers(other: Requirement) -> None:
    """No two requirements are taken for each other, and every number fits a database."""
    assert requirement_id(other) != requirement_id(Requirement("a"))
    assert 0 <= requirement_id(other) < 2**63
