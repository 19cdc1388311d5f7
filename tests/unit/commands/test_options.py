"""What people type: which forms are understood, and what is said to the others."""

import click
import pytest

from orchestrator.commands.options import Address, Assignment, Duration, JobId


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("0.3", 0.3),
        ("90s", 90.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        ("1d2h3m4s", 93_784.0),
        ("0", 0.0),
    ],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    """A bare number is seconds; units may be combined."""
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1x", "1 m", "s", "1m30", "nan", "1e3", "١"])
def test_what_is_no_duration_is_shown_with_what_would_be_one(text: str) -> None:
    """The refusal repeats the value and gives an example."""
    with pytest.raises(click.BadParameter, match="1m30s") as refused:
        Duration().convert(text, None, None)

    assert repr(text) in refused.value.message


def test_an_assignment_keeps_every_equals_sign_of_its_value() -> None:
    """Only the first equals sign separates."""
    assert Assignment().convert("A=b=c=", None, None) == ("A", "b=c=")
    assert Assignment().convert("A=", None, None) == ("A", "")


def test_a_bare_name_is_taken_only_where_it_has_a_meaning() -> None:
    """`--env NAME` takes the value from the environment; `--label NAME` is a mistake."""
    assert Assignment(bare=True).convert("HOME", None, None) == ("HOME", None)
    for text in ("HOME", "=x", ""):
        with pytest.raises(click.BadParameter, match="NAME=VALUE"):
            Assignment().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:8700", ("localhost", 8700)),
        ("[::1]:65535", ("::1", 65_535)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    """IPv6 addresses stand in brackets."""
    assert Address().convert(text, None, None) == address


@pytest.mark.parametrize("text", ["8700", "x:", "x:65536", "::1:8700", "http://x:1", ":1", "x:١"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The refusal shows what an address looks like."""
    with pytest.raises(click.BadParameter, match=r"127\.0\.0\.1:8700"):
        Address().convert(text, None, None)


def test_only_an_id_can_name_a_job() -> None:
    """A path or a name is refused before it becomes part of a URL."""
    job_id = "job_" + "0" * 26

    assert JobId().convert(job_id, None, None) == job_id
    for text in ("", "job_", "../keys", job_id + "/cancel", "worker_" + "0" * 26):
        with pytest.raises(click.BadParameter, match="jobs list"):
            JobId().convert(text, None, None)
