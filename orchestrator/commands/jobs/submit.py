"""`orchestrator jobs submit`: ask for something to be done, and perhaps stay to see it.

It decides nothing about jobs. What was typed becomes a spec in `request`, a folder becomes a file
in `upload`, and whoever stays is served by `follow`.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.jobs.place import PlaceOptions, place_of, place_options
from orchestrator.commands.jobs.uniqueness import UniqueOptions, unique_of, unique_options
from orchestrator.commands.options import (
    Assignment,
    Duration,
    IdempotencyKey,
    JobId,
    Later,
    Pauses,
    json_option,
    patience_option,
    raw_option,
)
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits
from orchestrator.protocol.words import OnFailure

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.client.answers import Answer
    from orchestrator.commands.jobs.request import Asked
    from orchestrator.commands.remote import Remote
    from orchestrator.protocol.jobs import JobSpec

Pairs = tuple[tuple[str, str | None], ...]


class Options(UniqueOptions, PlaceOptions):
    """What click hands over, by the names of the parameters."""

    command: tuple[str, ...]
    name: str | None
    env: Pairs
    cwd: str | None
    tags: tuple[str, ...]
    requires: str | None
    stdin: str | None
    priority: int | None
    timeout_s: float | None
    silence_s: float | None
    grace_s: float | None
    retries: int | None
    retry_on: tuple[str, ...]
    backoff: tuple[float, ...] | None
    max_lost: int | None
    at_most_once: bool
    reattach_window_s: float | None
    after: tuple[str, ...]
    after_end: tuple[str, ...]
    if_it_fails: str | None
    queue_ttl_s: float | None
    expires_at: "datetime | None"
    deadline_s: float | None
    labels: Pairs
    kind: str | None
    params: str | None
    shell: str | None
    upload: str | None
    exclude: tuple[str, ...]
    wait: bool
    follow: bool
    as_json: bool
    idempotency_key: str | None
    patience_s: float
    raw: bool


_DURATION: Final = Duration()
_EXAMPLES: Final = """\b
orchestrator jobs submit -- make test
orchestrator jobs submit --follow --shell 'make 2>&1 | tee log'
orchestrator jobs submit --upload ./project --follow -- make test
orchestrator jobs submit --kind delay --params '{"ms": 20}' --wait
"""


@click.command(context_settings={"allow_interspersed_args": False}, epilog=_EXAMPLES)
@click.option("--name", help="What people call the job.")
@click.option(
    "--env",
    type=Assignment(bare=True),
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A variable of the job; without a value, yours is taken.",
)
@click.option("--cwd", metavar="FOLDER", help="Where to run, relative to the worker's directory.")
@click.option(
    "--tag", "tags", multiple=True, help="A tag that the worker must have; may be repeated."
)
@click.option(
    "--requires",
    metavar="EXPRESSION",
    help="What its tags must meet: 'linux && (gpu || cuda>=12) && !shared'.",
)
@click.option(
    "--stdin",
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="What the command reads; without a file, what you pipe in.",
)
@click.option("--priority", type=int, help="-100 to 100; higher goes first.")
@click.option("--timeout", "timeout_s", type=_DURATION, help="The longest run (1h by default).")
@click.option("--silence", "silence_s", type=_DURATION, help="The longest time without output.")
@click.option(
    "--grace",
    "grace_s",
    type=_DURATION,
    help="From SIGTERM to SIGKILL (the worker's, usually 10s).",
)
@click.option(
    "--retries",
    type=click.IntRange(0, limits.ATTEMPTS_MAX - 1),
    help="How often a failed command is tried again (0).",
)
@click.option(
    "--retry-on",
    multiple=True,
    metavar="FAILURE,…",
    help="Which failures: exit:75, exit:1-5, timeout, signal, spawn_error, … (any).",
)
@click.option(
    "--backoff",
    type=Pauses(),
    metavar="FIRST[,FACTOR[,LONGEST]]",
    help="The pauses before retries, each drawn below its limit (2s,2,5m).",
)
@click.option(
    "--max-lost",
    type=click.IntRange(0, limits.ATTEMPTS_MAX),
    help=f"How often it is tried again when its worker was lost ({limits.LOST_DEFAULT}).",
)
@click.option(
    "--at-most-once", is_flag=True, help="Never start it a second time, whatever becomes of it."
)
@click.option(
    "--reattach-window",
    "reattach_window_s",
    type=_DURATION,
    help="How long a lost worker of an --at-most-once job is waited for (15m).",
)
@click.option("--after", type=JobId(), multiple=True, help="Begin when this job has succeeded.")
@click.option(
    "--after-end", type=JobId(), multiple=True, help="Begin when this job is over, in any way."
)
@click.option(
    "--if-it-fails",
    type=click.Choice([word.value for word in OnFailure]),
    help="What becomes of this one when an --after does not succeed (fail).",
)
@click.option(
    "--start-within",
    "queue_ttl_s",
    type=_DURATION,
    help="Let it expire if nobody has started it by then.",
)
@click.option(
    "--expires-at",
    type=Later(),
    metavar="WHEN",
    help="The same as a moment: 90m, 2026-01-31T09:00:00Z.",
)
@click.option(
    "--deadline",
    "deadline_s",
    type=_DURATION,
    help="From now to the end of its last try: end and fail it then.",
)
@click.option("--label", "labels", type=Assignment(), multiple=True, help="A note on the job.")
@place_options
@unique_options
@click.option("--kind", metavar="KIND", help="The kind of job, if it is no command.")
@click.option("--params", metavar="JSON|@FILE", help="What a kind is given.")
@click.option("--shell", metavar="SCRIPT", help="A script for /bin/sh instead of a command.")
@click.option(
    "--upload",
    metavar="DIR|ZIP",
    help="Run in a fresh copy of this folder or zip file.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out of the upload, as a line of .orchestratorignore does.",
)
@click.option("--wait", is_flag=True, help="Wait for the end: 0 if it succeeded, 1 if not.")
@click.option("--follow", is_flag=True, help="Show the output and end with the job's own code.")
@click.option(
    "--idempotency-key",
    type=IdempotencyKey(),
    metavar="KEY",
    help="The same key never makes two jobs.",
)
@json_option
@patience_option
@raw_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[--] [CMD]...")
@click.pass_obj
def submit(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Submit a job and print its id."""
    if options["wait"] and options["follow"]:
        raise click.UsageError("--wait and --follow exclude each other: --follow waits, too")
    if options["exclude"] and options["upload"] is None:
        raise click.UsageError("--exclude says what not to upload: it needs --upload")
    check_policy(options)
    from orchestrator.commands.jobs.request import spec_of

    spec = spec_of(asked_of(surroundings, options))  # a typing error costs no connection
    with surroundings.connect() as remote:
        if options["upload"] is not None:
            spec = _with_upload(remote, spec, options)
        answer = _submitted(remote, spec, options["idempotency_key"] or secrets.token_urlsafe(24))
        return _stay(remote, answer, options)


def check_policy(options: Options) -> None:
    """Refuse what contradicts itself, or would quietly mean nothing."""
    for given, name in ((options["retry_on"], "--retry-on"), (options["backoff"], "--backoff")):
        if given and not options["retries"]:
            raise click.UsageError(f"{name} is about retries: say how many, with --retries N")
    again = {"--retries": options["retries"], "--max-lost": options["max_lost"]}
    for name, count in again.items():
        if options["at_most_once"] and count:
            raise click.UsageError(f"--at-most-once and {name} {count} exclude each other")
    if options["if_it_fails"] is not None and not options["after"]:
        raise click.UsageError(
            "--if-it-fails is about a job that must succeed: name it with --after"
        )
    if options["queue_ttl_s"] is not None and options["expires_at"] is not None:
        raise click.UsageError("--start-within and --expires-at exclude each other")
    if options["reattach_window_s"] is not None and not options["at_most_once"]:
        raise click.UsageError(
            "--reattach-window is for --at-most-once: any other job is given to somebody else"
        )


def asked_of(surroundings: Surroundings, options: Options) -> "Asked":
    """Return what was typed about the job."""
    from orchestrator.commands.jobs.request import Asked

    return Asked(
        command=options["command"],
        shell=options["shell"],
        kind=options["kind"],
        params=options["params"],
        cwd=options["cwd"],
        stdin=_stdin(options["stdin"]),
        name=options["name"],
        env=_env(options["env"], surroundings.environ),
        tags=options["tags"],
        requires=options["requires"],
        labels={name: text or "" for name, text in options["labels"]},
        unique=unique_of(options),
        place=place_of(options),
        priority=options["priority"],
        timeout_s=options["timeout_s"],
        silence_s=options["silence_s"],
        grace_s=options["grace_s"],
        retries=options["retries"],
        retry_on=[word.strip() for text in options["retry_on"] for word in text.split(",")],
        backoff=options["backoff"],
        max_lost=options["max_lost"],
        at_most_once=options["at_most_once"],
        reattach_window_s=options["reattach_window_s"],
        after=options["after"],
        after_end=options["after_end"],
        if_it_fails=options["if_it_fails"],
        queue_ttl_s=options["queue_ttl_s"],
        expires_at=options["expires_at"],
        deadline_s=options["deadline_s"],
    )


def _env(pairs: Pairs, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the job's variables; one without a value keeps a secret off our command line."""
    env = {}
    for name, text in pairs:
        if text is None and name not in environ:
            raise click.BadParameter(
                f"{name!r} has no value, neither here nor in your environment; write {name}=VALUE",
                param_hint="--env",
            )
        env[name] = environ[name] if text is None else text
    return env


def _stdin(source: str | None) -> bytes | None:
    if source is None:
        return None
    if source == "-":
        return output.read_stdin(limits.STDIN_BYTES)
    try:
        with Path(source).open("rb") as file:
            return file.read(limits.STDIN_BYTES + 1)
    except OSError as error:
        raise click.BadParameter(
            f"{source!r} cannot be read: {error.strerror}", param_hint="--stdin"
        ) from None


def _with_upload(remote: "Remote", spec: "JobSpec", options: Options) -> "JobSpec":
    from orchestrator.commands.upload.sending import send
    from orchestrator.protocol.jobs import Input

    stored = send(remote, Path(options["upload"] or "."), options["exclude"])
    return spec.model_copy(update={"inputs": [Input(file=stored.sha256, unpack="zip")]})


def _submitted(remote: "Remote", spec: "JobSpec", key: str) -> "Answer":
    from orchestrator.client.http import CONNECTION_LOST
    from orchestrator.commands.jobs.request import option_of
    from orchestrator.kernel.errors import RequestInvalid, Unavailable

    try:
        return remote.submit(spec, key=key)
    except RequestInvalid as error:
        error.fields = tuple((option_of(field) or field, fault) for field, fault in error.fields)
        raise
    except Unavailable as error:
        if error.problem_code == CONNECTION_LOST:
            error.hint = (
                "nobody knows whether the job was accepted; submit it again with "
                f"--idempotency-key {key}, and it is never there twice"
            )
        raise


def _stay(remote: "Remote", answer: "Answer", options: Options) -> int:
    from orchestrator.commands.jobs import ending, patience, staying
    from orchestrator.protocol.views import JobView

    job = answer.read(JobView)
    manner = staying.Manner(options["patience_s"], options["raw"], options["as_json"])
    if options["follow"]:
        return staying.follow_submitted(remote, job, manner)
    if options["as_json"] and not options["wait"]:
        output.document(answer.body)
        return 0
    if not options["as_json"]:
        output.data(job.id)
    if options["wait"]:
        return staying.wait(remote, job.id, manner, known=True)
    already = "there already, and " if job.existing else ""
    output.say(f"{job.id} is {already}{ending.short(job)}")
    output.advise(*patience.next_steps(job.id))
    return 0
