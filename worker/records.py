"""What the log of an attempt says: it began, it wrote, it ended, or its shim is gone.

Values only, so that rules may read them. They come from the spool in this order and are the same
whether the attempt has just been started or was found again: `Began`, any number of `Wrote`, and at
last one `Exited` or `Vanished`. A command that could not be started has only its `Exited`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

PREEMPT_GRACE_S: Final = 20.0
"""The longest that an interrupted command may go on: a supervisor kills us after 35 seconds."""


class Cause(StrEnum):
    """Why an attempt's exit record was written."""

    EXITED = "exited"
    """By itself, or by a signal from elsewhere."""
    SPAWN_ERROR = "spawn_error"
    """Nothing was started: the message says why, and what to do."""
    DISK_FULL = "disk_full"
    """There was no room for its output, or to begin with: it was stopped, and nothing is silent."""
    OOM = "oom"
    """It had more memory than it may: the message says how much."""
    TIMEOUT_RUN = "timeout_run"
    TIMEOUT_SILENCE = "timeout_silence"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    """Interrupted by its worker, or by the machine that shuts down."""


Phase = Literal["granted", "running", "ended"]
"""How far an attempt has come, as its log says; the words of the wire's `HeldAttempt`."""


@dataclass(frozen=True, slots=True)
class Began:
    """The command's process exists."""

    pid: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Wrote:
    """Whole encoded output frames, which begin at `offset` of the attempt's output log."""

    offset: int
    frames: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """All of an attempt's output: its bytes as encoded frames, and `frames.chain` over them.

    Nobody knows the digest of a log of which a part was lost before it was read. Of each stream it
    also says how much the command wrote, whether that was kept or not: its shim counts what it
    reads, and says so in the exit record.
    """

    length: int
    digest: bytes | None
    stdout_bytes: int = 0
    stderr_bytes: int = 0

    @property
    def digest_hex(self) -> str | None:
        """Return the digest as it is written and told."""
        return None if self.digest is None else self.digest.hex()


@dataclass(frozen=True, slots=True)
class Exited:
    """The attempt is over, and nobody of it is left.

    `code` or `signal` is of the command itself, exactly; neither, if it was not started.
    `leftovers` counts the processes that it had left behind and that were killed.
    """

    cause: Cause
    message: str | None
    code: int | None
    signal: int | None
    leftovers: int
    started_us: int | None
    ended_us: int
    wall_s: float
    user_s: float
    sys_s: float
    max_rss_kib: int
    log: Log


@dataclass(frozen=True, slots=True)
class Vanished:
    """The shim is gone and left no exit record; whoever of the attempt could be found is killed.

    `may_have_run` is false only if the shim had not even written down the grant, which it does
    before anything else: then nothing was started, and the attempt can be given back.
    """

    may_have_run: bool
    log: Log


Record = Began | Wrote | Exited | Vanished
