"""Speaking to people and to programs: data on standard output, words on standard error.

The one place that prints. It decides by the stream at hand: a terminal gets tables, colour and
escaped control characters; a pipe or file gets plain aligned text and a job's bytes unchanged.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Final, TextIO

from orchestrator.commands.escape import TerminalText, one_line

NAME: Final = "orchestrator"
STRETCH_CHARS: Final = 16
"""What a column that has the rest of the line has at least: the name of a program, and a bit."""
CELL_CHARS: Final = 32
"""One long name must not push everything else off the screen; `show` has it whole."""
Row = Sequence[str]


def set_up() -> None:
    """Never fail on a character that the terminal's encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def for_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person looks at that stream."""
    return stream is not None and not stream.closed and stream.isatty()


def people_read_words() -> bool:
    """Tell whether standard error is a terminal, where progress and advice are welcome."""
    return for_terminal(sys.stderr)


def say(text: str) -> None:
    """Write a line of ours to standard error, told from a job's own by its prefix."""
    print(f"{NAME}: {one_line(text)}", file=sys.stderr, flush=True)


def advise(*lines: str) -> None:
    """Write what a person can do next, below what was said."""
    for line in lines:
        print(f"  {one_line(line)}", file=sys.stderr, flush=True)


def data(text: str) -> None:
    """Write a line of data to standard output."""
    print(one_line(text) if for_terminal(sys.stdout) else text, flush=True)


def document(body: bytes | object) -> None:
    """Write a JSON document: the server's own bytes, or indented for a person."""
    if for_terminal(sys.stdout):
        value = json.loads(body) if isinstance(body, bytes) else body
        print(json.dumps(value, indent=2), flush=True)  # ASCII only, so nothing can act
    else:
        line(body)


def line(body: bytes | object) -> None:
    """Write JSON as one line, for documents that come one after the other."""
    if isinstance(body, bytes) and not for_terminal(sys.stdout):
        out(raw=True).write(body.rstrip(b"\n") + b"\n")
    else:
        print(_compact(json.loads(body) if isinstance(body, bytes) else body), flush=True)


def long_document(items: Iterable[object], rest: Callable[[], Mapping[str, object]]) -> None:
    """Write a list as one document without holding it; `rest` is asked when the items are over."""
    print('{"items":[', end="")
    for number, item in enumerate(items):
        print("," * (number > 0) + _compact(item), end="")
    fields = "".join(f",{json.dumps(name)}:{_compact(value)}" for name, value in rest().items())
    print(f"]{fields}}}", flush=True)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))  # ASCII only, so nothing can act


def table(
    headers: Row, rows: Sequence[Row], *, styles: Sequence[str] = (), stretch: bool = False
) -> None:
    """Write rows below their headers; `styles` colours whole rows on a terminal.

    With `stretch`, the last column is what people look for, and has what is left of each line.
    """
    safe = [[one_line(cell) for cell in row] for row in rows]
    if for_terminal(sys.stdout):
        _rich_table(headers, safe, styles, stretch=stretch)
        return
    widths = [max(map(len, column)) for column in zip(headers, *safe, strict=True)]
    for row in (headers, *safe):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip(), flush=False)
    sys.stdout.flush()


def _rich_table(headers: Row, rows: Sequence[Row], styles: Sequence[str], *, stretch: bool) -> None:
    """Draw as many columns as the terminal has room for: the first ones, which matter most."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    short = [[row[0], *(_shortened(cell) for cell in row[1:])] for row in rows]
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    room = console.width - (STRETCH_CHARS + 2 if stretch else 0)
    columns = list(zip(headers, zip(*short, strict=True), strict=True))
    for header, cells in columns[:-1] if stretch else columns:
        width = max(map(cell_len, (header, *cells)))
        if room - width < 0 and shown.columns:
            break
        room -= width + 2
        shown.add_column(header, no_wrap=True, min_width=width)
    fitting = len(shown.columns)
    if stretch:
        shown.add_column(headers[-1], no_wrap=True)
    for row, whole, style in zip(short, rows, styles or [""] * len(rows), strict=True):
        drawn = [Text(cell, style=style) for cell in row[:fitting]]
        if stretch:
            last = Text(whole[-1], style=style)
            last.truncate(room + STRETCH_CHARS + 2, overflow="ellipsis")
            drawn.append(last)
        shown.add_row(*drawn)
    console.print(shown)


def _shortened(cell: str) -> str:
    return cell if len(cell) <= CELL_CHARS else f"{cell[: CELL_CHARS - 1]}…"


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Write names and values, aligned; what is empty is left out."""
    given = [(name, one_line(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in given), default=0)
    for name, value in given:
        print(f"{name.ljust(width)}  {value}", flush=True)


class Sink:
    """Where a job's bytes go: exactly, or escaped for a terminal."""

    def __init__(self, file: IO[bytes] | None, *, terminal: bool, raw: bool) -> None:
        self._file = file
        self._terminal = terminal
        self._text = TerminalText() if terminal and not raw else None
        self._open_line = False

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write, and flush at once: somebody watches."""
        shown = data
        if self._text is not None:
            shown = self._text.feed(data, final=final).encode("utf-8", "backslashreplace")
        if shown and self._file is not None:
            self._file.write(shown)
            self._file.flush()
            self._open_line = not shown.endswith(b"\n")

    def finish(self) -> None:
        """Show what was held back; on a terminal, let the next words begin a line."""
        self.write(b"", final=True)
        if self._terminal and self._open_line and self._file is not None:
            self._file.write(b"\n")
            self._file.flush()
            self._open_line = False


def out(*, raw: bool = False) -> Sink:
    """Return the sink of standard output."""
    return _sink(sys.stdout, raw=raw)


def err(*, raw: bool = False) -> Sink:
    """Return the sink of standard error."""
    return _sink(sys.stderr, raw=raw)


def _sink(stream: TextIO | None, *, raw: bool) -> Sink:
    # A stream that was closed before we began is `None`: what would go there is given up.
    file = None if stream is None else stream.buffer
    return Sink(file, terminal=for_terminal(stream), raw=raw)


def flush() -> None:
    """Write out what was printed, so that a reader who went away is noticed now."""
    if sys.stdout is not None:
        sys.stdout.flush()


def give_up_stdout() -> None:
    """After a reader went away: let the interpreter's last flush go nowhere, silently."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def trouble(message: str, hint: str | None, fields: Iterable[tuple[str, str]] = ()) -> None:
    """Say what went wrong, where exactly, and what a person can do."""
    first, *more = message.split("\n")
    say(first)
    advise(*more)
    advise(*(f"{place}: {fault}" for place, fault in fields if fault not in message))
    if hint:
        advise(hint)


def manual(text: str) -> None:
    """Show what a command can do to somebody who only said its name."""
    print(text, file=sys.stderr, flush=True)


def fault(trace: str) -> None:
    """Show the trace of a fault of ours, for the person who reports it."""
    print(trace, file=sys.stderr, flush=True)


def read_stdin(limit: int) -> bytes:
    """Return standard input up to one byte more than `limit`, so that too much can be told."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(limit + 1)
