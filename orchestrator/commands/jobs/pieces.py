"""The pieces of a job's output that exist by now, read page by page.

It follows nothing: a job that still runs may write more, and `follow` is for that. One page is held
at a time, so the length of the output does not matter.
"""

from collections.abc import Iterator
from typing import Any

from orchestrator.commands import output
from orchestrator.commands.jobs.follow import BOTH, JsonLines, Show, Streams
from orchestrator.commands.remote import Remote
from orchestrator.protocol.views import OutputPage, Page


class WrittenPage(Page[Any]):
    """A page of pieces as they were written; `eof` says that no more will ever come."""

    eof: bool = False


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
    after = None
    while True:
        answer = remote.output(job_id, attempt=attempt, after=after)
        page = answer.read(OutputPage)
        for frame in page.items:
            show.frame(frame, "")
        if page.eof or not page.items or page.next_cursor == after:
            show.finish()
            return
        after = page.next_cursor


class Document:
    """What there is as one document of the API's form, page by page, however long it is."""

    def __init__(self, remote: Remote, job_id: str, *, attempt: int | None, stream: str) -> None:
        self._remote = remote
        self._job_id = job_id
        self._attempt = attempt
        self._stream = stream
        self._cursor: str | None = None
        self._eof = False

    def print(self) -> None:
        """Write it."""
        output.long_document(self._items(), lambda: {"next_cursor": self._cursor, "eof": self._eof})

    def _items(self) -> Iterator[Any]:
        while True:
            answer = self._remote.output(self._job_id, attempt=self._attempt, after=self._cursor)
            page = answer.read(WrittenPage)
            yield from (item for item in page.items if self._stream in {"both", item.get("stream")})
            over = page.eof or not page.items or page.next_cursor == self._cursor
            self._cursor, self._eof = page.next_cursor, page.eof
            if over:
                return
