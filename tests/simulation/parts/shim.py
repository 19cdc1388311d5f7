"""A shim: its real journal, its real deadlines and bell, and the order in which it does things.

`worker/shim/attempt.py` and `running.py` wait in a poll, which no virtual time can do; so their
order of steps is written down here once more, as callbacks. All that they decide with is theirs.
"""

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.protocol.frames import FrameType
from tests.simulation.parts.command import Command
from tests.simulation.world.process import Process
from tests.simulation.world.sockets import SimSocket
from worker.capacity import SPOOL_MAX_BYTES
from worker.records import Cause
from worker.shim import layout
from worker.shim.attempt import _EVERY_EXIT, _FULL_PATIENCE_S, _FULL_RETRY_S
from worker.shim.chime import Chime
from worker.shim.escort import _CAUSES, _SYNC_S
from worker.shim.journal import Journal
from worker.shim.line import Cancel, Grant, Line
from worker.shim.room import is_full
from worker.shim.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.scene import Scene


class Shim:
    """One shim process."""

    def __init__(self, scene: "Scene", process: Process, socket: SimSocket, spool: str) -> None:
        self.scene = scene
        self.world = scene.world
        self.process = process
        self._spool = spool
        self.worker = spool.split("/")[2]
        self._socket = socket
        self._line = Line(socket)  # type: ignore[arg-type]
        self._attempt: _Attempt | None = None
        self._is_set_up = False
        process.signals = self._told
        process.may_crash = self._crashed
        process.watchers.append(self._died)

    def main(self) -> None:
        """Get ready, and serve."""
        try:
            self.journal = Journal(self._spool, SPOOL_MAX_BYTES)
        except OSError as error:
            reason = f"a shim cannot work in the spool {self._spool}: {error.strerror}"
            self._line.say(json.dumps({"failed": reason}).encode())
            self._exit()
            return
        self._is_set_up = True
        self._line.say(json.dumps({"ready": self.journal.name}).encode())
        self.world.loop.add_reader(self._line.fd, self._hear)

    def later(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Do something in a while."""
        self.world.loop.within_later(self.process, seconds, callback, *args)

    def now(self) -> float:
        """Return the monotonic time."""
        return self.process.machine.clocks.monotonic(self.world.loop.now)

    def _exit(self, code: int = 0) -> None:
        self.process.machine.end(self.process, code=code)

    def _crashed(self, error: Exception) -> bool:
        """A shim whose disk is broken ends with a traceback in its log."""
        if isinstance(error, OSError):
            self.world.sometimes("a shim ends for its disk")
            self._exit(1)
        return isinstance(error, OSError)

    def _hear(self) -> None:
        while self.process.alive and not self._line.gone and self._readable():
            if self._attempt is not None and not self._attempt.listening:
                return
            order = self._line.receive()
            if order is None:
                self.world.loop.remove_reader(self._line.fd)
            if self._attempt is not None:
                self._attempt.obey(order)
            elif isinstance(order, Grant):
                self._run(order)
            elif order is None:
                self._finish()

    def _readable(self) -> bool:
        return self.process.files[self._line.fd].readable()

    def _run(self, grant: Grant) -> None:
        self._attempt = _Attempt(self, grant)
        self._attempt.begin()

    def _told(self, number: int) -> None:
        if self._attempt is not None:
            self._attempt.told(number)
        elif number == layout.PREEMPT_SIGNAL and self._is_set_up:
            self._finish()
        elif number == layout.PREEMPT_SIGNAL:
            # It does not hear signals yet: this one ends it, as it would any other process.
            self._exit()

    def _finish(self) -> None:
        self.journal.sync()
        self._exit()

    def over(self) -> None:
        """Go on after an attempt."""
        self._attempt = None
        if self._line.gone:
            self._finish()
        else:
            self._hear()

    @property
    def line(self) -> Line:
        """Return the line to the worker."""
        return self._line

    def _died(self, process: Process) -> None:
        """The children of a dead shim fall to the launcher, which kills them; or to nobody."""
        launcher = process.parent
        for child in list(process.machine.processes.values()):
            if child.parent is process:
                self.world.sometimes("a shim dies before its command")
                child.parent = launcher
                if launcher is not None and launcher.alive:
                    self.world.loop.within_later(launcher, 0.004, process.machine.kill, child)
                else:
                    self.world.sometimes("a command is orphaned")


class _Attempt:
    """One attempt, from its grant to its exit record."""

    def __init__(self, shim: Shim, grant: Grant) -> None:
        self._shim = shim
        self._grant = grant
        self._world = shim.world
        self._truth = shim.scene.ledger.of(grant.job, grant.attempt)
        self._truth.worker = shim.worker
        self._chime = Chime(shim.line)
        self._command: Command | None = None
        self._watch: Watch | None = None
        self._sync_at = math.inf
        self._full: OSError | None = None
        self._began = shim.now()
        self._started_us = self._ended_us = 0
        self._next_look = math.inf
        self._sweeping = False
        self.listening = False
        """Whether orders are heard: not before the command runs, and not after."""

    def begin(self) -> None:
        """Write it down, then start it."""
        grant, journal = self._grant, self._shim.journal
        if not journal.grant(grant.job, grant.attempt, grant.grace_s, grant.timeout_s):
            message = "the disk of the worker's spool is full: nothing was started"
            self._write_end({"cause": Cause.DISK_FULL, "message": message})
            return
        self._world.reach(self._shim.process, "granted")
        if grant.durable:
            journal.sync()
        self._shim.later(self._world.chance.uniform(0.0002, 0.003), self._start)

    def _start(self) -> None:
        grant, scene = self._grant, self._shim.scene
        process = self._shim.process
        plan = scene.plan_of(grant.argv)
        self._began, self._started_us = self._shim.now(), self._now_us()
        if process.machine.is_broken:
            name = "".join(chr(ord("a") + int(digit)) for digit in str(plan.number))
            self._write_end({"cause": Cause.SPAWN_ERROR, "message": f"{name} was not found"})
            return
        if plan.missing or process.machine.is_crowded:
            self._write_end({"cause": Cause.SPAWN_ERROR, "message": "executable was not found"})
            return
        self._watch = Watch(
            self._began,
            timeout_s=grant.timeout_s,
            silence_s=grant.silence_s,
            grace_s=grant.grace_s,
        )
        self._command = Command(scene, process, grant, plan, said=self._said, ended=self._ended)
        self._world.reach(process, "spawned")
        try:
            self._shim.journal.began(self._command.process.pid, self._started_us)
        except OSError as error:
            self._stop_writing(error)
        self._world.reach(process, "began")
        self.listening = True
        self._chime.ask(self._shim.now())
        self._look()
        self._shim._hear()

    def _now_us(self) -> int:
        return int(self._shim.process.machine.clocks.wall(self._world.loop.now) * 1_000_000)

    def _said(self, data: bytes) -> None:
        """Write down what the command says."""
        now = self._shim.now()
        if self._full is None:
            try:
                self._shim.journal.output(FrameType.OUT, data)
            except OSError as error:
                self._stop_writing(error)
            else:
                self._truth.own += data
        self._shim.journal.heard(FrameType.OUT, len(data))
        self._truth.heard += len(data)
        assert self._watch is not None
        self._watch.heard(now)
        self._chime.ask(now)
        if self._shim.line.gone and self._sync_at == math.inf:
            self._sync_at = now + _SYNC_S
        self._look()

    def _stop_writing(self, error: OSError) -> None:
        if not is_full(error):
            raise error
        self._full = error

    def _ended(self) -> None:
        """The command itself is gone."""
        if self._sweeping:
            return
        self._ended_us = self._now_us()
        assert self._watch is not None
        self._watch.end(self._shim.now())
        self._look()

    def _look(self) -> None:
        """Do what is due, and come back when something is."""
        if self._sweeping:
            return
        watch, now = self._watch, self._shim.now()
        assert watch is not None
        assert self._command is not None
        command = self._command
        if watch.is_over(now, pipes_open=command.is_heard, group_alive=lambda: command.in_group):
            self._sweep()
            return
        cause = watch.overdue(now) if self._full is None else Cause.DISK_FULL
        if cause is not None:
            self._stop(cause, now)
        self._chime.ring_if_due(now)
        if now >= self._sync_at:
            self._shim.journal.sync()
            self._sync_at = math.inf
        wake_at = min(watch.wake_at(), self._chime.at, self._sync_at)
        if wake_at < math.inf and (wake_at < self._next_look or self._next_look <= now):
            self._next_look = wake_at
            self._shim.later(max(wake_at - now, 0.0) + 1e-6, self._look)

    def _stop(self, cause: Cause, now: float, grace_s: float | None = None) -> None:
        assert self._watch is not None
        assert self._command is not None
        if self._watch.stop(cause, now, grace_s):
            self._command.terminate()

    def obey(self, order: Grant | Cancel | None) -> None:
        """Hear the worker, or that it is gone."""
        if self._sweeping:
            return
        now = self._shim.now()
        if isinstance(order, Cancel):
            self._stop(order.cause, now, order.grace_s)
        elif order is None:
            self._sync_at = now
        else:
            self._world.violated("I4", "a shim was granted an attempt while another one runs")
        self._look()

    def told(self, number: int) -> None:
        """Hear a signal."""
        if self._sweeping or self._watch is None:
            # It is heard when the command is there.
            self._shim.later(0.005, self._shim._told, number)
            return
        self._stop(_CAUSES[number], self._shim.now())
        self._look()

    def _sweep(self) -> None:
        """Kill whoever is left; only then say how it ended."""
        self._sweeping, self.listening = True, False
        assert self._command is not None
        leftovers = self._command.sweep()
        self._command.read_rest()
        command, watch = self._command, self._watch
        assert watch is not None
        remark = None if self._full is None else "the disk of the worker's spool is full"
        self._write_end(
            {
                "started_us": self._started_us,
                "cause": watch.cause or Cause.EXITED,
                "message": remark,
                "code": command.process.exit_code,
                "signal": command.process.signal,
                "leftovers": leftovers,
                "ended_us": self._ended_us or self._now_us(),
                "wall_s": 0.0,
            }
        )

    def _write_end(self, outcome: dict[str, object]) -> None:
        self._sweeping, self.listening = True, False
        record = {**_EVERY_EXIT, "ended_us": self._now_us(), **outcome}
        self._write_exit(record, give_up_at=self._shim.now() + _FULL_PATIENCE_S)

    def _write_exit(self, record: dict[str, object], give_up_at: float) -> None:
        shim = self._shim
        self._world.reach(shim.process, "exit")
        try:
            shim.journal.exit(record)
        except OSError as error:
            if shim.now() > give_up_at or not is_full(error):
                shim.process.machine.end(shim.process, code=1)
                return
            self._world.sometimes("an end waits for room")
            shim.later(_FULL_RETRY_S, self._write_exit, record, give_up_at)
            return
        self._truth.recorded_at = self._world.loop.now
        self._world.reach(shim.process, "exited")
        shim.line.say(layout.ended_bell(self._grant.job, self._grant.attempt))
        shim.over()
