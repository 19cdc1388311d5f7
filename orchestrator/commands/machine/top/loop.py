"""`orchestrator top`: look, draw, listen to keys, and again.

It is drawn anew each second, and at once when something happens. An orchestrator that does not
answer is said to, and asked again: whoever looks at it wants to see it come back.
"""

import collections
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from orchestrator.client.control import Control
from orchestrator.commands import output
from orchestrator.commands.machine.records import words
from orchestrator.commands.machine.top import screen, terminal
from orchestrator.commands.machine.top.screen import View
from orchestrator.commands.machine.top.usage import Sampler, Usage
from orchestrator.commands.surroundings import Surroundings
from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.machine import HoldWorkerRequest, MachineStatus, RestartRequest
from orchestrator.protocol.standing import HELD

LOOK_S: Final = 1.0
AGAIN_S: Final = 0.2
"""Not more often than so, whatever happens: eyes are not faster."""
GLANCE_S: Final = 0.5
"""Between the two looks of a snapshot: a share of a processor is a difference."""
LOG_LINES: Final = 200
SNAPSHOT_LINES: Final = 10
REASON: Final = "orchestrator top"


def run(surroundings: Surroundings, control: Control, *, once: bool, as_json: bool) -> int:
    """Show it once, or until somebody has seen enough; return the exit code."""
    seen = _Seen(control, surroundings)
    if as_json or once or not terminal.is_one(surroundings.environ):
        return _snapshot(seen, as_json=as_json)
    try:
        return _watch(seen, colour=terminal.has_colour(surroundings.environ))
    except terminal.Killed as killed:
        return 128 + killed.number


def _snapshot(seen: "_Seen", *, as_json: bool) -> int:
    seen.look()
    seen.must_be_seen()
    if (status := seen.view.status) is not None and status.running_count:
        time.sleep(GLANCE_S)
        seen.look()
        seen.must_be_seen()
    if (status := seen.view.status) is not None and as_json:
        usage = {
            job: {
                "cpu_percent": used.cpu_percent,
                "memory_bytes": used.memory_bytes,
                "processes": used.processes,
            }
            for job, used in seen.view.usage.items()
        }
        told = {"status": status.model_dump(mode="json"), "usage": usage}
        output.document(json.dumps(told).encode())
        return 0
    seen.read_log(SNAPSHOT_LINES)
    for line in screen.plain(seen.view):
        output.data(line)
    return 0


def _watch(seen: "_Seen", *, colour: bool) -> int:
    with _pipe() as (woken, wake):
        threading.Thread(target=seen.follow, args=(wake,), daemon=True).start()
        with terminal.full_screen(woken, wake) as shown:
            while True:
                seen.look()
                drawn_at = time.monotonic()
                _draw(shown, seen, colour=colour)
                for key in _pressed(shown, drawn_at):
                    if key in {"q", "Q"}:
                        return 0
                    seen.press(key)


def _pressed(shown: terminal.Screen, drawn_at: float) -> list[str]:
    """Return what is pressed until it is to be drawn again, which is soon if something happens."""
    wait_s = LOOK_S
    while (left_s := drawn_at + wait_s - time.monotonic()) > 0:
        if keys := shown.keys(left_s):
            return keys
        wait_s = AGAIN_S
    return []


def _draw(shown: terminal.Screen, seen: "_Seen", *, colour: bool) -> None:
    columns, rows = shown.size()
    drawn = screen.lines(seen.view, width=columns, height=rows)
    shown.draw([line.shown(colour=colour) for line in drawn])


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    try:
        yield woken, wake
    finally:
        os.close(woken)
        # Not the other end: whoever follows may be about to write to it.


class _Seen:
    """What is seen of one orchestrator."""

    def __init__(self, control: Control, surroundings: Surroundings) -> None:
        self._control = control
        self._surroundings = surroundings
        self._sampler = Sampler()
        self._status: MachineStatus | None = None
        self._trouble: OrchestratorError | None = None
        self._message = ""
        self._chosen: str | None = None
        """A worker by its name, or a job by its id."""
        self._doomed: str | None = None
        """The job that another press cancels."""
        self._log: collections.deque[str] = collections.deque(maxlen=LOG_LINES)
        self._usage: dict[str, Usage] = {}

    @property
    def view(self) -> View:
        """Return what is to be drawn."""
        return View(
            status=self._status,
            usage=self._usage,
            log=list(self._log),
            message=self._message if self._trouble is None else self._trouble.message,
            chosen=self._chosen,
            now=datetime.fromtimestamp(SystemClock().now(), UTC),
        )

    def look(self) -> None:
        """See how it is now; what was seen last stays where nobody answers."""
        try:
            self._status = self._control.get("/v1/status").read(MachineStatus)
        except OrchestratorError as error:
            self._trouble = error
            return
        self._trouble = None
        self._usage = self._sampler.look(self._status.workers, now=time.monotonic())
        choices = self._choices()
        if self._chosen not in choices:
            self._chosen = choices[0] if choices else None

    def _choices(self) -> list[str]:
        """Return what the keys can be about, as it is on the screen: workers, then their jobs."""
        workers = [] if self._status is None else self._status.workers
        jobs = [job.job for worker in workers for job in worker.running]
        return [*(worker.name for worker in workers), *jobs]

    def must_be_seen(self) -> None:
        """Say why nobody knows how it is, if that is so."""
        if self._trouble is not None:
            raise self._trouble

    def read_log(self, count: int) -> None:
        """See what happened last."""
        answer = self._control.get("/v1/events")
        self._log.extend(words(json.loads(line)) for line in answer.body.splitlines()[-count:])

    def follow(self, wake: int) -> None:
        """See what happens, and wake whoever draws; for ever, in a thread of its own."""
        number = 0
        while True:
            with contextlib.suppress(OrchestratorError):
                query = {"since": str(number), "follow": "1"}
                for line in self._control.lines("/v1/events", query):
                    record = json.loads(line)
                    number = record["seq"]
                    self._log.append(words(record))
                    with contextlib.suppress(OSError):
                        os.write(wake, b".")
            number = 0  # it has begun anew, and counts from one again
            time.sleep(LOOK_S)

    def press(self, key: str) -> None:
        """Do what a key stands for."""
        choices, chosen = self._choices(), self._chosen
        if chosen is None:
            return
        doomed, self._doomed = self._doomed, None
        if key in {"up", "down"}:
            step = 1 if key == "down" else -1
            self._chosen = choices[(choices.index(chosen) + step) % len(choices)]
            return
        workers = {} if self._status is None else {one.name: one for one in self._status.workers}
        worker = workers.get(chosen)
        if key in {"c", "C"}:
            self._cancel(None if worker else chosen, sure=doomed == chosen)
            return
        if worker is None:
            self._message = "choose a worker with ↑↓: of a job only c is known"
            return
        verb = {
            "p": "resume" if worker.state in HELD else "pause",
            "d": "drain",
            "r": "restart",
        }.get(key.lower())
        if verb is not None:
            self._order(worker.name, verb)

    def _cancel(self, job: str | None, *, sure: bool) -> None:
        """Have a job ended, by its server; one press too many must not do that."""
        if job is None:
            self._message = "choose a job with ↑↓, then c cancels it"
        elif not sure:
            self._doomed, self._message = job, f"press c once more to cancel {job}"
        else:
            try:
                with self._surroundings.connect() as remote:
                    remote.cancel(job, REASON)
            except OrchestratorError as error:
                self._message = f"cancel {job}: {error.message}"
            else:
                self._message = f"cancel {job}: ordered"

    def _order(self, name: str, verb: str) -> None:
        asked = {
            "pause": HoldWorkerRequest(reason=REASON),
            "drain": HoldWorkerRequest(reason=REASON),
            "restart": RestartRequest(reason=REASON),
        }
        try:
            self._control.post(f"/v1/workers/{name}:{verb}", asked.get(verb))
        except OrchestratorError as error:
            self._message = f"{verb} {name}: {error.message}"
        else:
            self._message = f"{verb} {name}: ordered"
