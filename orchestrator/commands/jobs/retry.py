"""`orchestrator jobs retry`: ask again for what a finished job asked for, perhaps a little changed.

A finished job never changes; this makes a new one, which names the old one.
"""

import json
import secrets
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from orchestrator.commands import json_text, output
from orchestrator.commands.checked import checked
from orchestrator.commands.jobs.bulk import chosen, give, where_options
from orchestrator.commands.options import Assignment, JobId, json_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol.words import BulkAction

if TYPE_CHECKING:
    from orchestrator.protocol.jobs import JobSpec


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    job_id: str | None
    q: str | None
    dry_run: bool
    yes: bool
    edit: bool
    changes: tuple[tuple[str, str | None], ...]
    as_json: bool


@click.command()
@click.argument("job_id", metavar="[ID]", type=JobId(), required=False)
@where_options
@click.option("--edit", is_flag=True, help="Change what is asked for in your $EDITOR first.")
@click.option(
    "--set",
    "changes",
    type=Assignment(),
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one thing: timeout_s=600, env.MODE=fast, params.argv='[\"make\"]'.",
)
@json_option
@click.pass_obj
def retry(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Submit what a finished job asked for as a new job, and print its id."""
    from orchestrator.commands.jobs import ending, patience
    from orchestrator.protocol.views import JobDetail, JobView

    job_id = options["job_id"] or ""
    where = chosen(job_id, options["q"], dry_run=options["dry_run"], yes=options["yes"])
    if where is not None:
        if options["edit"] or options["changes"]:
            raise click.UsageError("--where repeats jobs as they were: leave --edit and --set out")
        return give(surroundings, BulkAction.RETRY, where, as_json=options["as_json"])
    with surroundings.connect() as remote:
        spec = None
        if options["edit"] or options["changes"]:
            asked = remote.job(job_id).read(JobDetail).spec
            for key, text in options["changes"]:
                _put(asked, key, text or "")
            spec = _edited(asked) if options["edit"] else _checked(asked)
        answer = remote.retry(job_id, spec, key=secrets.token_urlsafe(24))
    if options["as_json"]:
        output.document(answer.body)
        return 0
    job = answer.read(JobView)
    output.data(job.id)
    output.say(f"{job.id} is {ending.short(job)}, to repeat {job_id}")
    output.advise(*patience.next_steps(job.id))
    return 0


def _put(spec: dict[str, Any], key: str, text: str) -> None:
    """Change what a dotted key names; a value that is no JSON is a text."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    *path, last = key.split(".")
    place = spec
    for name in path:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise click.BadParameter(
                f"{key!r} leads into {name!r}, which has nothing below it", param_hint="--set"
            )
    # What stands there as text stays text: --set env.PORT=80.
    place[last] = text if isinstance(place.get(last), str) or path[:1] == ["env"] else value


def _edited(spec: dict[str, Any]) -> "JobSpec":
    text = click.edit(json.dumps(spec, indent=2) + "\n", extension=".json")
    if text is None:
        raise click.UsageError("nothing was saved in the editor, so nothing was submitted")
    try:
        asked = json_text.read(text)
    except ValueError as error:
        raise click.UsageError(f"what was saved is not JSON: {error}") from None
    return _checked(asked)


def _checked(asked: Any) -> "JobSpec":  # noqa: ANN401 - whatever somebody wrote
    from orchestrator.protocol.jobs import JobSpec

    return checked(
        JobSpec,
        asked,
        option=lambda field: field or "the job",
        hint="orchestrator jobs show --json has what the job asked for, as spec",
    )
