"""A run that went well, made up: what the judge's tests spoil, one thing at a time."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos import actor
from tests.chaos.plans import Plan
from tests.chaos.records import Blow, Entry, Note, Output, Run, Seen

BEGIN = datetime(2026, 1, 31, 9, tzinfo=UTC)
HOME = "/somewhere/host-0"


class Forger:
    """Makes runs of jobs that all went well, number after number."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.entries: list[Entry] = []
        self.blows: list[Blow] = []
        self.seen: list[Seen] = []
        self._second = 0

    def tick(self) -> datetime:
        """Return a moment later than the last."""
        self._second += 1
        return BEGIN + timedelta(seconds=self._second)

    def note(self, op: str, do: str, kind: str, **told: Any) -> None:
        """Add a line to the history."""
        self.notes.append(Note(self.tick().timestamp(), 0, op, do, kind, told))

    def entry(self, what: str, op: str, job: str, attempt: int, code: int | None = None) -> None:
        """Add a line to the ledger."""
        at = self.tick().timestamp()
        self.entries.append(Entry(what, at, op, job, attempt, 100, 1, HOME, code))

    def job(self, number: int, kind: str = "ledger", *, tries: int = 1, code: int = 0) -> str:
        """Add a job that was submitted, ran as often as planned, ended, and was looked at."""
        op, job = f"c0-{number:05d}", f"job_{number:026d}"
        plan: Plan = {"op": op, "kind": kind, "lines": 12, "width": 16}
        plan |= {"pace_ms": 0, "code": code, "tries": tries, "ms": 0, "ledger": "/ledger"}
        self.note(op, "submit", "invoke", plan=plan)
        self.note(op, "submit", "ok", status=201, id=job, state="queued")
        events: list[dict[str, Any]] = [_event(1, "submitted", self.tick())]
        attempts = [self._attempt(plan, job, n, events) for n in range(1, tries + 1)]
        events.append(_event(len(events) + 1, "finished", self.tick()))
        last = attempts[-1]
        told = {"id": job, "name": op, "kind": "command", "attempt": tries, "attempts": attempts}
        told |= {"state": last["outcome"], "reason": last["reason"], "exit_code": code}
        told |= {"finished_at": last["finished_at"], "pending_reason": None}
        numbers = range(1, tries + 1)
        out = {str(n): _output(b"".join(actor.out_lines(plan, n))) for n in numbers}
        err = {str(n): _output(b"".join(actor.err_lines(plan, n))) for n in numbers}
        self.seen.append(Seen(told, events, out, err))
        names = ("id", "state", "attempt", "exit_code", "finished_at")
        self.note(op, "look", "ok", status=200, **{name: told[name] for name in names})
        return op

    def _attempt(
        self, plan: Plan, job: str, number: int, events: list[dict[str, Any]]
    ) -> dict[str, Any]:
        claimed = self.tick()
        self.entry("start", plan["op"], job, number)
        self.entry("exit", plan["op"], job, number, plan["code"])
        finished = self.tick()
        for kind, at in (("claimed", claimed), ("started", claimed), ("ended", finished)):
            events.append(_event(len(events) + 1, kind, at, number))
        failed = plan["code"] != 0
        return {
            "number": number,
            "outcome": "failed" if failed else "succeeded",
            "reason": "exit_nonzero" if failed else None,
            "exit_code": plan["code"],
            "claimed_at": claimed.isoformat(),
            "finished_at": finished.isoformat(),
            "output_missing_bytes": 0,
            **_declared(plan, number),
            "late_result": None,
        }

    def run(self) -> Run:
        """Return all of it."""
        ends = {"server": [[1.0, -9]], "host-0": [[2.0, 70]]}
        remains = {"ends": ends, "statuses": [["GET /api/v1/jobs", 200, 3]]}
        return Run(self.notes, self.entries, self.blows, self.seen, remains)


def good_run() -> Run:
    """Return a run of a few jobs of every sort."""
    forger = Forger()
    for number in range(3):
        forger.job(number)
    forger.job(3, "failer", tries=2, code=3)
    forger.note("c0-00000", "cancel", "ok", status=200, id=_id(0), state="succeeded", attempt=1)
    forger.note("c0-err", "err", "fail", status=422, why="{}")
    numbers = [{"seq": event["seq"]} for event in forger.seen[1].events]
    forger.note("c0-00001", "follow_events", "ok", seen=numbers, whole=True)
    plan = forger.notes[0].told["plan"]
    text = b"".join(actor.out_lines(plan, 1)).decode()
    piece = {"attempt": 1, "stream": "stdout", "text": text}
    forger.note("c0-00000", "follow_output", "ok", seen=[piece], whole=True)
    forger.blows.append(Blow(forger.tick().timestamp(), "kill", "worker", "host-0", 7))
    return forger.run()


def _id(number: int) -> str:
    return f"job_{number:026d}"


def _event(seq: int, kind: str, at: datetime, attempt: int | None = None) -> dict[str, Any]:
    return {"seq": seq, "type": kind, "at": at.isoformat(), "attempt": attempt}


def _output(data: bytes) -> Output:
    return Output(len(data), hashlib.sha256(data).hexdigest())


def _declared(plan: Plan, number: int) -> dict[str, int]:
    lines = {"stdout": actor.out_lines, "stderr": actor.err_lines}
    return {
        f"declared_{stream}_bytes": sum(map(len, of(plan, number))) for stream, of in lines.items()
    }


def retold(run: Run, index: int, **changed: Any) -> None:
    """Change what a note of a run says."""
    note = run.notes[index]
    run.notes[index] = replace(note, told=note.told | changed)


def place(run: Run, do: str, kind: str = "ok") -> int:
    """Return the first note about a deed."""
    return next(n for n, note in enumerate(run.notes) if (note.do, note.type) == (do, kind))


def prefix_of(run: Run, number: int, size: int) -> Output:
    """Return the first bytes of what a job's first attempt had to write."""
    plan = next(n.told["plan"] for n in run.notes if n.op == run.seen[number].job["name"])
    return _output(b"".join(actor.out_lines(plan, 1))[:size])
