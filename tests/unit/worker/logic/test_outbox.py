"""What the server does not have yet: nothing lost, nothing reordered, nothing said for ever."""

from collections.abc import Iterable

import pytest

from orchestrator.kernel.errors import PeerBroken
from orchestrator.protocol.limits import OUTPUT_INLINE_BYTES
from orchestrator.protocol.wire import Ended, Output, Progress, Released, ReportEvent
from orchestrator.protocol.words import Directive
from tests.unit.worker.logic.facts import Box, ack, ended, frames_of, key_of, started
from worker.logic.attempt import Key
from worker.logic.outbox import Reaction


def _types(events: Iterable[ReportEvent]) -> list[str]:
    return [event.type for event in events]


def test_a_short_job_is_one_report() -> None:
    """What gathers while nobody asks goes together: start, output and end, in this order."""
    outbox, key, frames = Box(), key_of(), frames_of(5)
    outbox.open(key)

    outbox.say(key, started(key))
    outbox.add(key, frames)
    outbox.say(key, ended(key, len(frames)))
    batch = outbox.next_report()

    assert _types(batch.events) == ["started", "output", "ended"]
    assert batch.keys == [key]
    assert not outbox.has_reports
    assert outbox.acknowledge([key], [ack(key, settled=True)]) == Reaction(settled=(key,))
    assert not outbox.has_reports


def test_nothing_overtakes_what_is_under_way() -> None:
    """While a request of an attempt is under way, the next facts wait, and then follow."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, started(key))
    outbox.next_report()

    outbox.add(key, frames_of(5))

    assert not outbox.has_reports
    outbox.acknowledge([key], [ack(key)])
    assert _types(outbox.next_report().events) == ["output"]


def test_a_lost_report_is_made_again() -> None:
    """What was in a request without an answer is said again, with what came since."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, started(key))
    lost = outbox.next_report()
    outbox.add(key, frames_of(5))

    outbox.land(lost.keys)

    assert _types(outbox.next_report().events) == ["started", "output"]


def test_output_goes_on_where_the_server_stands() -> None:
    """The offset of each piece is what the server acknowledged before."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    offsets = []
    for _ in range(3):
        outbox.add(key, frames_of(10))
        [event] = outbox.next_report().events
        assert isinstance(event, Output)
        offsets.append(event.offset)
        outbox.acknowledge([key], [ack(key, event.offset + len(event.frames))])

    assert offsets == [0, 27, 54]


def test_much_output_is_uploaded_and_the_end_waits_for_it() -> None:
    """Output over the limit goes as raw bytes after the start; the end follows the last of it."""
    outbox, key, frames = Box(), key_of(), frames_of(OUTPUT_INLINE_BYTES)
    outbox.open(key)
    outbox.say(key, started(key))
    outbox.add(key, frames)
    outbox.say(key, ended(key, len(frames)))

    assert not outbox.has_uploads
    assert _types(outbox.next_report().events) == ["started"]
    outbox.acknowledge([key], [ack(key)])
    assert not outbox.has_reports
    upload = outbox.next_upload()
    assert upload is not None
    assert (upload.offset, upload.frames) == (0, frames)
    assert outbox.next_upload() is None
    assert not outbox.has_reports
    outbox.acknowledge([key], [ack(key, len(frames))])
    assert _types(outbox.next_report().events) == ["ended"]


def test_what_the_server_has_already_is_not_sent_again() -> None:
    """A log that is read from its beginning after a restart continues at the server's offset."""
    outbox, key, frames = Box(), key_of(), frames_of(10)
    outbox.open(key)
    outbox.resume(key, len(frames) + 2 * len(frames))

    for _ in range(2):
        outbox.add(key, frames)
    assert not outbox.has_reports
    outbox.add(key, frames + frames)

    [event] = outbox.next_report().events
    assert isinstance(event, Output)
    assert (event.offset, event.frames) == (3 * len(frames), frames)


def test_an_answer_that_was_lost_is_learned_from_the_next() -> None:
    """When the server has more than was acknowledged, only the rest is sent."""
    outbox, key, frames = Box(), key_of(), frames_of(10)
    outbox.open(key)
    outbox.add(key, frames)
    outbox.land(outbox.next_report().keys)
    outbox.add(key, frames)
    [event] = outbox.next_report().events
    assert isinstance(event, Output)
    assert len(event.frames) == 2 * len(frames)

    reaction = outbox.acknowledge([key], [ack(key, len(frames))])

    assert not reaction.stuck
    [rest] = outbox.next_report().events
    assert isinstance(rest, Output)
    assert (rest.offset, rest.frames) == (len(frames), frames)


def test_a_server_that_lost_what_it_acknowledged_is_noticed() -> None:
    """Less than before cannot be mended from memory: the worker begins anew."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.add(key, frames_of(10))
    outbox.next_report()
    outbox.acknowledge([key], [ack(key, 27)])

    with pytest.raises(PeerBroken, match="had acknowledged 27"):
        outbox.resume(key, 5)


def test_an_order_to_abandon_is_handed_on() -> None:
    """It comes along with an acknowledgement that says nothing else; nothing more is said."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.add(key, frames_of(10))
    outbox.next_report()
    outbox.acknowledge([key], [ack(key, 27)])
    outbox.say(key, ended(key, 27))
    outbox.next_report()

    reaction = outbox.acknowledge([key], [ack(key, 0, directive="abandon")])

    assert reaction == Reaction(orders=((key, Directive.ABANDON),))
    assert not outbox.has_reports


def test_an_order_to_cancel_is_handed_on() -> None:
    """It changes nothing about what is still to be said."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, started(key))
    outbox.next_report()
    outbox.add(key, frames_of(10))

    reaction = outbox.acknowledge([key], [ack(key, directive="cancel")])

    assert reaction.orders == ((key, Directive.CANCEL),)
    assert outbox.has_reports


def test_an_answer_that_changes_nothing_is_a_reason_to_wait() -> None:
    """A server that takes an end and does not record it is not asked again at once."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, ended(key))
    outbox.next_report()

    assert outbox.acknowledge([key], [ack(key)]).stuck
    assert _types(outbox.next_report().events) == ["ended"]
    assert outbox.acknowledge([key], []).stuck
    assert outbox.has_reports


def test_output_that_is_not_taken_is_a_reason_to_wait() -> None:
    """The same for output whose offset does not move."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.add(key, frames_of(OUTPUT_INLINE_BYTES))
    outbox.next_upload()

    assert outbox.acknowledge([key], [ack(key)]).stuck
    assert outbox.has_uploads


def test_a_log_whose_beginning_is_gone_goes_on_where_it_is() -> None:
    """Parts that the server had acknowledged may be removed; reading again begins behind them."""
    outbox, key, frames = Box(), key_of(), frames_of(10)
    outbox.open(key)
    outbox.resume(key, 3 * len(frames))

    outbox.write(key, 2 * len(frames), frames + frames)

    [event] = outbox.next_report().events
    assert isinstance(event, Output)
    assert (event.offset, event.frames) == (3 * len(frames), frames)


def test_a_log_that_is_read_before_the_session_goes_on_where_the_server_stands() -> None:
    """A successor reads what is left of a long log at once: it is not taken for one with a gap."""
    outbox, key, frames = Box(), key_of(), frames_of(10)
    outbox.open(key)
    outbox.write(key, 2 * len(frames), frames + frames)

    outbox.resume(key, 3 * len(frames))
    outbox.write(key, 4 * len(frames), frames)
    outbox.say(key, ended(key, 5 * len(frames)))

    output, end = outbox.next_report().events
    assert isinstance(output, Output)
    assert (output.offset, output.frames) == (3 * len(frames), frames + frames)
    assert isinstance(end, Ended)
    assert not end.output_final


def test_what_the_server_lacks_before_the_rest_of_a_log_is_shown_as_missing() -> None:
    """Read before the session or not: what was removed and never arrived is admitted."""
    outbox, key, frames = Box(), key_of(), frames_of(10)
    outbox.open(key)
    outbox.write(key, 2 * len(frames), frames)

    outbox.resume(key, len(frames))
    outbox.write(key, 3 * len(frames), frames)
    outbox.say(key, ended(key, 4 * len(frames)))

    [event] = outbox.next_report().events
    assert isinstance(event, Ended)
    assert event.output_final


def test_output_that_is_nowhere_any_more_is_shown_as_missing() -> None:
    """A server that was set back lacks what the worker has removed: the end says so, once."""
    outbox, key, frames = Box(), key_of(), frames_of(10)
    outbox.open(key)
    outbox.resume(key, 5)

    outbox.write(key, 3 * len(frames), frames)
    outbox.write(key, 4 * len(frames), frames)
    outbox.say(key, ended(key, 5 * len(frames)))

    [event] = outbox.next_report().events
    assert isinstance(event, Ended)
    assert event.output_final


def test_an_end_that_outlived_its_output_is_not_said_for_ever() -> None:
    """What a power cut took from the end of a log is not waited for; what was read is sent."""
    outbox, key, frames = Box(), key_of(), frames_of(5)
    outbox.open(key)
    outbox.resume(key, 0)
    outbox.add(key, frames)
    outbox.say(key, ended(key, len(frames) + 100))

    output, end = outbox.next_report().events

    assert isinstance(output, Output)
    assert isinstance(end, Ended)
    assert output.frames == frames
    assert end.output_final


def test_an_end_whose_log_is_gone_says_that_nothing_will_come() -> None:
    """Also when nothing of the output is left: the server may have all of it, or a part."""
    outbox, some, all_of_it = Box(), key_of(1), key_of(2)
    for key, length in ((some, 40), (all_of_it, 100)):
        outbox.open(key)
        outbox.resume(key, length)
        outbox.say(key, ended(key, 100))

    lacking, complete = outbox.next_report().events

    assert isinstance(lacking, Ended)
    assert isinstance(complete, Ended)
    assert lacking.output_final
    assert not complete.output_final


def test_what_the_server_has_taken_is_told() -> None:
    """How far the server is lets the worker remove the parts before it."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.add(key, frames_of(10))
    outbox.next_report()

    assert outbox.acknowledge([key], [ack(key, 27)]).taken == ((key, 27),)


def test_nothing_is_said_of_what_was_forgotten() -> None:
    """An abandoned attempt is silent, whatever its process still does."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, started(key))
    outbox.forget(key)

    outbox.say(key, ended(key))

    assert outbox.add(key, frames_of(5 * 1024 * 1024 // 2))
    assert outbox.has_room(key)
    assert not outbox.has_reports
    assert not outbox.has_uploads
    assert outbox.acknowledge([key], [ack(key)]) == Reaction()


def test_a_release_is_an_end() -> None:
    """What was given back is settled like anything else."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, Released(job_id=key.job_id, attempt=key.number))

    assert _types(outbox.next_report().events) == ["released"]
    assert outbox.acknowledge([key], [ack(key, settled=True)]).settled == (key,)


def _progress(key: Key, seq: int) -> Progress:
    return Progress(job_id=key.job_id, attempt=key.number, seq=seq, at_us=0, percent=seq)


def _told(events: Iterable[ReportEvent]) -> list[int]:
    return [event.seq for event in events if isinstance(event, Progress)]


def test_of_progress_only_the_last_word_is_said() -> None:
    """Before the end, and once; what was said while another word was under way follows it."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    for seq in (1, 2, 3):
        outbox.say(key, _progress(key, seq))
    assert _told(outbox.next_report().events) == [3]

    outbox.say(key, _progress(key, 4))
    assert not outbox.has_reports
    outbox.acknowledge([key], [ack(key)])
    assert _told(outbox.next_report().events) == [4]
    outbox.land([key])
    outbox.say(key, _progress(key, 5))
    outbox.say(key, ended(key, 0))
    batch = outbox.next_report()

    assert (_types(batch.events), _told(batch.events)) == (["progress", "ended"], [5])
    outbox.acknowledge([key], [ack(key, settled=True)])
    assert not outbox.has_reports


def test_progress_that_is_not_understood_is_not_said_again() -> None:
    """The end is worth more than how far it had come."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    outbox.say(key, _progress(key, 1))
    outbox.next_report()
    outbox.refuse([key])
    outbox.say(key, _progress(key, 2))
    outbox.say(key, ended(key, 0))

    assert _types(outbox.next_report().events) == ["ended"]
