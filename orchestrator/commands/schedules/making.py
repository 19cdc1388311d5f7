"""`orchestrator schedules add` and `edit`: say when, and which job.

The job is said with the options of `jobs submit`, but for those about files and about staying.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from orchestrator.commands import output
from orchestrator.commands.checked import checked
from orchestrator.commands.jobs.submit import asked_of, check_policy, submit
from orchestrator.commands.options import SCHEDULE_NAME, Duration, Misfires, json_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol.words import DstPolicy, Overlap

if TYPE_CHECKING:
    from orchestrator.protocol.base import Request

M = TypeVar("M", bound="Request")
_NOT_OF_A_TEMPLATE: Final = frozenset(
    {
        *("upload", "exclude", "wait", "follow", "as_json", "idempotency_key", "patience_s", "raw"),
        *("after", "after_end", "if_it_fails", "expires_at"),
    }
)
"""What is about one job alone: a schedule's jobs are many, and nobody is there when they begin."""
_JOB: Final = tuple(one for one in submit.params if one.name not in _NOT_OF_A_TEMPLATE)
_LEFT_OUT: Final[Mapping[str, Any]] = {
    str(one.name): () if one.multiple else None
    for one in submit.params
    if isinstance(one, click.Option) and one.name in _NOT_OF_A_TEMPLATE
}
_TIMES: Final = ("at", "start", "end")
_DURATION: Final = Duration()
_NAME: Final = click.Argument(["schedule"], type=SCHEDULE_NAME, metavar="NAME")
"""Before the words of the command, which take all that is left."""
_TIMING: Final = (
    click.Option(["--cron"], metavar="EXPRESSION", help="30 2 * * MON-FRI; six fields: seconds."),
    click.Option(["--every", "every_s"], type=_DURATION, help="An interval: 15m."),
    click.Option(["--at"], metavar="TIME", help="Once: 2027-01-31T09:00, in the zone."),
    click.Option(["--zone"], help="The time zone (UTC): Europe/Berlin."),
    click.Option(
        ["--dst"],
        type=click.Choice([one.value for one in DstPolicy]),
        metavar="POLICY",
        help="What counts where clocks are changed: "
        f"{', '.join(one.value for one in DstPolicy)} (the first).",
    ),
    click.Option(
        ["--misfire"],
        type=Misfires(),
        metavar="skip|latest|all[:N]",
        help="What is made up for after a downtime (latest).",
    ),
    click.Option(
        ["--overlap"],
        type=click.Choice([one.value for one in Overlap]),
        help="What is done while its last job is not over (skip).",
    ),
    click.Option(["--jitter", "jitter_s"], type=_DURATION, help="Up to so much later, by chance."),
    click.Option(["--start"], metavar="TIME", help="Nothing fires before."),
    click.Option(["--end"], metavar="TIME", help="Nothing fires behind it."),
)
_EXAMPLES: Final = """\b
orchestrator schedules add nightly --cron '30 2 * * MON-FRI' --zone Europe/Berlin -- make backup
orchestrator schedules add often --every 15m --overlap queue_one --shell 'sync | tee log'
orchestrator schedules add nightly --cron '30 2 * * *' --dry-run -- make backup
"""


def _job_of(surroundings: Surroundings, options: Mapping[str, Any]) -> dict[str, Any]:
    from orchestrator.commands.jobs.request import spec_of

    given: Any = {**_LEFT_OUT, **options}
    check_policy(given)
    spec = spec_of(asked_of(surroundings, given))
    return spec.model_dump(mode="json", exclude_unset=True)


def _timing_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say when, as the API's JSON has them."""
    fields = {name: options[name] for name in ("cron", "every_s", "zone", "dst", "overlap")}
    fields["jitter_s"] = options["jitter_s"]
    fields |= _times_of(options, options["zone"])
    if options["misfire"] is not None:
        fields |= options["misfire"]
    return {name: value for name, value in fields.items() if value is not None}


def _times_of(options: Mapping[str, Any], zone: str | None) -> dict[str, str | None]:
    """Return its times; those without an offset are by the clocks of the zone."""
    return {name: _time(options[name], zone, name) for name in _TIMES}


def _time(text: str | None, zone: str | None, name: str) -> str | None:
    """Return a time as the API has it; one without an offset is in the zone."""
    if text is None:
        return None
    from datetime import UTC, datetime

    from orchestrator.protocol.schedules import zone_of

    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=zone_of(zone or "UTC"))
        return when.astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        words = str(error) if "time zone" in str(error) else "write 2027-01-31T09:00"
        raise click.BadParameter(f"{text!r} is no time: {words}", param_hint=f"--{name}") from None


def _option_of(field: str) -> str:
    from orchestrator.commands.jobs.request import option_of

    if field.startswith("job."):
        return option_of(field.removeprefix("job.")) or field
    return _OPTIONS.get(field, field)


_OPTIONS: Final[Mapping[str, str]] = {
    **{str(one.name): one.opts[0] for one in _TIMING},
    "misfire_max": "--misfire",
    "name": "the name",
}


def _checked(model: type[M], fields: Mapping[str, Any]) -> M:
    """Return the model, or a refusal that names the options."""
    from orchestrator.kernel.errors import RequestInvalid

    hint = "orchestrator schedules add --help tells what each option takes"
    try:
        return checked(model, fields, option=_option_of, hint=hint)
    except RequestInvalid as error:
        ways = ("cron, every_s or at", "--cron, --every or --at")
        raise RequestInvalid(error.message.replace(*ways), hint=hint, fields=error.fields) from None


@contextmanager
def _in_options() -> Iterator[None]:
    """Let a refusal of the server name options instead of fields of JSON."""
    from orchestrator.kernel.errors import RequestInvalid

    try:
        yield
    except RequestInvalid as error:
        error.fields = tuple((_option_of(field), fault) for field, fault in error.fields)
        raise


@click.command(params=[_NAME, *_TIMING, *_JOB], epilog=_EXAMPLES)
@click.option("--dry-run", is_flag=True, help="Only show when it would fire.")
@json_option
@click.pass_obj
def add(
    surroundings: Surroundings,
    /,
    schedule: str,
    *,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - what each option makes
) -> int:
    """Keep a schedule, and show when it fires next."""
    from orchestrator.commands.schedules import desk, tables
    from orchestrator.commands.schedules.looking import print_preview
    from orchestrator.protocol.schedules import ScheduleSpec, ScheduleView

    job = _job_of(surroundings, options)
    spec = _checked(ScheduleSpec, {"name": schedule, **_timing_of(options), "job": job})
    with surroundings.connect() as remote, _in_options():
        if dry_run:
            print_preview(desk.preview_new(remote, spec), as_json=as_json)
            return 0
        answer = desk.add(remote, spec)
    if as_json:
        output.document(answer.body)
        return 0
    kept = answer.read(ScheduleView)
    output.data(kept.id)
    output.say(f"{kept.name} fires {kept.words}; next: {tables.next_fire(kept)}")
    output.advise(f"see more of it: orchestrator schedules preview {kept.name}")
    return 0


@click.command(params=[_NAME, *_TIMING, *_JOB])
@click.option("--rename", metavar="NAME", help="Call it so from now on.")
@json_option
@click.pass_obj
def edit(
    surroundings: Surroundings,
    /,
    schedule: str,
    *,
    rename: str | None,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - what each option makes
) -> int:
    """Change what is named, from now on; a command is a new job as a whole."""
    from orchestrator.commands.schedules import desk, tables
    from orchestrator.protocol.schedules import SchedulePatch, ScheduleView

    fields = _timing_of(options)
    if rename is not None:
        fields["name"] = rename
    if options["command"] or options["shell"] or options["kind"]:
        fields["job"] = _job_of(surroundings, options)
    elif any(options[str(one.name)] not in (None, (), False) for one in _JOB):
        raise click.UsageError("a job is changed as a whole: give its command, too")
    if not fields:
        raise click.UsageError("there is nothing to change: say what, for example --every 30m")
    patch = _checked(SchedulePatch, fields)
    times = {name for name in _TIMES if options[name] is not None}
    with surroundings.connect() as remote, _in_options():
        if times and options["zone"] is None:  # they are by the clocks that it goes by
            zone = desk.one(remote, schedule).read(ScheduleView).zone
            known = _times_of(options, zone)
            patch = _checked(SchedulePatch, fields | {name: known[name] for name in times})
        answer = desk.edit(remote, schedule, patch)
    if as_json:
        output.document(answer.body)
        return 0
    kept = answer.read(ScheduleView)
    output.say(f"{kept.name} fires {kept.words}; next: {tables.next_fire(kept)}")
    return 0
