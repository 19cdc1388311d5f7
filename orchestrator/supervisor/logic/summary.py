"""How a whole machine stands, in the one line that a service manager shows.

It also says when everybody has answered, which is when a service is *ready*: each worker has met
its server, or has said why it does not. A service that waited until all is well would keep
everything that waits for it from starting because one token of ten is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.supervisor.logic.standing import WORKING, Standing, WorkerState

UNASKED = frozenset({WorkerState.DISABLED, WorkerState.STOPPED})
"""Nobody wants anything of these."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say."""

    text: str
    answered: bool
    """Whether nobody is waited for without a reason that a person can read."""
    suspect: bool = False
    """Whether a worker does not know yet whether jobs can run on it, or knows that they cannot."""
    jobs: str = "no jobs"
    """How many run, in words: all that matters once the run ends."""


def summary(
    workers: Sequence[tuple[str, Standing]],
    *,
    jobs: int,
    server_is_up: bool,
    wrong: str | None = None,
) -> Summary:
    """Return how the workers, by name, stand together; `wrong` is what is so with their file."""
    wanted = [(name, stands) for name, stands in workers if stands.state not in UNASKED]
    ready = sum(stands.state in WORKING for _, stands in wanted)
    count = f"{jobs} job{'' if jobs == 1 else 's'}"
    troubled = [(name, stands) for name, stands in wanted if stands.state not in WORKING]
    text = f"{ready}/{len(wanted)} ready, {count}"
    if troubled:
        name, stands = min(troubled, key=lambda one: (_is_starting(one[1]), one[0]))
        more = f" (and {len(troubled) - 1} more)" if len(troubled) > 1 else ""
        text += f"; {name}: {stands.reason or stands.state}{more}"
    elif not server_is_up:
        text += "; the server is starting"
    if wrong is not None:
        text += f"; configuration: {wrong}"
    waits = not server_is_up or any(_is_starting(stands) for _, stands in wanted)
    suspect = any(stands.state is WorkerState.SUSPECT for _, stands in wanted)
    return Summary(text, answered=not waits, suspect=suspect, jobs=count)


def _is_starting(stands: Standing) -> bool:
    """Tell whether something will be known of it soon."""
    waits = stands.state is WorkerState.CONNECTING and stands.reason is None
    return waits or stands.state is WorkerState.STARTING
