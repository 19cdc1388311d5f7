"""One tree of errors, whose axis is what the caller should do.

    OrchestratorError
    ├─ Mistaken           78   somebody can fix it by editing something
    │   ├─ ConfigInvalid           a file or setting of ours
    │   └─ RequestInvalid          what came over the wire
    ├─ Refused             1   the other side said no, and will say no again
    │   ├─ NotFound · AlreadyExists · Forbidden · Unauthenticated
    │   ├─ IllegalTransition       the lifecycle has no such row
    │   ├─ LeaseLost               stale, or out of time: stop the process
    │   ├─ JobsRunning         7   it would interrupt jobs, and nobody said that it may
    │   ├─ NotClaimable        8   the one job that was asked for will not come
    │   ├─ VersionUnsupported  78
    │   └─ AlreadyRunning      5   another process of ours holds the lock
    ├─ Unavailable        75   not now; try again, with backoff
    │   ├─ ServerUnreachable  69
    │   ├─ NotRunning          4   no orchestrator of this machine
    │   ├─ StateUnavailable   73   a folder, file or port of ours cannot be had
    │   ├─ StoreBusy
    │   │   └─ StorageFull         somebody has to make room
    │   └─ Overloaded · LaunchFailed
    ├─ PeerBroken         70   the other side broke the protocol
    └─ Broken             70   an invariant of ours does not hold: crash
        └─ InvariantViolated · JournalCorrupt · LauncherGone

It knows neither HTTP nor terminals: `server/api/problems.py` and `orchestrator/cli.py` render it.
Every message says what happened and to what; `hint` says what a person can do.
"""

from typing import ClassVar


class OrchestratorError(Exception):
    """The root: a sentence, a stable code, and a hint."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problem_code = code or type(self).code


class Mistaken(OrchestratorError):
    """Somebody can fix it by editing something."""

    exit_code = 78
    code = "mistaken"


class ConfigInvalid(Mistaken):
    """A file or a setting of ours is wrong."""

    code = "config_invalid"


class RequestInvalid(Mistaken):
    """What came over the wire is wrong; `fields` names each place and fault."""

    exit_code = 2
    code = "request_invalid"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.fields = fields


class Refused(OrchestratorError):
    """The other side said no, and will say no again."""

    code = "refused"


class NotFound(Refused):
    """No such thing, or not yours: the two are one answer, so that ids cannot be probed."""

    code = "not_found"


class AlreadyExists(Refused):
    """It is there already, and differs."""

    code = "already_exists"


class Forbidden(Refused):
    """Known, but not allowed."""

    exit_code = 77
    code = "forbidden"


class Unauthenticated(Refused):
    """No valid credential came with the request."""

    exit_code = 77
    code = "unauthenticated"


class IllegalTransition(Refused):
    """The lifecycle has no row for this pair of state and event."""

    code = "illegal_transition"


class LeaseLost(Refused):
    """The attempt is stale: stop its process, report nothing more."""

    code = "lease_lost"


class JobsRunning(Refused):
    """It would interrupt or wait for jobs, and nobody said which of the two."""

    exit_code = 7
    code = "jobs_running"


class NotClaimable(Refused):
    """The one job that a worker asked for will not be given to it."""

    exit_code = 8
    code = "not_claimable"


class VersionUnsupported(Refused):
    """The other side is too old or too new for this one: somebody has to change one of the two."""

    exit_code = 78
    code = "version_unsupported"


class AlreadyRunning(Refused):
    """Another process of ours works with the same data."""

    exit_code = 5
    code = "already_running"


class Unavailable(OrchestratorError):
    """Not now: try again, with backoff."""

    exit_code = 75
    code = "unavailable"


class ServerUnreachable(Unavailable):
    """No answer from the control server."""

    exit_code = 69
    code = "server_unreachable"


class NotRunning(Unavailable):
    """No orchestrator runs on this machine, or not with that folder."""

    exit_code = 4
    code = "not_running"


class StateUnavailable(Unavailable):
    """A folder, a file or a port that we need cannot be created or opened."""

    exit_code = 73
    code = "state_unavailable"


class StoreBusy(Unavailable):
    """The database did not answer in time."""

    code = "store_busy"


class StorageFull(StoreBusy):
    """A disk has no room: nothing was stored."""

    code = "storage_full"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or "make room on the disk of the data directory")


class Overloaded(Unavailable):
    """A limit was met; `retry_after_s` says when to come back."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class LaunchFailed(Unavailable):
    """A child process could not be started."""

    code = "launch_failed"


class PeerBroken(OrchestratorError):
    """The other side broke the protocol: its bug, so log all of it and back off."""

    exit_code = 70
    code = "peer_broken"


class Broken(OrchestratorError):
    """An invariant of ours does not hold: our bug, so crash and be restarted."""

    exit_code = 70
    code = "broken"


class InvariantViolated(Broken):
    """`invariant()` found its condition false."""

    code = "invariant_violated"


class JournalCorrupt(Broken):
    """A file of ours does not read back as it was written."""

    code = "journal_corrupt"


class LauncherGone(Broken):
    """The process that starts our children has ended, and with it our knowledge of them."""

    code = "launcher_gone"


def cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended a task group: the first of ours, else the first of all.

    A task group wraps whatever ends it, and what a person has to read is inside.
    """
    leaves = [
        cause(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    return next((leaf for leaf in leaves if isinstance(leaf, OrchestratorError)), leaves[0])


def invariant(condition: bool, message: str) -> None:
    """Crash with `message` unless `condition` holds. On in production, never caught below `cli`."""
    if not condition:
        raise InvariantViolated(message)
