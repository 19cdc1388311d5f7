"""How models of the wire behave: requests are strict, replies are tolerant.

A request with a field that we do not know is refused, because ignoring what somebody asked for is
worse than saying no. A reply may grow: an older client reads what it knows.

A model is built when it is first used (`defer_build`; pydantic does that behind a lock), because a
program needs few of them: every start is shorter by a tenth of a second of a busy processor.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from orchestrator.protocol import limits

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Request(BaseModel):
    """What somebody sends: strict types, unknown fields refused."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        val_json_bytes="base64",
        ser_json_bytes="base64",
        allow_inf_nan=False,
        defer_build=True,
    )


class Reply(BaseModel):
    """What somebody is answered: unknown fields are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        val_json_bytes="base64",
        ser_json_bytes="base64",
        defer_build=True,
    )


def without_nul(text: str) -> str:
    """Refuse NUL: SQLite would cut it, PostgreSQL and `execve` would refuse it later."""
    if "\0" in text:
        msg = "must not contain NUL (\\u0000)"
        raise ValueError(msg)
    return text


def printable(text: str) -> str:
    """Refuse control characters in what is shown in tables and logs."""
    if not text.isprintable():
        msg = "must not contain control characters"
        raise ValueError(msg)
    return text


Text = Annotated[str, AfterValidator(without_nul)]
Label = Annotated[str, AfterValidator(printable), AfterValidator(without_nul)]
# The length is checked before the characters, so that its message speaks of characters.
Name = Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARS), AfterValidator(printable)]
Why = Annotated[Label, Field(min_length=1, max_length=limits.REASON_CHARS)]
"""Why somebody does something to a worker or a queue: a line of its status."""
JobId = Annotated[str, StringConstraints(pattern=r"^job_[0-9a-z]{26}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def moment(time_us: int) -> datetime:
    """Return the UTC date and time of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=time_us)


def moment_or_none(time_us: int | None) -> datetime | None:
    """Return `moment(time_us)`, or `None` for what has not happened."""
    return None if time_us is None else moment(time_us)


def microseconds(when: datetime) -> int:
    """Return microseconds since the epoch of an aware date and time, exactly."""
    delta = when - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
