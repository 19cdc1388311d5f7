"""How a job ended, as an exit code and as words.

Pure: it is given the job and asks nobody. A follower returns what the command itself would have
returned, so that a job can stand in a script where the command stood.
"""

from typing import Final

from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobState, Reason

TIMED_OUT: Final = 124
"""As `timeout(1)` does."""
CANCELLED: Final = 130
"""As a shell does for a command that was interrupted."""
SIGNAL_BASE: Final = 128
OTHER_FAILURE: Final = 1
TIMEOUTS: Final = frozenset({Reason.TIMEOUT_RUN, Reason.TIMEOUT_SILENCE, Reason.TIMEOUT_TOTAL})
OWN_ENDING: Final = frozenset({Reason.EXIT_NONZERO, Reason.SIGNAL, Reason.OOM})
"""Reasons for which the command's own code or signal is the answer."""


def exit_code(job: JobView) -> int:
    """Return the code that a follower of an ended job ends with."""
    if job.state is JobState.SUCCEEDED:
        return 0
    if job.state is JobState.CANCELLED:
        return CANCELLED
    if job.reason in TIMEOUTS:
        return TIMED_OUT
    if job.reason in OWN_ENDING and job.signal is not None:
        return SIGNAL_BASE + job.signal
    if job.reason in OWN_ENDING and job.exit_code:
        return job.exit_code
    return OTHER_FAILURE


def speaks_for_itself(job: JobView) -> bool:
    """Tell whether the exit code says everything, as it does after the command's own exit."""
    return job.state is JobState.SUCCEEDED or job.reason is Reason.EXIT_NONZERO


def words(job: JobView) -> str:
    """Return how a job ended, as a sentence about it."""
    unseen = "not confirmed" if job.confirmed is False else None
    details = [part for part in (_reason(job), unseen, job.message) if part]
    return f"{job.id} {job.state}" + (f": {': '.join(details)}" if details else "")


def short(job: JobView) -> str:
    """Return where a job is, for a cell of a table: the state, and why if that adds something."""
    why = _reason(job) if job.reason else job.pending_reason
    state = f"{job.state}, worker offline" if job.worker_offline else str(job.state)
    return f"{state} ({why})" if why and why != state else state


def incomplete(missing_bytes: int) -> str:
    """Return what is said of output of which some never came."""
    return f"output incomplete ({missing_bytes} bytes missing)"


def _reason(job: JobView) -> str | None:
    if job.reason is Reason.EXIT_NONZERO and job.exit_code is not None:
        return f"exit {job.exit_code}"
    if job.reason is Reason.SIGNAL and job.signal is not None:
        return f"signal {job.signal}"
    return None if job.reason is None else str(job.reason)
