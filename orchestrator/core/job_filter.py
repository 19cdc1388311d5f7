"""Which jobs somebody means, and the small language in which it is said.

    state:failed,cancelled kind:command label:team=web created:<2h "no route"

A word is `key:value` or a text to look for. What is said of one key twice, or with commas, are
alternatives (but a name may hold a comma); labels, tags and texts must be there all. A moment is
compared with `<` and `>`: a duration is an age (`created:<2h` is younger than two hours), a date a
point in time.

It reads no clock: `now_us` is an argument, so a filter that is kept means the same jobs later on.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.limits import FILTER_CHARS
from orchestrator.protocol.words import JobState, Reason

WORDS: Final = 64
"""Each is looked at for each job."""
_DAY_S: Final = 86_400
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": _DAY_S, "w": 7 * _DAY_S}
_AGE: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_KEY: Final = re.compile(r"[A-Za-z_]+:")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in microseconds since the epoch; both ends are outside of it."""

    after_us: int | None = None
    before_us: int | None = None

    def narrowed(self, other: "Span") -> "Span":
        """Return what lies in both."""
        after = [us for us in (self.after_us, other.after_us) if us is not None]
        before = [us for us in (self.before_us, other.before_us) if us is not None]
        return Span(max(after, default=None), min(before, default=None))


ALWAYS: Final = Span()


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are wanted; what is not said does not matter.

    `labels` are keys with the value that is wanted, or `None` for any.
    """

    states: frozenset[JobState] = frozenset()
    kinds: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    workers: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    reasons: frozenset[Reason] = frozenset()
    fingerprints: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    labels: frozenset[tuple[str, str | None]] = frozenset()
    tags: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()
    created: Span = ALWAYS
    finished: Span = ALWAYS


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of the text: where it begins, its key if it has one, and its value."""

    at: int
    key: str
    value: str


def parse(text: str, *, now_us: int) -> JobFilter:
    """Return what a text means, or refuse it: what is wrong, at which character, what was meant."""
    if len(text) > FILTER_CHARS:
        raise _wrong(FILTER_CHARS, f"a filter has at most {FILTER_CHARS:,} characters")
    found = _Found(now_us)
    for number, word in enumerate(_words(text)):
        if number == WORDS:
            raise _wrong(word.at, f"a filter has at most {WORDS} words")
        found.add(word)
    return found.filter()


def _words(text: str) -> Iterator[_Word]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        begin, key = at, ""
        if match := _KEY.match(text, at):
            key, at = match[0][:-1], match.end()
        value, at = _value(text, at)
        if key and not value:
            raise _wrong(begin, f"{key}: has no value behind the colon")
        if value:
            yield _Word(begin, key, value)


def _value(text: str, at: int) -> tuple[str, int]:
    """Return a value and where it ends; inside quotes blanks belong to it."""
    value, begin, quoted = "", at, False
    while at < len(text) and (quoted or not text[at].isspace()):
        char = text[at]
        if char == '"':
            begin, quoted = at, not quoted
        elif char == "\\" and quoted and at + 1 < len(text):
            at += 1
            value += text[at]
        else:
            value += char
        at += 1
    if quoted:
        raise _wrong(begin, "a quote is opened here and never closed")
    return value, at


class _Found:
    """What the words say so far."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us
        self._sets: dict[str, set[object]] = {}
        self._spans: dict[str, Span] = {}
        self._texts: list[str] = []

    def add(self, word: _Word) -> None:
        """Take one word in."""
        if not word.key:
            self._texts.append(word.value)
            return
        name = _KEYS.get(word.key)
        if name is None:
            raise _wrong(word.at, f"{word.key} is no key", _meant(word.key, sorted(_KEYS)))
        if name in {"created", "finished"}:
            span = self._spans.get(name, ALWAYS)
            self._spans[name] = span.narrowed(_span(word, self._now_us))
            return
        read = _READ.get(name, _plain)
        alternatives = [word.value] if name in _WHOLE else word.value.split(",")
        self._sets.setdefault(name, set()).update(read(word, one) for one in alternatives if one)

    def filter(self) -> JobFilter:
        """Return the filter."""
        sets = {name: frozenset(values) for name, values in self._sets.items()}
        return JobFilter(**sets, **self._spans, texts=tuple(self._texts))  # type: ignore[arg-type]  # by name


def _plain(_: _Word, value: str) -> object:
    return value


def _state(word: _Word, value: str) -> object:
    return JobState(_one_of(word, value, [state.value for state in JobState]))


def _reason(word: _Word, value: str) -> object:
    return Reason(_one_of(word, value, [reason.value for reason in Reason]))


def _one_of(word: _Word, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise _wrong(word.at, f"{value[:40]!r} is no {word.key}", _meant(value, known))
    return value


def _label(_: _Word, value: str) -> object:
    key, equals, wanted = value.partition("=")
    return key, wanted if equals else None


def _span(word: _Word, now_us: int) -> Span:
    sign, text = word.value[:1], word.value[1:]
    if sign not in {"<", ">"}:
        raise _wrong(
            word.at,
            f"{word.key} needs < or >",
            f"write {word.key}:<2h (younger than two hours) or {word.key}:>2026-01-31",
        )
    age = _AGE.fullmatch(text)
    if age is not None:
        # Nothing is older than the epoch, and no database knows a moment that is far before it.
        then = max(0, now_us - int(age[1]) * _UNITS[age[2]] * 1_000_000)
        return Span(after_us=then) if sign == "<" else Span(before_us=then)
    at_us = _moment(word, text)
    return Span(after_us=at_us) if sign == ">" else Span(before_us=at_us)


def _moment(word: _Word, text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(
            word.at,
            f"{text[:40]!r} is neither an age nor a moment",
            "write an age (90s 15m 2h 7d 2w), a date (2026-01-31), "
            "or a moment in UTC (2026-01-31T09:00:00Z)",
        ) from None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _meant(given: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(given[:40], known, n=1)
    listed = f"there are: {', '.join(known)}"
    return f"did you mean {close[0]}? {listed}" if close else listed


def _wrong(at: int, what: str, hint: str | None = None) -> RequestInvalid:
    place = f"at character {at + 1}: {what}"
    return RequestInvalid(
        f"the filter is not valid {place}",
        hint=hint or 'words look like state:failed or label:team=web; quote a text: "no route"',
        code="filter_invalid",
        fields=(("q", place),),
    )


_KEYS: Final = {
    "state": "states",
    "kind": "kinds",
    "name": "names",
    "queue": "queues",
    "worker": "workers",
    "owner": "owners",
    "reason": "reasons",
    "group": "fingerprints",
    "id": "ids",
    "label": "labels",
    "tag": "tags",
    "created": "created",
    "finished": "finished",
}
"""What is written before the colon, and the field that it fills."""
_WHOLE: Final = frozenset({"labels", "names"})
"""Their values are people's own words, in which a comma is a comma."""
_READ: Final[dict[str, Callable[[_Word, str], object]]] = {
    "states": _state,
    "reasons": _reason,
    "labels": _label,
}
