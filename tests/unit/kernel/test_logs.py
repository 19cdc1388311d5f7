"""Events as lines: for people, for programs, and with what is bound around them."""

import io
import json
import logging
import logging.handlers
from collections.abc import Iterator, Mapping

import pytest

from orchestrator.kernel import logs

LOGGER = logging.getLogger("tests.logs")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)


def _logged(stream: io.StringIO) -> str:
    logs.set_up(stream=stream)
    logs.event(LOGGER, logging.INFO, "child.started", child="server", pid=17, why=None)
    return stream.getvalue()


def test_a_program_reads_one_object_a_line() -> None:
    """Time, level, event and keys; a key without a value is left out."""
    told = json.loads(_logged(io.StringIO()))

    assert told.pop("time").endswith("Z")
    assert told == {"level": "info", "event": "child.started", "child": "server", "pid": 17}


def test_a_person_reads_an_aligned_line() -> None:
    """The keys of most events begin in the same column."""
    line = _logged(Terminal())

    assert line[24:] == " info     child.started            child=server pid=17\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ("", '""'),
        ("line\nbreak", '"line\\nbreak"'),
        ("Größe", "Größe"),
        (3.5, "3.5"),
    ],
)
def test_a_value_cannot_be_misread(value: object, shown: str) -> None:
    """Whatever could look like another key or another line is quoted."""
    stream = Terminal()
    logs.set_up(stream=stream)

    logs.event(LOGGER, logging.WARNING, "a.thing_happened", value=value)

    assert stream.getvalue().rstrip("\n").endswith(f" value={shown}")
    assert stream.getvalue().count("\n") == 1


def test_bound_keys_are_in_every_event_of_the_block() -> None:
    """Inner keys join outer ones, an event's own win, and nothing is left afterwards."""
    stream = io.StringIO()
    logs.set_up(stream=stream)

    with logs.bound(worker="oak", job="j1"), logs.bound(attempt=2):
        logs.event(LOGGER, logging.INFO, "attempt.started", job="j2")
    logs.event(LOGGER, logging.INFO, "attempt.ended")

    inner, outer = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (inner["worker"], inner["job"], inner["attempt"]) == ("oak", "j2", 2)
    assert outer.keys() == {"time", "level", "event"}


def test_a_library_speaks_through_the_same_lines() -> None:
    """Its sentence is the message of the event `log`, with its logger's name."""
    stream = io.StringIO()
    logs.set_up(stream=stream)

    logging.getLogger("some.library").warning("%d connections dropped", 3)

    told = json.loads(stream.getvalue())
    assert (told["event"], told["logger"], told["message"]) == (
        "log",
        "some.library",
        "3 connections dropped",
    )


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_is_kept(stream: io.StringIO) -> None:
    """What went wrong and where is in the log, in both forms."""
    logs.set_up(stream=stream)

    try:
        raise ValueError("planted")
    except ValueError:
        LOGGER.exception("request.failed")

    assert "request.failed" in stream.getvalue()
    assert "ValueError: planted" in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
@pytest.mark.parametrize("form", ["json", "text"])
def test_its_form_may_be_chosen(stream: io.StringIO, form: str) -> None:
    """Whoever looks at it; and from the next line on."""
    stream.seek(0)
    stream.truncate()
    logs.set_up(stream=stream)
    logs.adjust(level=logging.INFO, form=logs.Form(form))

    logs.event(LOGGER, logging.INFO, "child.started", pid=17)

    assert stream.getvalue().startswith("{") is (form == "json")


def test_a_quiet_log_hides_nothing_from_who_keeps_events() -> None:
    """Only the stream has a level; another handler still hears of all that happens."""
    stream, kept = io.StringIO(), logging.handlers.BufferingHandler(100)
    logs.set_up(stream=stream)
    logging.getLogger().addHandler(kept)

    logs.adjust(level=logging.ERROR, form=logs.Form.AUTO)
    logs.event(LOGGER, logging.WARNING, "child.killed")
    logs.event(LOGGER, logging.ERROR, "child.parked")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == [
        "child.parked"
    ]
    assert [record.msg for record in kept.buffer] == ["child.killed", "child.parked"]


def test_what_is_below_the_level_is_not_written() -> None:
    """Debug events cost nothing unless somebody asks for them."""
    stream = io.StringIO()
    logs.set_up(stream=stream)

    logs.event(LOGGER, logging.DEBUG, "loop.turned")

    assert stream.getvalue() == ""


def test_a_log_that_cannot_be_written_harms_nobody() -> None:
    """A closed pipe loses the line, and nothing else."""
    stream = io.StringIO()
    logs.set_up(stream=stream)
    stream.close()

    logs.event(LOGGER, logging.INFO, "child.started")


class Kept(list[str]):
    """A journal that takes every line."""

    def take(self, text: str, level: int, name: str, keys: Mapping[str, object]) -> bool:
        self.append(text)
        return True


def test_a_line_whose_words_do_not_fit_harms_nobody() -> None:
    """Not where a journal takes the lines either; the next one is told."""
    journal = Kept()
    logs.set_up(stream=io.StringIO(), journal=journal)

    for words, value in (("%d words", "two"), ("words", "one too many"), ("%(few)s", {})):
        LOGGER.warning(words, value)
    logs.event(LOGGER, logging.INFO, "child.started")

    assert len(journal) == 1
    assert "child.started" in journal[0]
