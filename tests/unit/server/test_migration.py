"""The steps that shape a database, and which databases are refused."""

import re

import pytest

from orchestrator.core.job_lifecycle import LIVE, TERMINAL
from orchestrator.kernel.errors import VersionUnsupported
from orchestrator.protocol.words import JobState
from orchestrator.server.store.migration import Migration, ours, still_to_take

ONE = Migration(1, "one", "CREATE TABLE a (x TEXT);\n")
TWO = Migration(2, "two", "CREATE TABLE b (x TEXT);\n")
KNOWN = (ONE, TWO)


def test_statements_are_cut_at_the_end_of_a_line() -> None:
    """A semicolon within a line belongs to its statement; comments are left out."""
    sql = (
        "-- first; step\nCREATE TABLE a (\n  x TEXT DEFAULT 'a;b' -- why; so\n);\n\nSELECT 1 ;  \n"
    )

    assert list(Migration(1, "x", sql).statements()) == [
        "CREATE TABLE a (\n  x TEXT DEFAULT 'a;b' \n)",
        "SELECT 1",
    ]


def test_our_steps_are_numbered_without_gaps() -> None:
    """Each step has its number, a name and statements."""
    steps = ours()

    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.name and list(step.statements()) for step in steps)


def test_a_new_database_takes_every_step() -> None:
    """Steps that are missing are taken in order; those that were taken are not taken again."""
    assert still_to_take({}, KNOWN) == [ONE, TWO]
    assert still_to_take({1: ONE.checksum}, KNOWN) == [TWO]
    assert still_to_take({1: ONE.checksum, 2: TWO.checksum}, KNOWN) == []


@pytest.mark.parametrize(
    "applied",
    [
        {1: ONE.checksum, 2: TWO.checksum, 3: "new"},
        {1: "edited"},
        {1: ONE.checksum, 2: "edited"},
        {2: TWO.checksum},
    ],
)
def test_what_is_not_ours_to_change_is_refused(applied: dict[int, str]) -> None:
    """Newer steps, edited steps and missing ones are all reasons to leave a database alone."""
    with pytest.raises(VersionUnsupported) as refusal:
        still_to_take(applied, KNOWN)

    assert refusal.value.hint is not None


def _states(check: str) -> set[str]:
    return set(re.findall(r"state = '(\w+)'", check))


def test_the_database_knows_the_states_of_the_lifecycle() -> None:
    """The CHECKs of the job table say what the lifecycle's table says."""
    (table,) = [text for text in ours()[0].statements() if text.startswith("CREATE TABLE job (")]
    known, due, finished, entitled = re.findall(r"CHECK \((.*?)\)(?=,\n|\n\))", table, re.DOTALL)[
        -4:
    ]

    assert _states(known) == set(JobState)
    assert _states(due) == {JobState.SCHEDULED}
    assert _states(finished) == TERMINAL
    assert _states(entitled) == {*LIVE, JobState.WAITING}
