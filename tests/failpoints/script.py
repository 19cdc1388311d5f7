"""The story of every trial: all that a client asks for, and what a quiet day does to programs.

It goes on whatever happens, asks again as a client does, and says which step never came about.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from tests.chaos.caller import Answer, Unknown
from tests.chaos.plans import Plan, spec_of
from tests.chaos.workload import JOBS, TERMINAL, Client
from tests.failpoints.place import Armed
from tests.support.waiting import wait_until

STEP_S: Final = 45.0
"""A step that has not come about by then never will."""
PAUSE_S: Final = 0.2
PATH: Final = "/api/v1/schedules"
AHEAD_S: Final = 2.0
ASKED: Final = 150
"""How often one request is made."""


class Script(Client):
    """A client who does the same in each trial."""

    def play(self, place: Armed) -> list[str]:
        """Do all of it, and return the steps that did not come about."""
        self.missed: list[str] = []
        host = place.hosts[0]
        self._begin("upload", "upload")
        self._begin("inline", "ledger", pace_ms=1)
        self._begin("large", "flooder", lines=1_500, width=80)
        self._begin("long", "sleeper", lines=40, pace_ms=50)
        self._begin("cancelled", "sleeper", lines=900, pace_ms=100)
        self._begin("once", "once", pace_ms=10)
        self._begin("failer", "failer", code=3, tries=2)
        self._schedule("fired")

        self._wait_for("long", "running")
        before = host.pids("worker")
        for pid in before:
            _kill(pid)
        self._until("a worker after the kill", lambda: _other(host.pids("worker"), before))

        self._wait_for("cancelled", "running")
        self._end("cancelled")

        place.server.signal(signal.SIGTERM)
        self._until("the server after its stop", place.answers)

        self._begin("late", "sleeper", lines=20, pace_ms=50)
        self._wait_for("late", "running")
        pid = host.keeper.pid
        host.keeper.signal(signal.SIGINT)
        self._until("a supervisor after the drain", lambda: host.keeper.pid != pid)
        self._until("a worker after the drain", lambda: place.online() == 1)
        # Again, and in peace: the first ones may have ended early, with what was done to others.
        self._begin("last-once", "once")
        self._begin("last-large", "flooder", lines=1_500, width=80)
        return self.missed

    def _begin(self, op: str, kind: str, **more: Any) -> None:
        plan: Plan = {"op": op, "kind": kind, "lines": 20, "width": 16, "pace_ms": 0, "code": 0}
        plan |= {"tries": 1, "ms": 0, "ledger": str(self.ledger)} | more
        file = self._uploaded(plan) if kind == "upload" else None
        spec = spec_of(plan, file)
        for _ in range(2):  # once more, although it was answered
            answer = self._insisted(
                op, "submit", lambda: self.caller.post_once(JOBS, spec, op), plan=plan
            )
            if answer is None or answer.status >= 300:
                self.missed.append(f"{op} was not accepted: {answer}")
                return
            self.jobs[op] = answer.json["id"]

    def _schedule(self, op: str) -> None:
        """Have a job submitted by a schedule, in a moment; the judge knows how many there may be.

        A moment that has passed before the server heard of it is told again, as a later one.
        """
        plan: Plan = {"op": op, "kind": "ledger", "lines": 5, "width": 16, "pace_ms": 0, "code": 0}
        plan |= {"tries": 1, "ms": 0, "ledger": str(self.ledger)}
        self._note(op, "submit", "invoke", plan=plan)
        for _ in range(ASKED):
            at = datetime.now(UTC) + timedelta(seconds=AHEAD_S)
            asked = {"name": op, "at": at.isoformat(), "job": spec_of(plan)}
            answer = self._insisted(op, "schedule", partial(self.caller.call, "POST", PATH, asked))
            if answer is not None and (answer.status < 300 or answer.status == 409):
                break
        self._until(f"the moment of {op}", lambda: self._has_come(op))

    def _has_come(self, op: str) -> bool:
        with contextlib.suppress(Unknown):
            answer = self.caller.call("GET", f"{PATH}/{op}/history")
            return answer.status == 200 and bool(answer.json["items"])
        return False

    def _insisted(self, op: str, do: str, ask: Callable[[], Answer], **told: Any) -> Answer | None:
        """Ask until there is an answer: where a disk fails, also after a 500."""
        answer = None
        for _ in range(ASKED):
            answer = self._asked(op, do, ask, **told)
            if answer is not None and answer.status != 429 and answer.status < 500:
                break
            self.stop.wait(PAUSE_S)
        return answer

    def _end(self, op: str) -> None:
        job_id = self.jobs.get(op)
        if job_id is not None:
            path = f"{JOBS}/{job_id}/cancel"
            self._insisted(op, "cancel", lambda: self.caller.call("POST", path))

    def _wait_for(self, op: str, state: str) -> None:
        """Wait until a job has come so far, or has ended."""
        job_id = self.jobs.get(op)

        def come() -> bool:
            with contextlib.suppress(Unknown):
                answer = self.caller.call("GET", f"{JOBS}/{job_id}")
                return answer.status == 200 and answer.json["state"] in {state, *TERMINAL}
            return False

        if job_id is not None:
            self._until(f"{op} {state}", come)

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        try:
            wait_until(condition, timeout_s=STEP_S)
        except AssertionError:
            self.missed.append(what)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _other(now: list[int], before: list[int]) -> bool:
    return bool(set(now) - set(before))
