"""What people type: durations, assignments, addresses and ids, each with a clear refusal.

It knows no command and imports nothing heavy, because `--help` does. A refusal names the option
(click adds it), shows the value, and says what would be right.
"""

import re
from typing import TYPE_CHECKING, Final

import click

from orchestrator.protocol import limits
from orchestrator.protocol.ids import is_id
from orchestrator.protocol.words import PLAIN_NAME, Misfire

if TYPE_CHECKING:
    from datetime import datetime

_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd]|)")
_WHOLE: Final = re.compile(r"\d+(?:\.\d+)?|(?:\d+(?:\.\d+)?(?:ms|[smhd]))+", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_ADDRESS: Final = re.compile(
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+):(?P<port>\d{1,5})", re.ASCII
)
_PLAIN_NAME: Final = re.compile(PLAIN_NAME)
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_COMMENT_RULE: Final = f"write at most {limits.LABEL_CHARS:,} characters of UTF-8"


class Duration(click.ParamType[float]):
    """Seconds, or a text such as `90`, `1m30s`, `500ms`, `2h`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        text = str(value).strip()
        if not _WHOLE.fullmatch(text):
            self.fail(f"{text!r} is no duration; write 90 (seconds), 1m30s or 2h", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text) if number)


class Pauses(click.ParamType[tuple[float, ...]]):
    """The pauses before retries: `INITIAL[,FACTOR[,LONGEST]]`, such as `5s,2,10m`."""

    name = "pauses"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return seconds, a factor, seconds: as many of them as were given."""
        first, *rest = str(value).split(",")
        numbers = [Duration().convert(first, param, ctx)]
        if len(rest) > 2 or (rest and not _NUMBER.fullmatch(rest[0])):
            self.fail(
                f"{value!r} are no pauses; write the first, how much longer each next one may be, "
                "and the longest, for example 5s,2,10m",
                param,
                ctx,
            )
        numbers += [float(factor) for factor in rest[:1]]
        numbers += [Duration().convert(longest, param, ctx) for longest in rest[1:]]
        return tuple(numbers)


class When(click.ParamType["datetime | None"]):
    """A moment, such as `2026-01-31T09:00:00Z`, a duration from now, or `now`."""

    name = "moment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "datetime | None":
        """Return the moment, or `None` for now."""
        from datetime import UTC, datetime, timedelta

        from orchestrator.kernel.clock import SystemClock

        text = str(value).strip()
        if text == "now":
            return None
        if _WHOLE.fullmatch(text):
            later_s = Duration().convert(text, param, ctx)
            try:
                return datetime.fromtimestamp(SystemClock().now(), UTC) + timedelta(seconds=later_s)
            except OverflowError:
                self.fail(f"{text[:100]!r} is behind the end of the calendar", param, ctx)
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            when = None
        if when is None or when.tzinfo is None:
            self.fail(
                f"{text!r} is no moment; write now, a time from now such as 90m, "
                "or a moment with its time zone, such as 2026-01-31T09:00:00Z",
                param,
                ctx,
            )
        return when


class Later(When):
    """A moment that is still to come, or a duration from now."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "datetime":
        """Return the moment; `now` is none that is still to come."""
        when = super().convert(value, param, ctx)
        if when is None:
            self.fail("now is over before anything could begin; write a later moment", param, ctx)
        return when


class Assignment(click.ParamType[tuple[str, str | None]]):
    """`NAME=VALUE`; where a bare `NAME` is allowed its value is `None`."""

    name = "name=value"

    def __init__(self, *, bare: bool = False) -> None:
        self._bare = bare

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str | None]:
        """Return name and value."""
        name, equals, text = str(value).partition("=")
        if not name or (not equals and not self._bare):
            self.fail(f"{value!r} is no assignment; write NAME=VALUE", param, ctx)
        return name, text if equals else None


class Address(click.ParamType[tuple[str, int]]):
    """`HOST:PORT`, as two values; an IPv6 address stands in brackets."""

    name = "host:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return host and port."""
        match = _ADDRESS.fullmatch(str(value))
        if match is None or int(match["port"]) > 65_535:
            self.fail(f"{value!r} is no address; write 127.0.0.1:8700 or [::1]:8700", param, ctx)
        return match["host"].strip("[]"), int(match["port"])


class JobId(click.ParamType[str]):
    """The id of a job."""

    name = "job id"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the id."""
        if not is_id("job", str(value)):
            self.fail(
                f"{value!r} is no job id; one looks like job_ and 26 letters and digits, "
                "and `orchestrator jobs list` shows them",
                param,
                ctx,
            )
        return str(value)


class PlainName(click.ParamType[str]):
    """The name of a queue, a schedule, a worker, or an id in its place; it stands in an address."""

    def __init__(self, noun: str, most: int) -> None:
        self.name = noun
        self._most = most

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the name."""
        text = str(value)
        if not _PLAIN_NAME.fullmatch(text) or len(text) > self._most:
            self.fail(
                f"{text[:100]!r} is no name of a {self.name}; write letters, digits, dots, _ "
                f"and -, at most {self._most} of them",
                param,
                ctx,
            )
        return text


class IdempotencyKey(click.ParamType[str]):
    """What tells a request that is sent again from a new one."""

    name = "key"

    def __init__(self, most: int = limits.IDEMPOTENCY_KEY_CHARS) -> None:
        self._most = most

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the key."""
        text = str(value)
        if not _KEY.fullmatch(text) or len(text) > self._most:
            rule = f"it has 1 to {self._most} visible ASCII letters"
            self.fail(f"{text!r} is no key; {rule}", param, ctx)
        return text


class Misfires(click.ParamType[dict[str, object]]):
    """What is made up for: `skip`, `latest`, `all` or `all:N`."""

    name = "misfires"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, object]:
        """Return the fields of the API."""
        word, colon, most = str(value).partition(":")
        if word not in {*Misfire} or (colon and word != "all"):
            self.fail(f"{str(value)!r} is not skip, latest, all or all:N", param, ctx)
        if not colon:
            return {"misfire": word}
        if not most.isdecimal() or not 1 <= int(most) <= limits.SCHEDULE_MADE_UP:
            rule = f"write all:1 to all:{limits.SCHEDULE_MADE_UP}"
            self.fail(f"{most!r} is no number of moments; {rule}", param, ctx)
        return {"misfire": word, "misfire_max": int(most)}


class Comment(click.ParamType[str]):
    """A few words for those who look at a job later."""

    name = "text"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the text."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{text!a} is not UTF-8; {_COMMENT_RULE}", param, ctx)
        if len(text) > limits.LABEL_CHARS:
            self.fail(f"it has {len(text):,} characters; {_COMMENT_RULE}", param, ctx)
        return text


class Reason(click.ParamType[str]):
    """Why something is done to a worker: a line that stands in its status."""

    name = "text"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the text."""
        text = str(value)
        if not text.strip() or not text.isprintable():
            self.fail(f"{text[:100]!r} is no line of text; write a few words", param, ctx)
        if len(text) > limits.REASON_CHARS:
            rule = f"write at most {limits.REASON_CHARS}"
            self.fail(f"it has {len(text):,} characters; {rule}", param, ctx)
        return text


class HoldTime(Duration):
    """For how long a worker is held."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        seconds = super().convert(value, param, ctx)
        if not 0 < seconds <= limits.HOLD_MAX_S:
            self.fail(f"{str(value)!r} is not between 1ms and 366d", param, ctx)
        return seconds


job_argument = click.argument("job_id", metavar="ID", type=JobId())
queue_argument = click.argument(
    "queue", metavar="NAME", type=PlainName("queue", limits.QUEUE_CHARS)
)
SCHEDULE_NAME: Final = PlainName("schedule", limits.TAG_CHARS)
schedule_argument = click.argument("schedule", metavar="NAME", type=SCHEDULE_NAME)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the API's JSON instead of words."
)
patience_option = click.option(
    "--reconnect-for",
    "patience_s",
    type=Duration(),
    default="60",
    show_default=True,
    metavar="DURATION",
    help="How long to look for a server that is gone.",
)
raw_option = click.option(
    "--raw", is_flag=True, help="Do not escape control characters on a terminal."
)
