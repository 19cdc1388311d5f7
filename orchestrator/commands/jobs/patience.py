"""Staying with a job although the server may come and go, and leaving without harm.

It knows no stream and no page. A job, or a batch, never depends on who watches it, so everything
said here ends with the same two facts: it goes on, and this is how to come back to it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from orchestrator.commands import output
from orchestrator.commands.remote import draw
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.errors import (
    OrchestratorError,
    Overloaded,
    PeerBroken,
    Refused,
    ServerUnreachable,
    Unauthenticated,
    Unavailable,
)

BACKOFF: Final = Backoff(initial_s=0.1, factor=2.0, max_s=5.0)
"""A restarted server is back within a second; a crowd of followers must not meet it at once."""


class Left(OrchestratorError):
    """The person left; the job did not."""

    exit_code = 130
    code = "left"


def next_steps(job_id: str) -> tuple[str, str]:
    """Return the two things that are most often done next."""
    return (
        f"follow it: orchestrator jobs logs -f {job_id}",
        f"cancel it: orchestrator jobs cancel {job_id}",
    )


@contextmanager
def may_be_left(job_id: str, verb: str = "logs -f", *, known: bool) -> Iterator[None]:
    """Let Ctrl-C, or a refusal, end the watching and not the job, and say how to come back.

    Nothing is said of a job that is not `known` to exist when it is refused.
    """
    resume = f"resume with: orchestrator jobs {verb} {job_id}"
    try:
        yield
    except KeyboardInterrupt:
        raise Left(
            f"interrupted; the job goes on; {resume}; "
            f"or cancel it with: orchestrator jobs cancel {job_id}"
        ) from None
    except (Refused, PeerBroken) as error:
        if known and isinstance(error, Unauthenticated):
            # Its hint is about the key, and made where that is known.
            output.say(f"the job goes on; {resume}")
        elif known:
            error.hint = "; ".join(filter(None, (error.hint, f"the job goes on; {resume}")))
        raise


class Patience:
    """How long a server that is gone is looked for, and what is said when it stays away."""

    def __init__(
        self,
        named: str,
        total_s: float,
        *,
        verb: str = "jobs logs -f",
        thing: str = "job",
        unsaid: bool = False,
    ) -> None:
        self._named = named
        self._thing = thing
        self._total_s = total_s
        self._verb = verb
        self._unsaid = unsaid
        self._since: float | None = None
        self._failures = 0

    def answered(self) -> None:
        """Note that the server is there."""
        if self._failures > 1:
            output.say("connected again")
        self._since, self._failures = None, 0

    def lost(self, error: Unavailable, *, at_least_s: float = 0.0) -> None:
        """Wait before the next try, or raise when there has been enough of it."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        left_s = self._since + self._total_s - now
        self._failures += 1
        if left_s <= 0:
            way = (
                "say it again" if self._unsaid else f"the {self._thing} goes on without us; resume"
            )
            raise ServerUnreachable(
                f"connection lost; {way} with: orchestrator {self._verb} {self._named}",
                hint=error.message,
            ) from error
        if self._failures == 2:  # the first try succeeds when the server was only restarted
            output.say(f"connection lost, trying again for {left_s:.0f} s ({error.message})")
        wait_s = max(at_least_s, BACKOFF.delay(self._failures, draw=draw()))
        if isinstance(error, Overloaded):
            wait_s += error.retry_after_s
        time.sleep(min(left_s, wait_s))
