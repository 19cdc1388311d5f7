"""Stay until a job has ended, seeing its output or not, and return the exit code.

The three ways to stay (`submit --follow`, `submit --wait`, `logs -f`) share their ending here, so
that they cannot drift apart.
"""

import math
import time
from dataclasses import dataclass
from typing import Final

from orchestrator.client.answers import Answer
from orchestrator.commands import output
from orchestrator.commands.jobs import ending
from orchestrator.commands.jobs.follow import Ended, Follower, Show, Streams
from orchestrator.commands.jobs.patience import Patience, may_be_left
from orchestrator.commands.remote import Remote
from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.kernel.errors import Unavailable
from orchestrator.protocol import limits
from orchestrator.protocol.views import JobView

_BRIEF_S: Final = 0.5
"""A server that is stopping answers a long poll at once: then we do the waiting."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How somebody wants to stay."""

    patience_s: float
    raw: bool = False
    as_json: bool = False
    timeout_s: float | None = None
    """How long at most; without one, as long as the job takes."""


def follow_submitted(remote: Remote, job: JobView, manner: Manner) -> int:
    """Show a new job's output; as JSON, standard output holds the job alone, at its end."""
    leaving = "; Ctrl-C leaves it running" if output.people_read_words() else ""
    output.say(f"{job.id} is {ending.short(job)}{leaving}")
    stderr = output.err(raw=manner.raw)
    show = Streams(stderr if manner.as_json else output.out(raw=manner.raw), stderr)
    with may_be_left(job.id, known=True):
        end = Follower(remote, job.id, show).run(Patience(job.id, manner.patience_s), known=True)
    if manner.as_json:
        output.document(end.written.encode())
    return _own_code(end)


def follow_known(
    remote: Remote, job_id: str, manner: Manner, show: Show, *, attempt: int | None
) -> int:
    """Show the output of a job from its beginning."""
    with may_be_left(job_id, known=False):
        follower = Follower(remote, job_id, show, attempt=attempt)
        return _own_code(follower.run(Patience(job_id, manner.patience_s), known=False))


def _own_code(end: Ended) -> int:
    if not ending.speaks_for_itself(end.job):
        output.say(ending.words(end.job))
    return ending.exit_code(end.job)


def wait(remote: Remote, job_id: str, manner: Manner, *, known: bool) -> int:
    """Wait for the end without any output: 0 when the job succeeded, 1 when not."""
    answer = ended(remote, job_id, manner, known=known)
    job = answer.read(JobView)
    if manner.as_json:
        output.document(answer.body)
    elif job.state in TERMINAL:
        output.say(ending.words(job))
    else:
        output.say(f"{job.id} is {ending.short(job)}, and goes on")
    if job.state not in TERMINAL:
        return ending.TIMED_OUT
    return 0 if ending.exit_code(job) == 0 else 1


def ended(remote: Remote, job_id: str, manner: Manner, *, known: bool) -> Answer:
    """Return the job when it is over, or when it was waited for long enough."""
    with may_be_left(job_id, "wait", known=known):
        return _end_of(remote, job_id, manner, known=known)


def _end_of(remote: Remote, job_id: str, manner: Manner, *, known: bool) -> Answer:
    patience = Patience(job_id, manner.patience_s, verb="jobs wait")
    until = math.inf if manner.timeout_s is None else time.monotonic() + manner.timeout_s
    while True:
        asked_at = time.monotonic()
        left_s = max(0.0, until - asked_at)
        try:
            answer = remote.job(job_id, wait_s=min(limits.WAIT_MAX_S, left_s))
        except Unavailable as error:
            if not known:
                raise
            patience.lost(error)
            continue
        known = True
        patience.answered()
        if answer.read(JobView).state in TERMINAL or time.monotonic() >= until:
            return answer
        pause_s = _BRIEF_S - (time.monotonic() - asked_at)
        time.sleep(max(0.0, min(pause_s, until - time.monotonic())))
