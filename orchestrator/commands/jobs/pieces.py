"""The pieces of a job's output that exist by now, read page by page.

It follows nothing: a job that still runs may write more, and `follow` is for that. One page is held
at a time, so the length of the output does not matter.
"""

from collections.abc import Iterator
from typing import Any

from orchestrator.commands import output
from orchestrator.commands.jobs.ending import incomplete
from orchestrator.commands.jobs.follow import BOTH, JsonLines, Show, Streams
from orchestrator.commands.remote import Remote
from orchestrator.protocol.views import OutputPage, Page


class WrittenPage(Page[Any]):
    """A page of pieces as they were written; `eof` says that no more will ever come."""

    eof: bool = False
    missing_bytes: int = 0


def show_for(stream: str, *, raw: bool, as_json: bool) -> Show:
    """Return where pieces go: each stream to its own, or one alone to standard output."""
    if as_json:
        return JsonLines(BOTH if stream == "both" else frozenset({stream}))
    if stream == "both":
        return Streams(output.out(raw=raw), output.err(raw=raw))
    sink = output.out(raw=raw)
    return Streams(sink if stream == "stdout" else None, sink if stream == "stderr" else None)


def print_until_now(remote: Remote, job_id: str, attempt: int | None, show: Show) -> None:
    """Show what there is."""
    place = _Place()
    while not place.is_last:
        answer = remote.output(job_id, attempt=attempt, after=place.cursor)
        page = answer.read(OutputPage)
        for frame in page.items:
            show.frame(frame, "")
        place.move(page.next_cursor, empty=not page.items, eof=page.eof)
        if page.eof and page.missing_bytes:
            show.remark(incomplete(page.missing_bytes))
    show.finish()


class _Place:
    """How far the output has been read, and whether that was all of it."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.is_last = False
        self._looked_twice = False

    def move(self, cursor: str | None, *, empty: bool, eof: bool) -> None:
        """Note a page. An empty one is asked for twice: output that was just cut shows its gap."""
        self.is_last = eof or cursor is None or (empty and self._looked_twice)
        self._looked_twice = empty
        self.cursor = cursor


def print_document(remote: Remote, job_id: str, attempt: int | None, stream: str) -> None:
    """Print what there is as one document of the API's form, page by page, however long it is."""
    place = _Place()
    rest: dict[str, object] = {}

    def items() -> Iterator[Any]:
        while not place.is_last:
            answer = remote.output(job_id, attempt=attempt, after=place.cursor)
            page = answer.read(WrittenPage)
            yield from (item for item in page.items if stream in {"both", item.get("stream")})
            place.move(page.next_cursor, empty=not page.items, eof=page.eof)
            rest.update(next_cursor=place.cursor, eof=page.eof, missing_bytes=page.missing_bytes)

    output.long_document(items(), lambda: rest)
