"""What a shim and the worker that reads its segments agree on: names, sizes and signals.

A *segment* is the append-only file of one shim: `seg-<shim>-<number>`. When a shim goes on in
another file it takes the next number, so whoever has one file of a shim can find them all.
"""

import signal
from typing import Final

FORMAT: Final = 1
"""In each segment's header; a worker refuses a spool with a higher one."""
PREFIX: Final = "seg-"
NEW_PREFIX: Final = ".new-"
"""A segment has this before its name until it is locked and has its header."""
LOG_NAME: Final = "shims.log"
"""Where a shim that fails leaves its last words: its own standard error would hold a pipe open."""

ROTATE_BYTES: Final = 8 * 1024 * 1024
"""A segment that is longer is followed by a new one, also within an attempt: only whole segments
can be removed, and a worker that starts reads the last one of each shim again."""

PREEMPT_SIGNAL: Final = signal.SIGTERM
"""What every process gets when a machine shuts down: it interrupts, it does not cancel."""
CANCEL_SIGNAL: Final = signal.SIGUSR1
"""Signals are for a worker that found the shim in its spool: it has no socket to it."""

BELL: Final = b"b"
"""The whole message: look at the segment, it has grown."""
MESSAGE_BYTES: Final = 60 * 1024
"""A longer grant comes in a memfd: a socket's buffer takes no message of any size."""


def first_name(shim_id: str) -> str:
    """Return the name of a shim's first segment."""
    return f"{PREFIX}{shim_id}-0"


def shim(name: str) -> str:
    """Return whose segment that one is."""
    return name.removeprefix(PREFIX).rpartition("-")[0]


def number(name: str) -> int:
    """Return which of its shim's segments that one is, counted from 0."""
    return int(name.rpartition("-")[2])


def successor(name: str) -> str:
    """Return the name of the segment in which the same shim goes on."""
    return f"{name.rpartition('-')[0]}-{number(name) + 1}"


def ended_bell(job_id: str, attempt: int) -> bytes:
    """Return the message that this attempt's exit record has been written."""
    return f"x {job_id} {attempt}".encode()
