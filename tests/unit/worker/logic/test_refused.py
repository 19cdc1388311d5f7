"""What the server does not understand: one attempt is to blame, and says less each time."""

import pytest

from orchestrator.protocol.limits import OUTPUT_INLINE_BYTES
from orchestrator.protocol.wire import Ended, Progress, Released
from tests.unit.worker.logic.facts import Box, ack, ended, frames_of, key_of, started
from worker.logic.attempt import Key
from worker.logic.lane import Standing

KEYS = [key_of(number) for number in (1, 2, 3)]


def _three() -> Box:
    outbox = Box()
    for key in KEYS:
        outbox.open(key)
        outbox.say(key, started(key))
    return outbox


def _refused_alone(outbox: Box, key: Key) -> Standing:
    batch = outbox.next_report()
    assert batch.keys == [key]
    return outbox.refuse(batch.keys)


def test_each_of_a_refused_report_is_said_by_itself() -> None:
    """Nobody knows who was to blame; who is understood goes with others again."""
    outbox = _three()
    assert outbox.refuse(outbox.next_report().keys) is Standing.SUSPECT

    for key in KEYS:
        batch = outbox.next_report()
        assert batch.keys == [key]
        outbox.acknowledge(batch.keys, [ack(key)])
        outbox.add(key, frames_of(1))

    assert outbox.next_report().keys == KEYS


def test_a_suspect_waits_for_the_report_before_its_own() -> None:
    """Who is not suspected goes first with his like, and never with him."""
    outbox = _three()
    outbox.refuse(outbox.next_report().keys[1:])
    outbox.land(KEYS[:1])

    assert [outbox.next_report().keys for _ in KEYS] == [[KEYS[1]], [KEYS[2]], [KEYS[0]]]


def test_a_suspect_that_was_not_answered_stays_one() -> None:
    """A lost request says nothing about what was in it."""
    outbox = _three()
    outbox.refuse(outbox.next_report().keys)

    outbox.land(outbox.next_report().keys)

    assert all(len(outbox.next_report().keys) == 1 for _ in KEYS)


def test_the_culprit_says_its_end_in_plain_words() -> None:
    """No start, no output, no result and no message of its own: only what every server knows."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, started(key))
    outbox.add(key, frames_of(10))
    assert _refused_alone(outbox, key) is Standing.PLAIN
    assert not outbox.has_reports

    outbox.say(key, started(key))
    assert outbox.add(key, frames_of(5 * OUTPUT_INLINE_BYTES))
    assert not outbox.has_reports
    assert not outbox.has_uploads
    outbox.say(key, ended(key, 37, exit_code=7, result={"a": 1}, message="own words"))

    [end] = outbox.next_report().events
    assert isinstance(end, Ended)
    assert (end.exit_code, end.output_length, end.output_final) == (7, 37, True)
    assert end.result is None
    assert "did not understand" in str(end.message)
    assert outbox.acknowledge([key], [ack(key, settled=True)]).settled == (key,)


def _progress(key: Key, seq: int) -> Progress:
    return Progress(job_id=key.job_id, attempt=key.number, seq=seq, at_us=0, percent=seq)


def test_progress_that_is_refused_costs_nothing_else() -> None:
    """It is left out first, once and for all; start, output and end are told as they are."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, started(key))
    outbox.add(key, frames_of(10))
    outbox.say(key, _progress(key, 1))

    assert _refused_alone(outbox, key) is Standing.SUSPECT

    outbox.say(key, _progress(key, 2))
    outbox.say(key, ended(key, 10, message="own words"))
    events = outbox.next_report().events
    assert [event.type for event in events] == ["started", "output", "ended"]
    assert isinstance(events[-1], Ended)
    assert events[-1].message == "own words"


def test_progress_is_to_blame_once_at_most() -> None:
    """What is refused without it is told in plain words: nothing is asked for ever."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, started(key))
    outbox.say(key, _progress(key, 1))
    assert _refused_alone(outbox, key) is Standing.SUSPECT
    outbox.say(key, _progress(key, 2))

    assert _refused_alone(outbox, key) is Standing.PLAIN


def test_output_that_is_refused_as_an_upload_is_blamed_at_once() -> None:
    """There is only one attempt in it; the end is told when the room for output is free again."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    assert not outbox.add(key, frames_of(2 * 1024 * 1024))
    outbox.next_upload()

    assert outbox.refuse([key]) is Standing.PLAIN

    assert outbox.has_room(key)
    assert not outbox.has_uploads


@pytest.mark.parametrize("last", ["ended", "released"])
def test_a_culprit_whose_end_is_refused_falls_silent(last: str) -> None:
    """Nothing is asked for ever, whatever still happens to it."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, Released(job_id=key.job_id, attempt=1) if last == "released" else ended(key))
    assert _refused_alone(outbox, key) is Standing.PLAIN

    assert _refused_alone(outbox, key) is Standing.SILENT

    outbox.say(key, ended(key))
    outbox.land([key])
    assert outbox.refuse(KEYS) is Standing.SILENT
    assert outbox.refuse([key]) is Standing.SILENT
    assert not outbox.has_reports


def test_what_was_forgotten_is_not_blamed() -> None:
    """An attempt may be abandoned while its report is under way."""
    outbox, key = Box(), key_of()

    assert outbox.refuse([key]) is Standing.GOOD
