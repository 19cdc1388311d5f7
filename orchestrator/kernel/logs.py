"""One way to log: an event with keys, as a JSON line for programs or an aligned line for people.

    2026-08-21T09:14:03.118Z info     child.restarted  child=server pid=4711

It knows no event and decides no level. An event is a dotted name in the past tense with keys, never
a sentence built on the spot, so that a line in a log leads to the line of source with one search.
Records of libraries pass through unchanged, as the event `log` of their logger.
"""

import contextlib
import contextvars
import errno
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol, TextIO

_KEYS: Final = "event_keys"
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_NO_READER: Final = frozenset({errno.EPIPE, errno.EIO})
_EVENT_COLUMNS: Final = 24
"""Most event names are shorter, so the keys of most lines begin in one column."""
_bound: contextvars.ContextVar[Mapping[str, object]] = contextvars.ContextVar(
    "bound_log_keys", default=_NOTHING
)


class Form(StrEnum):
    """How lines are written."""

    AUTO = "auto"
    """For people on a terminal, for programs elsewhere."""
    JSON = "json"
    TEXT = "text"


class Journal(Protocol):
    """What keeps lines together with what they are about."""

    def take(self, text: str, level: int, name: str, keys: Mapping[str, object]) -> bool:
        """Take a line; tell whether that was possible."""
        ...


def event(logger: logging.Logger, level: int, name: str, **keys: object) -> None:
    """Log that something happened; keys with the value `None` are left out."""
    if logger.isEnabledFor(level):
        logger.log(level, name, extra={_KEYS: keys}, stacklevel=2)


@contextlib.contextmanager
def bound(**keys: object) -> Iterator[None]:
    """Put keys such as `worker` or `job` into every event that is logged within the block."""
    token = _bound.set({**_bound.get(), **keys})
    try:
        yield
    finally:
        _bound.reset(token)


def set_up(
    *, level: int = logging.INFO, stream: TextIO | None = None, journal: Journal | None = None
) -> None:
    """Log to `stream` (by default standard error): lines for a terminal, JSON for anything else.

    What leads to a journal is handed to that, and written only if it does not take it.
    """
    target = sys.stderr if stream is None else stream
    handler = _Handler(target, journal)
    handler.setFormatter(_formatter(target, Form.AUTO))
    handler.addFilter(_add_bound_keys)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # A log that cannot be written (a closed pipe, a full disk) must not harm what it tells about.
    logging.raiseExceptions = False


def adjust(*, level: int, form: Form) -> None:
    """Write from that level on, and in that form, from the next line on.

    Whoever keeps events of its own still hears of all that is told at `INFO`: a log that somebody
    wants to be quiet must not make `status` forget.
    """
    root = logging.getLogger()
    root.setLevel(min(level, logging.INFO))
    for handler in root.handlers:
        if isinstance(handler, _Handler):
            handler.setLevel(level)
            handler.setFormatter(_formatter(handler.stream, form))


def prepare(handler: logging.Handler) -> None:
    """Let a handler write lines for programs, with the keys that are bound."""
    handler.setFormatter(_ForPrograms())
    handler.addFilter(_add_bound_keys)


def discard(descriptor: int) -> None:
    """Let what is written there go nowhere from now on: its terminal or its reader is gone.

    Otherwise what could not be written stays in a buffer and fails again when the program ends,
    which then returns 120 instead of its own exit code.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _formatter(stream: TextIO, form: Form) -> logging.Formatter:
    for_people = stream.isatty() if form is Form.AUTO else form is Form.TEXT
    return _ForPeople() if for_people else _ForPrograms()


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines for as long as somebody can read them."""

    def __init__(self, stream: TextIO, journal: Journal | None) -> None:
        super().__init__(stream)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or hand it to the journal with what it is about."""
        if not self._is_taken(record):
            super().emit(record)

    def _is_taken(self, record: logging.LogRecord) -> bool:
        """Hand a line to the journal; one whose words do not fit goes where that harms nobody."""
        if self._journal is None:
            return False
        try:
            name, keys = _parts(record)
            return self._journal.take(self.format(record), record.levelno, name, keys)
        except (KeyError, TypeError, ValueError):
            return False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on without a reader. A full disk may have room again, so that only costs lines."""
        error = sys.exception()
        if isinstance(error, OSError) and error.errno in _NO_READER:
            discard(self.stream.fileno())
        super().handleError(record)


def _add_bound_keys(record: logging.LogRecord) -> bool:
    """Join the bound keys to the event's own; here, because a handler runs in the caller's context.

    The event's own keys win: they are nearer to what happened.
    """
    record.__dict__[_KEYS] = {**_bound.get(), **record.__dict__.get(_KEYS, _NOTHING)}
    return True


def _moment(record: logging.LogRecord) -> str:
    when = datetime.fromtimestamp(record.created, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"


def _parts(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """Return the event and its keys; a library's sentence becomes the key `message`."""
    keys = dict(record.__dict__.get(_KEYS, _NOTHING))
    name = record.msg
    if record.args or not _is_event(name):
        keys = {"logger": record.name, "message": record.getMessage(), **keys}
        name = "log"
    if record.exc_info:
        keys["trace"] = logging.Formatter().formatException(record.exc_info)
    return str(name), {key: value for key, value in keys.items() if value is not None}


def _is_event(message: object) -> bool:
    return isinstance(message, str) and "." in message and message.replace(".", "_").isidentifier()


class _ForPrograms(logging.Formatter):
    """One JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with its keys beside `time`, `level` and `event`."""
        name, keys = _parts(record)
        head = {"time": _moment(record), "level": record.levelname.lower(), "event": name}
        # Twice: the head comes first in the line, and no key takes its place.
        return json.dumps({**head, **keys, **head}, ensure_ascii=False, default=str)


class _ForPeople(logging.Formatter):
    """One aligned line; a value that could be misread is quoted."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, event and `key=value` pairs, and a traceback below them."""
        name, keys = _parts(record)
        trace = keys.pop("trace", None)
        pairs = " ".join(f"{key}={_shown(value)}" for key, value in keys.items())
        head = f"{_moment(record)} {record.levelname.lower():<8} {name:<{_EVENT_COLUMNS}}"
        line = f"{head} {pairs}".rstrip()
        return line if trace is None else f"{line}\n{trace}"


def _shown(value: object) -> str:
    text = str(value)
    # json.dumps, because a newline in a value must not look like a second event.
    plain = text.isprintable() and text != "" and not set(text) & set(' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)
