"""Find out what a segment that was met in the spool is: final, or some shim's that still lives.

It knows locks, pidfds and one danger: a worker may have died right after it granted an attempt to
an idle shim, which will still read that order and start. So of a shim that lives and is idle
nothing can be said, until it has begun or is gone.
"""

import fcntl
import os
import signal
from pathlib import Path
from typing import Final

import anyio

from orchestrator.kernel.errors import StateUnavailable
from worker.shim import layout
from worker.spool.segment import Segment, Survey

SETTLING_S: Final = 5.0
"""A shim whose worker is gone reads its last order, or the end, at once. One that has done neither
after this is stopped or broken."""
_LOOK_S: Final = 0.002


async def examine(segment: Segment, floor: int) -> tuple[int | None, Survey]:
    """Return what a segment holds from `floor` on.

    With it comes a pidfd of its shim, if that is at work on the last attempt in it.
    """
    segment.header()
    survey = Survey(floor)
    give_up_at = anyio.current_time() + SETTLING_S
    while True:
        pidfd = segment.writer()
        # After the look at the lock: of a dead shim this is all there will ever be.
        segment.read_on(survey)
        if pidfd is not None and survey.at_work:
            return pidfd, survey
        if segment.closed or survey.successor is not None:
            # If its shim lives, it writes to the next one now.
            segment.closed = True
            _close(pidfd)
            return None, survey
        if anyio.current_time() > give_up_at:
            _end(segment, pidfd)
        _close(pidfd)
        await anyio.sleep(_LOOK_S)


def _close(pidfd: int | None) -> None:
    if pidfd is not None:
        os.close(pidfd)


def _end(segment: Segment, pidfd: int | None) -> None:
    """Kill a shim that is idle and does not end: it must not start anything any more."""
    if pidfd is None:
        raise StateUnavailable(
            f"{segment.path} is locked by a process that is not its shim",
            hint="find it with fuser, and end it",
        )
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def remove_unfinished(directory: Path) -> None:
    """Remove segments that were being made when their shim was killed."""
    for path in directory.glob(f"{layout.NEW_PREFIX}{layout.PREFIX}*"):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except (FileNotFoundError, BlockingIOError):
            # Its shim lives after all, and has named it or will: it ends as it has no worker.
            continue
