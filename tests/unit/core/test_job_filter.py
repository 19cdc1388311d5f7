"""The small language in which people say which jobs they mean."""

from typing import Any

import pytest

from orchestrator.core.job_filter import WORDS, JobFilter, Span, parse
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.limits import FILTER_CHARS
from orchestrator.protocol.words import JobState, Reason

NOW_US = 1_800_000_000_000_000
HOUR_US = 3600 * 1_000_000


def _of(*values: Any) -> frozenset[Any]:
    return frozenset(values)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("", JobFilter()),
        ("state:failed", JobFilter(states=_of(JobState.FAILED))),
        ("state:failed,held", JobFilter(states=_of(JobState.FAILED, JobState.HELD))),
        ("state:failed state:held", JobFilter(states=_of(JobState.FAILED, JobState.HELD))),
        ("kind:command worker:atlas", JobFilter(kinds=_of("command"), workers=_of("atlas"))),
        ("queue:night,day", JobFilter(queues=_of("night", "day"))),
        ("name:build,test", JobFilter(names=_of("build,test"))),
        ('name:"the build"', JobFilter(names=_of("the build"))),
        ("owner:ada reason:oom", JobFilter(owners=_of("ada"), reasons=_of(Reason.OOM))),
        ("label:team=web label:x", JobFilter(labels=_of(("team", "web"), ("x", None)))),
        ("label:a=b=c", JobFilter(labels=_of(("a", "b=c")))),
        ("tag:nightly,gpu", JobFilter(tags=_of("nightly", "gpu"))),
        ("group:0011223344556677", JobFilter(fingerprints=_of("0011223344556677"))),
        ('make "no route"', JobFilter(texts=("make", "no route"))),
        (r'"say \"x\" \\ y"', JobFilter(texts=('say "x" \\ y',))),
        ('"http://x"', JobFilter(texts=("http://x",))),
        ("created:<2h", JobFilter(created=Span(after_us=NOW_US - 2 * HOUR_US))),
        ("created:>1d", JobFilter(created=Span(before_us=NOW_US - 24 * HOUR_US))),
        ("created:<999999999w", JobFilter(created=Span(after_us=0))),
        ("finished:>1970-01-02", JobFilter(finished=Span(after_us=24 * HOUR_US))),
        ("created:<1970-01-01T01:00:00Z", JobFilter(created=Span(before_us=HOUR_US))),
        ("created:<1970-01-01T02:00:00+01:00", JobFilter(created=Span(before_us=HOUR_US))),
        (
            "created:<3h created:<2h created:>1h",
            JobFilter(created=Span(NOW_US - 2 * HOUR_US, NOW_US - HOUR_US)),
        ),
    ],
)
def test_a_text_means_these_jobs(text: str, means: JobFilter) -> None:
    """Keys with values are conditions, quotes hold blanks, an age is counted from now."""
    assert parse(text, now_us=NOW_US) == means


@pytest.mark.parametrize(
    ("text", "at", "what", "hint"),
    [
        ("kind:a stat:failed", 8, "stat is no key", "did you mean state?"),
        ("state:fialed", 1, "'fialed' is no state", "did you mean failed?"),
        ("reason:nothing", 1, "'nothing' is no reason", "there are: exit_nonzero"),
        ("state: x", 1, "state: has no value", "words look like"),
        ('a "b c', 3, "a quote is opened here", "words look like"),
        ("created:2h", 1, "created needs < or >", "created:<2h"),
        ("x created:<soon", 3, "neither an age nor a moment", "2026-01-31"),
        ("created:<2y", 1, "neither an age nor a moment", "90s 15m 2h 7d 2w"),
        ("x" * (FILTER_CHARS + 1), FILTER_CHARS + 1, "at most 2,000 characters", "words look like"),
        ("x " * (WORDS + 1), 2 * WORDS + 1, "at most 64 words", "words look like"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(
    text: str, at: int, what: str, hint: str
) -> None:
    """The refusal names the character, the fault, and what was probably meant."""
    with pytest.raises(RequestInvalid) as caught:
        parse(text, now_us=NOW_US)

    assert caught.value.problem_code == "filter_invalid"
    ((field, told),) = caught.value.fields
    assert field == "q"
    assert told.startswith(f"at character {at}: ")
    assert what in told
    assert hint in (caught.value.hint or "")
