"""A file of jobs, one on each line, in as many calls as they take."""

import json
from typing import Any

import pytest

from orchestrator.commands.batches import lines
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits


def text(*jobs: dict[str, Any]) -> str:
    """Return the lines of jobs."""
    return "\n".join(json.dumps(job) for job in jobs)


def test_each_line_with_something_on_it_is_a_job() -> None:
    """Places count jobs, numbers count lines."""
    found = lines.read('{"kind": "command"}\n\n  \n{"kind": "delay"}\n')

    assert [(line.number, line.place, line.job["kind"]) for line in found] == [
        (1, 0, "command"),
        (4, 1, "delay"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object"),
        ('{"kind": 1, "kind": 2}', "the key 'kind' stands there twice"),
        ('{"params": {"x": NaN}}', "line 2 is not JSON: NaN is no number"),
        ("[" * 100_000, "line 2 is not JSON: it is nested too deeply"),
    ],
)
def test_a_line_that_is_no_job_is_told_by_its_number(line: str, told: str) -> None:
    """Whoever made the file finds the place."""
    with pytest.raises(RequestInvalid, match=told):
        lines.read(f"{{}}\n{line}")


def test_only_a_line_feed_ends_a_line() -> None:
    """JSON allows every other end of a line within a text, also where Python knows it."""
    told = "a\u2028b\u0085c"

    (line,) = lines.read(json.dumps({"name": told}, ensure_ascii=False) + "\r\n")

    assert line.job == {"name": told}


def test_a_call_takes_no_more_than_the_server_does() -> None:
    """By number, by size and by keys."""
    many = lines.read(text(*[{}] * (limits.BATCH_ITEMS + 1)))
    large = lines.read(text(*[{"x": "y" * 400_000}] * 3))
    keys = lines.read(text(*[{"env": {str(n): "" for n in range(3_000)}}] * 3))

    assert [len(some) for some in lines.calls(many)] == [limits.BATCH_ITEMS, 1]
    assert [len(some) for some in lines.calls(large)] == [2, 1]
    assert [len(some) for some in lines.calls(keys)] == [2, 1]


def test_ids_take_more_room_than_places() -> None:
    """Jobs that name many of an earlier call are fewer in a call than by what was written."""
    first: list[dict[str, Any]] = [{}] * limits.BATCH_ITEMS
    needs = [{"x": "y" * 9_000, "depends_on": [{"item": place} for place in range(100)]}] * 200
    done = [f"job_{number:026}" for number in range(limits.BATCH_ITEMS)]

    found = text(*first, *needs).replace(", ", ",").replace(": ", ":")
    _, *calls = lines.calls(lines.read(found))

    for some in calls:
        sent = json.dumps(lines.items(some, done), separators=(",", ":"))
        assert len(sent) < limits.JSON_BODY_BYTES


def test_a_job_of_an_earlier_call_is_named_by_its_id() -> None:
    """Places are those of the file; a call knows only its own items, and jobs that are there."""
    needs = [{"item": 0, "on": "finish"}, {"item": 2}, {"job": "job_x"}, {"item": True}]
    found = lines.read(text({}, {}, {}, {"depends_on": needs}))

    (*_, item) = lines.items(found[2:], ["job_a", "job_b"])

    assert item["depends_on"] == [
        {"on": "finish", "job": "job_a"},
        {"item": 0},
        {"job": "job_x"},
        {"item": True},
    ]


def test_a_job_of_a_later_call_cannot_be_named() -> None:
    """The message says what to do."""
    found = lines.read(text({"depends_on": [{"item": 1}]}, {}))

    with pytest.raises(RequestInvalid, match="line 1 depends on item 1") as refusal:
        lines.items(found[:1], [])
    with pytest.raises(RequestInvalid, match="line 2 depends on item 1001"):
        lines.calls(lines.read(text({}, {"depends_on": [{"item": 1001}]}, *[{}] * 1001)))
    assert "put a job before those that depend on it" in str(refusal.value.hint)


def test_faults_of_items_are_told_by_their_lines() -> None:
    """What is no item's stays as it is."""
    found = lines.read("\n" + text({}, {}))

    told = lines.faults(found, [("items.1.params.argv", "x"), ("items.0", "y"), ("name", "z")])

    assert told == (("line 3: params.argv", "x"), ("line 2", "y"), ("name", "z"))
