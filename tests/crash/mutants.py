"""Our programs with one mistake in what they do for durability: each has to be found out.

`python -m tests.crash.mutants NAME PROGRAM …` runs `orchestrator` or `worker` with that mistake;
`none` has none.
"""

import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator import cli
from orchestrator.kernel import files as kernel_files
from orchestrator.protocol.wire import EnrolReply, SessionReply
from orchestrator.server import files as server_files
from orchestrator.server import output_log
from orchestrator.server.store import sqlite, writer
from orchestrator.server.store.interface import Transaction
from orchestrator.server.store.sqlite_connection import prepare_writer
from orchestrator.server.store.writer import Call
from worker import cli as worker_cli
from worker.shim import journal
from worker.spool import ledger, spool


def _replace(name: str, *places: object, by: object) -> None:
    """Make the mistake in each place that knows the right thing by that name."""
    for place in places:
        assert hasattr(place, name), f"{place} has no {name}: the mistake is none any more"
        setattr(place, name, by)


def _nothing(*_: object) -> None:
    """Do not do it."""


def _synchronous_normal() -> None:
    """Commit without a sync: the log is synced at checkpoints alone."""

    def lax(raw: sqlite3.Connection) -> None:
        prepare_writer(raw)
        raw.execute("PRAGMA synchronous = NORMAL")

    _replace("prepare_writer", sqlite, by=lax)


def _no_folder_sync() -> None:
    """Rename and create without a sync of the folder."""
    _replace("sync_dir", kernel_files, server_files, output_log, by=_nothing)


def _answer_before_sync() -> None:
    """Tell everybody before the commit has returned."""
    submit = writer.Writer.submit

    def hasty(self: writer.Writer, call: Call) -> None:
        operation = call.operation

        def run(tx: Transaction) -> object:
            result = call.result = operation(tx)
            # Whoever enrols would be refused by its very next call: too easy to find out.
            if not isinstance(result, EnrolReply | SessionReply):
                call.future.get_loop().call_soon_threadsafe(call.answer)
            return result

        call.operation = run
        submit(self, call)

    _replace("submit", writer.Writer, by=hasty)


def _unsynced_below(folder: str) -> Callable[[], None]:
    def make() -> None:
        sync = os.fsync

        def lax(descriptor: int) -> None:
            if folder not in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
                sync(descriptor)

        _replace("fsync", os, by=lax)

    return make


def _exit_unsynced() -> None:
    """Never sync what the shims wrote."""
    _replace("_sync_all", spool, by=_nothing)


def _segment_name_unsynced() -> None:
    """Sync a segment, and not the folder that has its name."""
    _replace("sync_dir", spool, by=_nothing)


def _grant_unsynced() -> None:
    """Start what may be started only once before that is on the disk."""
    _replace("sync", journal.Journal, by=_nothing)


def _ledger_unsynced() -> None:
    """Remove the beginning of a log before the word about it is on the disk."""
    _replace("sync", ledger.Ledger, by=_nothing)


class Mutant(NamedTuple):
    """A mistake, and the story in which it comes out."""

    story: str
    make: Callable[[], None]


NONE: Final = "none"
MUTANTS: Final = {
    "synchronous-normal": Mutant("server", _synchronous_normal),
    "no-folder-sync": Mutant("server", _no_folder_sync),
    "answer-before-sync": Mutant("server", _answer_before_sync),
    "output-unsynced": Mutant("server", _unsynced_below("/output/")),
    "upload-unsynced": Mutant("server", _unsynced_below("/incoming/")),
    "exit-unsynced": Mutant("worker", _exit_unsynced),
    "segment-name-unsynced": Mutant("worker", _segment_name_unsynced),
    "grant-unsynced": Mutant("worker", _grant_unsynced),
    "ledger-unsynced": Mutant("worker", _ledger_unsynced),
}


def main(arguments: Sequence[str]) -> None:
    """Run a program's command line with a mistake."""
    name, program, *rest = arguments
    if name != NONE:
        MUTANTS[name].make()
    if program == "worker":
        worker_cli.main(rest, prog_name=program)
    sys.exit(cli.main(rest))


if __name__ == "__main__":
    main(sys.argv[1:])
