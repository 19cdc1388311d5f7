"""One attempt from its grant to its exit record.

It knows the order of things and keeps it: granted on disk, started, written as it is said, ended,
nobody left, and only then the exit record. Whatever can be said about an attempt is in the segment
before the worker is told that there is something to read.
"""

import os
import time
from typing import Final

from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.frames import FrameType
from worker.records import Cause
from worker.shim import layout
from worker.shim.cell import Cell, inside
from worker.shim.command import NotStarted, start
from worker.shim.escort import Escort, Started
from worker.shim.journal import Record, wall_us
from worker.shim.line import Grant
from worker.shim.office import Office
from worker.shim.output import Output
from worker.shim.room import is_full

_FULL_RETRY_S: Final = 0.25
_FULL_PATIENCE_S: Final = 10.0
"""How long an exit record waits for room. The reserve makes this rare, and after it the attempt
counts as lost, which is true: nothing says how it ended."""
_EVERY_EXIT: Final[Record] = {
    "message": None,
    "code": None,
    "signal": None,
    "leftovers": 0,
    "started_us": None,
    "wall_s": 0.0,
    "user_s": 0.0,
    "sys_s": 0.0,
    "max_rss_kib": 0,
}


def run(grant: Grant, office: Office) -> bool:
    """Do all that was granted; tell whether this shim can take another attempt."""
    if grant.spool_max_bytes is not None:
        office.journal.most_bytes = grant.spool_max_bytes
    if not office.journal.grant(grant.job, grant.attempt, grant.grace_s, grant.timeout_s):
        _close(grant.stdin)
        message = "the disk of the worker's spool is full: nothing was started, make room on it"
        return _finish(grant, office, {"cause": Cause.DISK_FULL, "message": message})
    if grant.durable:
        office.journal.sync()
        reached("grant.after_sync")
    output = Output(office.journal, office.poll, grant.output_bytes)
    began, started_us = time.monotonic(), wall_us()
    cell = Cell.made(office.group, grant, office.controllers)
    try:
        pid = _start(grant, output, office, cell)
    except NotStarted as error:
        output.close()
        is_free = _removed(cell)
        outcome: Record = {"cause": Cause.SPAWN_ERROR, "message": str(error)}
        return _finish(grant, office, outcome) and is_free
    try:
        reached("shim.spawned")
        office.journal.began(pid, started_us)
    except OSError as error:
        output.stop_writing(error)
    escort = Escort(Started(pid, began, cell), grant=grant, output=output, office=office)
    outcome = escort.see_out()
    is_free = _removed(cell) and not escort.stuck
    return _finish(grant, office, {"started_us": started_us, **outcome}) and is_free


def _removed(cell: Cell | None) -> bool:
    """Remove a cell; tell whether this shim is free, because it is not in it any more."""
    if cell is None:
        return True
    is_out = cell.left()
    cell.remove()
    return is_out


def _start(grant: Grant, output: Output, office: Office, cell: Cell | None) -> int:
    stdin = office.null if grant.stdin is None else grant.stdin
    given: list[int] = []
    try:
        stdout, stderr = _pipes(output, given)
        with inside(cell):
            return start(
                grant, stdin=stdin, stdout=stdout, stderr=stderr, inheritance=office.inheritance
            )
    finally:
        for fd in (grant.stdin, *given):
            _close(fd)


def _pipes(output: Output, given: list[int]) -> tuple[int, int]:
    try:
        given.append(stdout := output.pipe(FrameType.OUT))
        given.append(stderr := output.pipe(FrameType.ERR))
    except OSError as error:
        raise NotStarted(
            f"there were no pipes for the command's output ({error.strerror}): "
            "run fewer jobs here, or raise the limit of open files"
        ) from error
    return stdout, stderr


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


def _finish(grant: Grant, office: Office, outcome: Record) -> bool:
    """Write the exit record, and then tell the worker."""
    record = {**_EVERY_EXIT, "ended_us": wall_us(), **outcome}
    give_up_at = time.monotonic() + _FULL_PATIENCE_S
    while not _written(record, office, last_try=time.monotonic() > give_up_at):
        time.sleep(_FULL_RETRY_S)
    reached("shim.exit_written")
    office.line.say(layout.ended_bell(grant.job, grant.attempt))
    return True


def _written(record: Record, office: Office, *, last_try: bool) -> bool:
    try:
        reached("shim.exit_before_record")
        office.journal.exit(record)
    except OSError as error:
        if last_try or not is_full(error):
            raise
        return False
    return True
