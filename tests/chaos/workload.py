"""Six clients who do what people do: submit, repeat themselves, cancel, upload, follow, err.

Each is a thread with a seed of its own and writes down what it asks before it asks, and what it was
told after. It never judges.
"""

import base64
import hashlib
import io
import random
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.caller import Answer, Caller, Unknown
from tests.chaos.mistakes import MISTAKES
from tests.chaos.plans import Plan, make_plan, payload_of, spec_of
from tests.chaos.records import Journal, Note, now

JOBS: Final = "/api/v1/jobs"
TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled", "expired"})
TRIES: Final = 40
"""How often somebody asks again who was not answered. It outlasts every fault but the last."""
PAUSE_S: Final = 0.25
WAIT_S: Final = 2
FOLLOW_S: Final = 8.0
STEPS: Final = {
    "submit": 12,
    "look": 10,
    "wait": 3,
    "cancel": 2,
    "follow_events": 1,
    "follow_output": 1,
    "err": 1,
}


@dataclass
class Client:
    """One client: `run` until told to stop."""

    number: int
    caller: Caller
    journal: Journal
    draw: random.Random
    ledger: Path
    stop: threading.Event
    open_max: int = 3
    """Jobs that it has under way at once."""
    jobs: dict[str, str] = field(default_factory=dict)
    """op → id of each job that it has not seen the end of."""
    serial: int = 0

    def run(self) -> None:
        """Do one thing after another."""
        names, weights = list(STEPS), list(STEPS.values())
        while not self.stop.is_set():
            name = self.draw.choices(names, weights)[0]
            if name == "submit" and len(self.jobs) >= self.open_max:
                name = "wait"
            step: Callable[[], None] = getattr(self, f"_{name}")
            step()
            self.stop.wait(self.draw.uniform(0, PAUSE_S))

    def _note(self, op: str, do: str, kind: str, **told: Any) -> None:
        self.journal.add(Note(now(), self.number, op, do, kind, told))

    def _asked(self, op: str, do: str, ask: Callable[[], Answer], **told: Any) -> Answer | None:
        """Ask once, and note what came of it; nothing means that nobody knows."""
        self._note(op, do, "invoke", **told)
        try:
            answer = ask()
        except Unknown as unknown:
            self._note(op, do, "info", why=str(unknown))
            return None
        if answer.status < 300:
            self._note(op, do, "ok", status=answer.status, **_gist(answer))
        else:
            why = answer.body.decode(errors="replace")[:2_000]
            self._note(op, do, "fail", status=answer.status, why=why)
        return answer

    def _insisted(self, op: str, do: str, ask: Callable[[], Answer], **told: Any) -> Answer | None:
        """Ask until there is an answer that is not *try again*."""
        for _ in range(TRIES):
            answer = self._asked(op, do, ask, **told)
            if answer is not None and answer.status not in {429, 503}:
                return answer
            if self.stop.wait(self.draw.uniform(0, 4 * PAUSE_S)):
                break
        return None

    def _submit(self) -> None:
        self.serial += 1
        op = f"c{self.number}-{self.serial:05d}"
        plan = make_plan(self.draw, op, self.ledger)
        file = None
        if plan["kind"] == "upload":
            file = self._uploaded(plan)
            if file is None:
                return
        spec = spec_of(plan, file)

        def ask() -> Answer:
            return self.caller.post_once(JOBS, spec, op)

        answer = self._insisted(op, "submit", ask, plan=plan)
        if answer is None or answer.status >= 300:
            return
        self.jobs[op] = answer.json["id"]
        if self.draw.random() < 0.2:
            self._asked(op, "submit", ask, plan=plan, again=True)
        if self.draw.random() < 0.05:
            other = spec | {"priority": 7}
            self._asked(op, "conflict", lambda: self.caller.post_once(JOBS, other, op))

    def _uploaded(self, plan: Plan) -> str | None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("payload.txt"), payload_of(plan))
        body = packed.getvalue()
        sha256 = hashlib.sha256(body).hexdigest()
        answer = self._insisted(
            plan["op"],
            "upload",
            lambda: self.caller.call("POST", "/api/v1/files?check=zip", body),
            sha256=sha256,
        )
        return sha256 if answer is not None and answer.status < 300 else None

    def _some_job(self) -> tuple[str, str] | None:
        return self.draw.choice(list(self.jobs.items())) if self.jobs else None

    def _look(self, wait_s: int = 0) -> None:
        if (job := self._some_job()) is not None:
            op, job_id = job
            headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
            answer = self._asked(
                op, "look", lambda: self.caller.call("GET", f"{JOBS}/{job_id}", headers=headers)
            )
            if answer is not None and answer.status < 300 and answer.json["state"] in TERMINAL:
                self.jobs.pop(op, None)

    def _wait(self) -> None:
        self._look(WAIT_S)

    def _cancel(self) -> None:
        if (job := self._some_job()) is not None:
            op, job_id = job
            self._asked(op, "cancel", lambda: self.caller.call("POST", f"{JOBS}/{job_id}/cancel"))

    def _err(self) -> None:
        mistake = self.draw.choice(MISTAKES)
        op = f"c{self.number}-err"
        self._asked(op, "err", lambda: mistake.make(self.caller), mistake=mistake.name)

    def _follow_events(self) -> None:
        self._follow("events", lambda event: {"seq": event["seq"], "type": event["type"]})

    def _follow_output(self) -> None:
        self._follow("output", _piece)

    def _follow(self, what: str, gist: Callable[[Any], dict[str, Any]]) -> None:
        """Follow a stream through every break, until its end or until it gets boring."""
        if (job := self._some_job()) is None:
            return
        op, job_id = job
        self._note(op, f"follow_{what}", "invoke")
        seen: list[dict[str, Any]] = []
        last_id, over, bored_at = None, False, now() + FOLLOW_S
        while not over and now() < bored_at and not self.stop.is_set():
            for event in self.caller.stream(f"{JOBS}/{job_id}/{what}/stream", last_id):
                last_id = event.id or last_id
                over = event.name == "eof"
                if event.name in {"event", "output"}:
                    seen.append(gist(event.data))
                if over or now() > bored_at:
                    break
            self.stop.wait(0 if over else PAUSE_S)
        self._note(op, f"follow_{what}", "ok", seen=seen, whole=over)


def _gist(answer: Answer) -> dict[str, Any]:
    """Return of an answer what the judge compares."""
    told = answer.json
    names = ("id", "state", "reason", "attempt", "exit_code", "finished_at", "sha256")
    return {name: told[name] for name in names if told.get(name) is not None}


def _piece(view: dict[str, Any]) -> dict[str, Any]:
    """Return of a piece of output whose it is, and its words."""
    data = view["text"].encode() if "text" in view else base64.b64decode(view["base64"])
    attempt = view["cursor"].partition(".")[0]
    return {"attempt": int(attempt), "stream": view["stream"], "text": data.decode()}
