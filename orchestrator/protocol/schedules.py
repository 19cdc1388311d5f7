"""What a person may ask to happen again and again: a schedule, and what is shown of one."""

from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from orchestrator.protocol import limits
from orchestrator.protocol.base import Reply, Request
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.words import (
    PLAIN_NAME,
    DstPolicy,
    FireOrigin,
    FireOutcome,
    FireReason,
    JobState,
    Misfire,
    Overlap,
    ScheduleState,
)

RHYTHMS: Final = ("cron", "every_s", "at")
"""The three ways to say when; a schedule has one of them."""


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone of the IANA's list, or raise `ValueError` for what is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"{name[:100]!r} is no time zone; write one of the IANA's, for example Europe/Berlin"
        raise ValueError(msg) from None


def _known_zone(name: str) -> str:
    zone_of(name)
    return name


ScheduleName = Annotated[str, Field(pattern=f"^{PLAIN_NAME}$", max_length=limits.TAG_CHARS)]
Zone = Annotated[str, Field(min_length=1, max_length=limits.TAG_CHARS), AfterValidator(_known_zone)]
EveryS = Annotated[float, Field(ge=limits.SCHEDULE_EVERY_MIN_S, le=limits.SCHEDULE_EVERY_MAX_S)]


class ScheduleSpec(Request):
    """When a job is to be submitted, again and again or once, and which.

    Exactly one of `cron`, `every_s` and `at` says when. In the strings of the job's `name`,
    `params`, `env` and `labels`, `{{fire_time}}` stands for the moment, in UTC.
    """

    name: ScheduleName
    cron: str | None = Field(default=None, min_length=1, max_length=200)
    every_s: EveryS | None = None
    at: datetime | None = None
    zone: Zone = "UTC"
    dst: DstPolicy = DstPolicy.ONCE
    misfire: Misfire = Misfire.LATEST
    misfire_max: int = Field(default=10, ge=1, le=limits.SCHEDULE_MADE_UP)
    overlap: Overlap = Overlap.SKIP
    jitter_s: float = Field(default=0.0, ge=0, le=limits.SCHEDULE_JITTER_MAX_S)
    start: datetime | None = None
    end: datetime | None = None
    job: JobSpec

    @field_validator("at", "start", "end")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            msg = "give a time zone, for example 2026-01-31T09:00:00Z"
            raise ValueError(msg)
        if value is not None and not 1970 < value.year < 2200:
            msg = "the year must lie between 1971 and 2199"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _one_rhythm(self) -> "ScheduleSpec":
        if sum(getattr(self, name) is not None for name in RHYTHMS) != 1:
            msg = "say when in one way: cron, every_s or at"
            raise ValueError(msg)
        if self.start is not None and self.end is not None and self.end < self.start:
            msg = "end must not come before start"
            raise ValueError(msg)
        if self.job.run_at is not None:
            msg = "job.run_at: the schedule says when, so leave it out"
            raise ValueError(msg)
        if self.job.expires_at is not None:
            msg = "job.expires_at: it would refuse every job behind that moment; say queue_ttl_s"
            raise ValueError(msg)
        return self


class SchedulePatch(Request):
    """What becomes another one of a schedule; what is not named stays, and null is the default."""

    name: ScheduleName | None = None
    cron: str | None = Field(default=None, min_length=1, max_length=200)
    every_s: EveryS | None = None
    at: datetime | None = None
    zone: Zone | None = None
    dst: DstPolicy | None = None
    misfire: Misfire | None = None
    misfire_max: int | None = Field(default=None, ge=1, le=limits.SCHEDULE_MADE_UP)
    overlap: Overlap | None = None
    jitter_s: float | None = Field(default=None, ge=0, le=limits.SCHEDULE_JITTER_MAX_S)
    start: datetime | None = None
    end: datetime | None = None
    job: JobSpec | None = None

    def changed(self, old: ScheduleSpec) -> dict[str, object]:
        """Return the fields of the new spec, which still has to be checked as a whole."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        fields = {name: getattr(old, name) for name in old.model_fields_set}
        if any(given.get(name) is not None for name in RHYTHMS):
            fields = {name: value for name, value in fields.items() if name not in RHYTHMS}
        return {name: value for name, value in (fields | given).items() if value is not None}


class FireView(Reply):
    """A moment of a schedule and what became of it, or of `count` in a row up to `through`.

    `count` is null for more than are counted.
    """

    at: datetime
    local: datetime
    origin: FireOrigin = FireOrigin.RULE
    outcome: FireOutcome
    reason: FireReason | None = None
    detail: str | None = None
    job_id: str | None = None
    job_state: JobState | None = None
    through: datetime | None = None
    count: int | None = 1
    recorded_at: datetime


class ScheduleView(Reply):
    """A schedule. `words` says when it fires; `next_local` is `next_at` by the clocks of `zone`."""

    id: str
    name: str
    owner: str
    state: ScheduleState
    words: str
    zone: str
    next_at: datetime | None = None
    next_local: datetime | None = None
    last: FireView | None = None
    created_at: datetime
    changed_at: datetime
    paused_at: datetime | None = None
    paused_by: str | None = None
    spec: dict[str, object]


class ComingFire(Reply):
    """A moment to come. One that does not fire has a reason; `remark` is for people."""

    at: datetime
    local: datetime
    reason: FireReason | None = None
    remark: str | None = None


class SchedulePreview(Reply):
    """What a schedule would do: in words, and by its next fires, with what is left out between."""

    words: str
    zone: str
    items: list[ComingFire]
