"""A job's timeline as sentences, in the order in which the server committed it.

Pure: it is given the events and the attempts, and prints nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from orchestrator.commands.moments import moment
from orchestrator.protocol.views import AttemptView, EventView
from orchestrator.protocol.words import JobEventType

HEADERS: Final = ("WHEN", "TRY", "WHAT HAPPENED")
Data = Mapping[str, Any]
E = JobEventType


def rows(events: Sequence[EventView], attempts: Sequence[AttemptView]) -> list[tuple[str, ...]]:
    """Return a row for each event, below `HEADERS`."""
    tries = {attempt.number: attempt for attempt in attempts}
    return [
        (
            moment(event.at),
            str(event.attempt) if event.attempt else "",
            _words(event, tries.get(event.attempt or 0)),
        )
        for event in events
    ]


def _words(event: EventView, attempt: AttemptView | None) -> str:
    told = _TOLD.get(event.type)
    return told(event.data, attempt) if told else str(event.type).replace("_", " ")


def _submitted(data: Data, _: AttemptView | None) -> str:
    again = f", to repeat {data['retry_of']}" if data.get("retry_of") else ""
    return f"submitted by {data.get('owner') or 'somebody'}{again}"


def _claimed(data: Data, attempt: AttemptView | None) -> str:
    name = (attempt and attempt.worker) or data.get("worker") or "a worker"
    return f"claimed by {name}"


def _started(data: Data, attempt: AttemptView | None) -> str:
    pid = (attempt and attempt.pid) or data.get("pid")
    where = [f"pid {pid}" if pid else "", f"on {attempt.host}" if attempt and attempt.host else ""]
    told = " ".join(part for part in where if part)
    return f"started ({told})" if told else "started"


def _ended(data: Data, _: AttemptView | None) -> str:
    why: object = data.get("reason")
    if data.get("signal") is not None:
        why = f"signal {data['signal']}"
    elif data.get("exit_code"):
        why = f"exit {data['exit_code']}"
    return f"ended: {data.get('outcome')}" + (f" ({why})" if why else "")


def _lost(data: Data, _: AttemptView | None) -> str:
    return f"lost: nobody knows how it ended ({data.get('outcome')})"


def _by(what: str) -> "Callable[[Data, AttemptView | None], str]":
    def told(data: Data, _: AttemptView | None) -> str:
        force = ", by force" if data.get("force") else ""
        comment = f": {data['comment']}" if data.get("comment") else ""
        return f"{what} by {data.get('by') or 'somebody'}{force}{comment}"

    return told


def _amended(data: Data, _: AttemptView | None) -> str:
    said = [f"priority {' → '.join(map(str, data['priority']))}"] if data.get("priority") else []
    if data.get("queue"):
        said.append(f"queue {' → '.join(data['queue'])}")
    if data.get("run_at"):
        said.append(f"to begin {data['run_at'][1] or 'as soon as possible'}")
    for key, text in (data.get("labels") or {}).items():
        said.append(f"without label {key}" if text is None else f"label {key}={text}")
    comment = f": {data['comment']}" if data.get("comment") else ""
    return f"changed by {data.get('by') or 'somebody'} ({', '.join(said)}){comment}"


def _planned(data: Data, _: AttemptView | None) -> str:
    return f"will be tried again at {data.get('due_at')}"


def _late(data: Data, _: AttemptView | None) -> str:
    return f"its worker came back late and says: {data.get('outcome')}"


def _restored(data: Data, _: AttemptView | None) -> str:
    made_at = data.get("made_at") or "an earlier moment"
    return f"brought back {data.get('was')} from a backup of {made_at}, and held for a look"


def _finished(data: Data, _: AttemptView | None) -> str:
    reason = f" ({data['reason']})" if data.get("reason") else ""
    return f"the job is {data.get('state')}{reason}"


def _plain(words: str) -> "Callable[[Data, AttemptView | None], str]":
    return lambda _data, _attempt: words


_TOLD: Final[Mapping[JobEventType, Callable[[Data, AttemptView | None], str]]] = {
    E.SUBMITTED: _submitted,
    E.FELL_DUE: _plain("due: it waits for a worker"),
    E.CLAIMED: _claimed,
    E.STARTED: _started,
    E.ENDED: _ended,
    E.RELEASED: _plain("given back before anything ran"),
    E.LOST: _lost,
    E.PREEMPTED: _plain("interrupted: its worker had to stop"),
    E.RETRY_PLANNED: _planned,
    E.CANCEL_REQUESTED: _by("cancel asked for"),
    E.REATTACHED: _plain("its worker was started again and has found it"),
    E.WORKER_OFFLINE: _plain("its worker is offline: nobody has heard of it for half a minute"),
    E.WORKER_BACK: _plain("its worker is back"),
    E.SERVER_RESTARTED: _plain("the server was started again"),
    E.HELD: _by("put on hold"),
    E.RELEASED_BY_USER: _by("let go"),
    E.AMENDED: _amended,
    E.RESTORED: _restored,
    E.LATE_RESULT: _late,
    E.FINISHED: _finished,
}
