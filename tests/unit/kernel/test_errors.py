"""Errors say what happened and what to do, also when a task group has wrapped them."""

import pytest

from orchestrator.kernel.errors import (
    InvariantViolated,
    LauncherGone,
    LaunchFailed,
    NotFound,
    cause,
    invariant,
)


def test_the_cause_of_a_group_is_what_a_person_has_to_read() -> None:
    """An error of ours is found however deep it is, before its consequences."""
    ours = NotFound("no such thing")
    inner = BaseExceptionGroup("inner", [ValueError("consequence"), ours])

    assert cause(BaseExceptionGroup("outer", [KeyError("consequence"), inner])) is ours


def test_without_an_error_of_ours_the_first_one_is_the_cause() -> None:
    """Something has to be shown."""
    first = ValueError("first")

    assert cause(BaseExceptionGroup("outer", [first, KeyError("second")])) is first


def test_an_invariant_is_checked_in_production() -> None:
    """It is silent while it holds, and says its sentence when it does not."""
    invariant(True, "holds")

    with pytest.raises(InvariantViolated, match="two plus two"):
        invariant(False, "two plus two is four")


@pytest.mark.parametrize(("error", "code"), [(LaunchFailed, 75), (LauncherGone, 70)])
def test_exit_codes_follow_from_what_the_caller_should_do(
    error: type[LaunchFailed | LauncherGone], code: int
) -> None:
    """What may be tried again says so, and what is broken says so."""
    assert error("sentence").exit_code == code
