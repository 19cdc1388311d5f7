"""Lists of jobs: which jobs a filter means, a page at a time.

A page looks at a bounded stretch of jobs, so it costs the same whether a database holds a thousand
or a million. What an index finds (a state, a name, a group of failures, or no filter at all) fills
its page at once; for anything else a page may hold few jobs, or none, and still say where to go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic_core import to_json

from orchestrator.core.job_filter import JobFilter, Span
from orchestrator.protocol.ids import RANDOM_BYTES, make_id
from orchestrator.protocol.views import JobView
from orchestrator.server.operations.jobs import queued
from orchestrator.server.operations.pending import why_waiting
from orchestrator.server.operations.views import SELECT_JOB, job_view
from orchestrator.server.store.interface import Reader, Value
from orchestrator.server.store.statement import Statement

SCANNED: Final = 10_000
"""Jobs that one page looks at: a twentieth of a second of a reader."""
_ID_SLACK_US: Final = 3600 * 1_000_000
"""An id is made before its job is stored, and maybe by another clock."""
_LAST: Final = "job_~"
"""Behind every id."""
_HAS_TAG: Final = Statement(
    """EXISTS (
        SELECT 1 FROM job_spec, json_each(job_spec.spec, '$.requires.tags') AS tag
        WHERE job_spec.job_id = job.id AND tag.value = {tag}
    )""",
    postgres="""EXISTS (
        SELECT 1 FROM job_spec WHERE job_spec.job_id = job.id
            AND jsonb_exists(CAST(job_spec.spec AS jsonb) #> '{requires,tags}', {tag})
    )""",
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: behind this job. New jobs never shift the pages."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of jobs in the order of the list; `following` is `None` where nothing follows."""

    ids: list[str]
    following: Cursor | None


class _Conditions:
    """The conditions of some filters, for both databases, with their parameters.

    `after` and `before` are ids between which all jobs lie, and the only conditions on ids there
    are: a database begins and ends its search at one bound each, and is blind to a second.
    """

    def __init__(self) -> None:
        self.params: dict[str, Value] = {}
        self.streams: list[str] = [""]
        self.rest: list[str] = []
        self.rest_postgres: list[str] = []
        self.after = ""
        self.before = _LAST

    def param(self, value: Value) -> str:
        """Return the place of a value."""
        name = f"value_{len(self.params)}"
        self.params[name] = value
        return f":{name}"

    def must(self, condition: str, postgres: str | None = None) -> None:
        """Add a condition."""
        self.rest.append(condition)
        self.rest_postgres.append(condition if postgres is None else postgres)

    def one_of(self, column: str, values: frozenset[str], *, indexed: bool = False) -> None:
        """Demand one of some values, if there are any; an index may find them in order."""
        if not values:
            return
        places = [self.param(value) for value in sorted(values)]
        if indexed and self.streams == [""]:
            self.streams = [f" AND {column} = {place}" for place in places]
        else:
            self.must(f"{column} IN ({', '.join(places)})")

    def between(self, *, after: str = "", before: str = _LAST) -> None:
        """Narrow the ids; both ends are outside."""
        self.after, self.before = max(self.after, after), min(self.before, before)


def find_jobs(  # noqa: PLR0913  # what a page is
    reader: Reader,
    filters: Sequence[JobFilter],
    *,
    cursor: Cursor | None,
    limit: int,
    oldest_first: bool = False,
    upto: str | None = None,
    scanned: int = SCANNED,
) -> Found:
    """Return the ids of jobs that all filters mean, and where to go on.

    With `upto`, no job behind it: it was not there yet when somebody looked.
    """
    asked = _Conditions()
    for wanted in filters:
        _demand(asked, wanted)
    if upto is not None:
        asked.between(before=f"{upto}~")
    if cursor is not None and oldest_first:
        asked.between(after=cursor.job_id)
    elif cursor is not None:
        asked.between(before=cursor.job_id)
    order = "" if oldest_first else "DESC"
    end = _end_of_scan(reader, asked, order, scanned) if asked.rest else None
    if end is not None and oldest_first:
        asked.between(before=f"{end}~")
    elif end is not None:
        asked.between(after=_just_before(end))
    found: list[str] = []
    for stream in asked.streams:
        sql = _both(
            f"SELECT job.id FROM job WHERE job.id > :after AND job.id < :before{stream}{{}} "
            f"ORDER BY job.id {order} LIMIT :limit",
            asked,
        )
        bounds: dict[str, Value] = {
            "after": asked.after,
            "before": asked.before,
            "limit": limit + 1,
        }
        found += [job_id for (job_id,) in reader.tuples(sql, **asked.params, **bounds)]
    found = sorted(found, reverse=not oldest_first)
    if len(found) > limit:
        return Found(found[:limit], Cursor(found[limit - 1]))
    return Found(found, None if end is None else Cursor(end))


def _just_before(job_id: str) -> str:
    """Return a text behind every id that sorts before this one."""
    return f"{job_id[:-1]}{chr(ord(job_id[-1]) - 1)}~"


def _end_of_scan(reader: Reader, asked: _Conditions, order: str, scanned: int) -> str | None:
    """Return the last job that this page looks at, or `None` if it looks at all that are left."""
    ends: list[str] = []
    for stream in asked.streams:
        sql = (
            f"SELECT job.id FROM job WHERE job.id > :after AND job.id < :before{stream} "
            f"ORDER BY job.id {order} LIMIT 1 OFFSET :scanned"
        )
        bounds: dict[str, Value] = {
            "after": asked.after,
            "before": asked.before,
            "scanned": scanned - 1,
        }
        ends += [job_id for (job_id,) in reader.tuples(sql, **asked.params, **bounds)]
    if not ends:
        return None
    return max(ends) if order else min(ends)


def _both(sql: str, asked: _Conditions) -> Statement:
    ours, theirs = (
        sql.format("".join(f" AND {condition}" for condition in some))
        for some in (asked.rest, asked.rest_postgres)
    )
    return Statement(ours, postgres=theirs)


def list_jobs(
    reader: Reader,
    wanted: JobFilter | Sequence[JobFilter] = (),
    *,
    cursor: Cursor | None,
    limit: int,
    oldest_first: bool = False,
) -> tuple[list[JobView], Cursor | None]:
    """Return a page of jobs, the newest first, and where to go on if there may be more."""
    filters = [wanted] if isinstance(wanted, JobFilter) else wanted
    found = find_jobs(reader, filters, cursor=cursor, limit=limit, oldest_first=oldest_first)
    if not found.ids:
        return [], found.following
    names = {f"id_{index}": job_id for index, job_id in enumerate(found.ids)}
    places = ", ".join(f":{name}" for name in names)
    rows = reader.rows(f"{SELECT_JOB} WHERE job.id IN ({places})", **names)
    rows.sort(key=lambda row: str(row["id"]), reverse=not oldest_first)
    waiting = why_waiting(reader, queued(rows))
    return [job_view(row, waiting) for row in rows], found.following


def _demand(asked: _Conditions, wanted: JobFilter) -> None:
    """Add what one filter wants; what an index finds comes first."""
    asked.one_of("job.id", wanted.ids, indexed=True)
    asked.one_of("job.fingerprint", wanted.fingerprints, indexed=True)
    asked.one_of("job.name", wanted.names, indexed=True)
    asked.one_of("job.state", frozenset(state.value for state in wanted.states), indexed=True)
    asked.one_of("job.kind", wanted.kinds)
    asked.one_of("job.queue", wanted.queues)
    asked.one_of("job.owner", wanted.owners)
    asked.one_of("job.reason", frozenset(reason.value for reason in wanted.reasons))
    if wanted.workers:
        places = ", ".join(asked.param(name) for name in sorted(wanted.workers))
        asked.must(f"job.worker_id IN (SELECT id FROM worker WHERE name IN ({places}))")
    for key, value in sorted(wanted.labels, key=str):
        _demand_label(asked, key, value)
    for tag in sorted(wanted.tags):
        place = asked.param(tag)
        asked.must(_HAS_TAG.replace("{tag}", place), _HAS_TAG.postgres.replace("{tag}", place))
    for text in wanted.texts:
        place = asked.param(text)
        asked.must(
            f"(replace(lower(job.summary), lower({place}), '') <> lower(job.summary) "
            f"OR replace(lower(job.name), lower({place}), '') <> lower(job.name) "
            f"OR job.id = {place})"
        )
    _demand_span(asked, "job.created_us", wanted.created)
    _demand_span(asked, "job.finished_us", wanted.finished)
    _demand_ids_of(asked, wanted.created)


def _demand_label(asked: _Conditions, key: str, value: str | None) -> None:
    """Look for a label in the JSON of the row: as its first, or a later one.

    It is exact, because inside a JSON string every quote has a backslash before it: `{"` and `,"`
    can only begin a key. It is not LIKE, which is blind to case on one database alone.
    """
    pair = to_json({key: value or ""}).decode()[1:-1]
    text = pair if value is not None else pair[:-2]
    first, later = asked.param(f"{{{text}"), asked.param(f",{text}")
    asked.must(
        f"(replace(job.labels, {first}, '') <> job.labels "
        f"OR replace(job.labels, {later}, '') <> job.labels)"
    )


def _demand_span(asked: _Conditions, column: str, span: Span) -> None:
    if span.after_us is not None:
        asked.must(f"{column} > {asked.param(span.after_us)}")
    if span.before_us is not None:
        asked.must(f"{column} < {asked.param(span.before_us)}")


def _demand_ids_of(asked: _Conditions, created: Span) -> None:
    """Let the order of the ids, which begin with a moment, end the search early."""
    if created.after_us is not None:
        asked.between(after=_id_at(created.after_us - _ID_SLACK_US))
    if created.before_us is not None:
        asked.between(before=_id_at(created.before_us + _ID_SLACK_US))


def _id_at(at_us: int) -> str:
    return make_id("job", at_ms=min(max(0, at_us // 1000), 2**48 - 1), random=bytes(RANDOM_BYTES))
