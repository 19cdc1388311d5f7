"""`orchestrator batches submit` and `append`: a file of jobs, in one call or many."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.batches.pieces import batch_argument, counted, short
from orchestrator.commands.options import IdempotencyKey, json_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer
    from orchestrator.commands.batches.lines import Line
    from orchestrator.commands.remote import Remote
    from orchestrator.protocol.batches import BatchRequest

_STDIN_BYTES: Final = 256 * 1024 * 1024
"""Held in memory: more jobs than that are several batches."""
_file = click.argument("file", metavar="FILE|-")
_key = click.option(
    "--idempotency-key",
    "key",
    # Each call has its number behind it.
    type=IdempotencyKey(limits.IDEMPOTENCY_KEY_CHARS - 8),
    metavar="KEY",
    help="The same key never makes a job twice.",
)


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    file: str
    name: str | None
    max_fails: int | None
    stays_open: bool
    key: str | None
    as_json: bool


@click.command()
@_file
@click.option("--name", help="What people call the batch.")
@click.option(
    "--max-fails",
    type=click.IntRange(min=0),
    help="Cancel the rest when more jobs than these fail.",
)
@click.option(
    "--open", "stays_open", is_flag=True, help="Let it take more jobs, until it is closed."
)
@_key
@json_option
@click.pass_obj
def submit(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Submit a batch of jobs, one as JSON on each line of FILE, and print its id."""
    from orchestrator.commands.batches import lines
    from orchestrator.protocol.batches import BatchRequest

    found = _read(options["file"])
    if not found and not options["stays_open"]:
        raise click.UsageError(f"{options['file']} has no jobs; --open submits a batch for later")
    calls = lines.calls(found) or [[]]
    key = options["key"] or secrets.token_urlsafe(24)
    # Not validated here: the server says what is wrong with a name in the words of the API.
    request = BatchRequest.model_construct(
        name=options["name"],
        max_fails=options["max_fails"],
        items=lines.items(calls[0], []),
        open=options["stays_open"] or len(calls) > 1,
    )
    with surroundings.connect() as remote:
        sending = _Sending(remote, key)
        answer = sending.begin(request, calls[0])
        for some in calls[1:]:
            answer = sending.append(some)
        if len(calls) > 1 and not options["stays_open"]:
            answer = sending.close()
    return _told(answer, sending.done, as_json=options["as_json"])


@click.command()
@batch_argument
@_file
@_key
@json_option
@click.pass_obj
def append(
    surroundings: Surroundings, batch_id: str, file: str, key: str | None, *, as_json: bool
) -> int:
    """Add the jobs of FILE to a batch that is open."""
    from orchestrator.commands.batches import lines

    found = _read(file)
    if not found:
        raise click.UsageError(f"{file} has no jobs")
    calls = lines.calls(found)
    with surroundings.connect() as remote:
        sending = _Sending(remote, key or secrets.token_urlsafe(24), batch_id)
        *_, answer = [sending.append(some) for some in calls]
    return _told(answer, sending.done, as_json=as_json)


class _Sending:
    """A file on its way, call after call, each with a key of its own."""

    def __init__(self, remote: "Remote", key: str, batch_id: str = "") -> None:
        self.done: list[str] = []
        self._remote = remote
        self._key = key
        self._batch_id = batch_id
        self._calls = 0

    def _send(self, give: "Callable[..., Answer]", some: "Sequence[Line]") -> "Answer":
        """Send some jobs, once, however often the request is repeated."""
        from orchestrator.commands.batches import lines
        from orchestrator.kernel.errors import RequestInvalid, Unavailable
        from orchestrator.protocol.batches import BatchReply

        self._calls += 1
        try:
            answer = give(key=f"{self._key}-{self._calls}")
        except RequestInvalid as error:
            error.fields = lines.faults(some, error.fields)
            if self.done:
                error.hint = self._way_on("mend these lines, then run the same")
            raise
        except Unavailable as error:
            error.hint = self._way_on("run the same")
            raise
        reply = answer.read(BatchReply)
        self._batch_id = reply.id
        self.done += reply.job_ids
        return answer

    def _way_on(self, what: str) -> str:
        """Return what somebody can do about a file of which not everything arrived."""
        where = f" into {self._batch_id}, which is open" if self.done else ""
        return (
            f"{len(self.done)} jobs were accepted{where}; {what} again with "
            f"--idempotency-key {self._key}, and none is there twice"
        )

    def begin(self, request: "BatchRequest", some: "Sequence[Line]") -> "Answer":
        """Send the first ones, which make the batch."""
        from orchestrator.commands.batches import desk

        return self._send(partial(desk.submit, self._remote, request), some)

    def append(self, some: "Sequence[Line]") -> "Answer":
        """Send some more."""
        from orchestrator.commands.batches import desk, lines
        from orchestrator.protocol.batches import AppendRequest

        request = AppendRequest(items=lines.items(some, self.done))
        return self._send(partial(desk.append, self._remote, self._batch_id, request), some)

    def close(self) -> "Answer":
        """Send no more."""
        from orchestrator.commands.batches import desk

        return desk.close(self._remote, self._batch_id)


def _read(source: str) -> "list[Line]":
    from orchestrator.commands.batches import lines

    try:
        data = output.read_stdin(_STDIN_BYTES) if source == "-" else Path(source).read_bytes()
        return lines.read(data.decode())
    except OSError as error:
        raise click.BadParameter(f"{source!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{source!r} is not UTF-8 (byte {error.start})") from None


def _told(answer: "Answer", job_ids: Sequence[str], *, as_json: bool) -> int:
    from orchestrator.protocol.batches import BatchReply

    reply = answer.read(BatchReply)
    if as_json:
        output.document({**reply.model_dump(mode="json"), "job_ids": list(job_ids)})
        return 0
    output.data(reply.id)
    output.say(f"{reply.id} is {short(reply)}: {counted(reply)}")
    output.advise(
        f"wait for it: orchestrator batches wait {reply.id}",
        f"cancel it: orchestrator batches cancel {reply.id}",
    )
    return 0
