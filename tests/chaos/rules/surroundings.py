"""What is around the jobs: processes, files, logs, answers, secrets."""

from collections.abc import Iterator
from typing import Final

from tests.chaos.case import Case

KILLED: Final = -9
TERMINATED: Final = -15
ENDS: Final = frozenset({KILLED, TERMINATED, 0, 6, 70, 75})
"""How a program may end while harm is done: killed, asked to end before it could listen, drained,
drained too slowly, asking for a restart because its launcher died or its database is away."""
STATUSES: Final = frozenset(
    {200, 201, 204, 400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 414, 415, 416, 422, 426, 429}
    | {431, 503}
)
"""Every status that the server documents. None of them is 500."""


def nothing_left(case: Case) -> Iterator[str]:
    """I11: when all is stopped, no process and no workspace is left."""
    for pid, line in case.run.remains.get("processes", {}).items():
        yield f"process {pid} is still there: {line!r}"
    for path in case.run.remains.get("workspaces", []):
        yield f"{path} is still there"


def no_daemon(case: Case) -> Iterator[str]:
    """G17: what a command left behind is gone when its attempt is over."""
    for pid, op in case.run.remains.get("daemons", {}).items():
        yield f"{op}: its daemon {pid} lives"


def database_whole(case: Case) -> Iterator[str]:
    """I13: the database says so itself."""
    yield from case.run.remains.get("database", [])


def no_secret(case: Case) -> Iterator[str]:
    """I14: keys and tokens lie in their own files and nowhere else."""
    for path in case.run.remains.get("secrets", []):
        yield f"{path} holds a key or a token"


def nobody_ended(case: Case) -> Iterator[str]:
    """I15: no program ended in a way that nobody caused."""
    for name, ends in case.run.remains.get("ends", {}).items():
        for at, code in ends:
            if code not in ENDS:
                yield f"{name} ended with {code} at {at:.3f}"


def answers(case: Case) -> Iterator[str]:
    """I16: only documented statuses were seen on any link."""
    for route, status, count in case.run.remains.get("statuses", []):
        if status not in STATUSES:
            yield f"{route} was answered {status} {count} times"


def mistakes(case: Case) -> Iterator[str]:
    """I16: bad input is refused, as the caller's fault and without a trace."""
    for note in case.notes("err", "ok"):
        yield f"{note.told.get('mistake', note.op)}: was accepted with {note.told['status']}"
    for note in case.notes("err", "fail"):
        if not 400 <= note.told["status"] < 500 and note.told["status"] != 503:
            yield f"bad input was answered {note.told['status']}"
        if "Traceback" in note.told["why"]:
            yield "bad input was answered with a trace"


def logs(case: Case) -> Iterator[str]:
    """I16: no log tells of a fault of ours."""
    yield from case.run.remains.get("log_lines", [])
