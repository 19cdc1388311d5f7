"""A command that runs: its output is written as it is said, and it is stopped when it is time.

It knows the poll and the process, and decides nothing that is about time: `Watch` does. It returns
when nobody of the attempt is left, with what there is to say about its end.
"""

import contextlib
import math
import os
import resource
import signal
import time
from typing import Final, NamedTuple

from orchestrator.kernel.cgroups import Cgroup
from worker.records import PREEMPT_GRACE_S, Cause
from worker.shim import layout, tree
from worker.shim.cell import Cell, unheld
from worker.shim.chime import Chime
from worker.shim.gauge import Gauge
from worker.shim.journal import Record, wall_us
from worker.shim.line import Cancel, Grant
from worker.shim.office import Office
from worker.shim.output import Output
from worker.shim.watch import Watch

_CAUSES: Final[dict[int, Cause]] = {
    layout.PREEMPT_SIGNAL: Cause.PREEMPTED,
    layout.CANCEL_SIGNAL: Cause.CANCELLED,
}
_SYNC_S: Final = 1.0
"""The worker syncs what its shims write; a shim whose worker is gone does it itself."""


class Started(NamedTuple):
    """A command that has just been started."""

    pid: int
    at: float
    cell: Cell | None


class Escort:
    """Whoever is with a started command until the last of it is gone."""

    def __init__(self, started: Started, *, grant: Grant, output: Output, office: Office) -> None:
        self._pid, began, self._cell = started
        self._output = output
        self._office = office
        self._grace_s = grant.grace_s
        self._unheld = unheld(grant) if office.unbound else []
        self._began = self._ended = began
        self._watch = Watch(
            self._began,
            timeout_s=grant.timeout_s,
            silence_s=grant.silence_s,
            grace_s=grant.grace_s,
        )
        is_held = self._cell is not None and self._cell.holds_memory
        self._gauge = Gauge(None if is_held else grant.memory_bytes, began)
        self._chime = Chime(office.line)
        self._chime.ask(time.monotonic())
        self._sync_at = math.inf
        self._status: int | None = None
        self._usage: resource.struct_rusage | None = None
        self._ended_us = 0
        self._leftovers = self._stuck = 0
        self._alone = False
        """Whether the kernel has said that nobody is left; nobody can come after that."""

    def see_out(self) -> Record:
        """Stay until the command has ended and everybody it left is gone; return how it ended."""
        self._follow()
        # First those that ended by themselves: they are nobody's leftovers.
        self._reap()
        if not self._alone:
            self._stuck = tree.sweep(self._swept, self._group())
        self._output.read_rest()
        return self._outcome()

    @property
    def stuck(self) -> bool:
        """Tell whether somebody could not be killed: he would be taken for the next one's."""
        return self._stuck > 0

    def _follow(self) -> None:
        poll, watch, output = self._office.poll, self._watch, self._output
        while True:
            now = time.monotonic()
            if watch.is_over(now, pipes_open=bool(output), group_alive=self._group_alive):
                return
            cause = watch.overdue(now) if output.full is None else Cause.DISK_FULL
            if cause is not None:
                self._stop(cause, now)
            if not watch.ended and self._gauge.look_if_due(now):
                # Nothing that it could still do would make it less.
                self._stop(Cause.OOM, now, 0.0)
            if output.go_on_if_due(now):
                # It was not silent: it was not listened to.
                watch.heard(now)
            self._chime.ring_if_due(now)
            self._sync_if_due(now)
            for fd, _ in poll.poll(self._pause_ms(now)):
                self._handle(fd)
            if not output:
                # Its pipes close just before it ends: asking now usually saves a wake-up.
                self._reap()

    @property
    def _gauge_at(self) -> float:
        return math.inf if self._watch.ended else self._gauge.at

    def _pause_ms(self, now: float) -> float | None:
        wake_at = min(
            self._watch.wake_at(),
            self._chime.at,
            self._sync_at,
            self._output.look_at,
            self._gauge_at,
        )
        return None if wake_at == math.inf else max(0.0, wake_at - now) * 1000

    def _sync_if_due(self, now: float) -> None:
        if now >= self._sync_at:
            self._office.journal.sync()
            self._sync_at = math.inf

    def _handle(self, fd: int) -> None:
        now = time.monotonic()
        if fd in self._output:
            if self._output.read(fd):
                self._heard(now)
        elif fd == self._office.line.fd:
            self._obey(now)
        else:
            for number in self._office.alerts.take():
                self._stop(_CAUSES[number], now, self._grace_for(_CAUSES[number]))
            self._reap()

    def _reap(self) -> None:
        self._alone = self._alone or not tree.reap(self._reaped)

    def _heard(self, now: float) -> None:
        self._watch.heard(now)
        self._chime.ask(now)
        if self._office.line.gone and self._sync_at == math.inf:
            self._sync_at = now + _SYNC_S

    def _obey(self, now: float) -> None:
        order = self._office.line.receive()
        if isinstance(order, Cancel):
            self._stop(order.cause, now, order.grace_s)
        elif self._office.line.gone:
            # Nobody else will sync from here on; what was written so far is due at once.
            self._office.poll.unregister(self._office.line.fd)
            self._sync_at = now
        else:
            raise RuntimeError("granted an attempt while another one runs")

    def _stop(self, cause: Cause, now: float, grace_s: float | None = None) -> None:
        """Ask the command and its group to end. Its pid is its own until we have reaped it."""
        if self._watch.stop(cause, now, grace_s):
            # What runs as another user cannot be told; whether it can be killed, the sweep finds.
            with contextlib.suppress(PermissionError):
                os.killpg(self._pid, signal.SIGTERM)
                # A stopped process hears nothing before it goes on.
                os.killpg(self._pid, signal.SIGCONT)

    def _grace_for(self, cause: Cause) -> float:
        """Return the grace of an order that names none."""
        return min(self._grace_s, PREEMPT_GRACE_S if cause is Cause.PREEMPTED else math.inf)

    def _group_alive(self) -> bool:
        return tree.in_group(self._pid)

    def _group(self) -> Cgroup | None:
        """Return the group to kill; none if this shim could not step out of the cell in it."""
        return self._office.group if self._cell is None or self._cell.left() else None

    def _reaped(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        if pid == self._pid:
            self._status, self._usage = status, usage
            self._ended, self._ended_us = time.monotonic(), wall_us()
            self._watch.end(self._ended)

    def _swept(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        if pid == self._pid:
            self._reaped(pid, status, usage)
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self._leftovers += 1

    def _outcome(self) -> Record:
        status, usage = self._status, self._usage
        result = None if status is None else os.waitstatus_to_exitcode(status)
        verdict = None if self._cell is None else self._cell.verdict()
        cause = self._watch.cause or (Cause.EXITED if verdict is None else Cause.OOM)
        return {
            "cause": cause,
            "message": self._remark(verdict or self._gauge.verdict if cause is Cause.OOM else None),
            "code": result if result is not None and result >= 0 else None,
            "signal": -result if result is not None and result < 0 else None,
            "leftovers": self._leftovers,
            "ended_us": self._ended_us or wall_us(),
            "wall_s": round(self._ended - self._began, 6),
            "user_s": usage.ru_utime if usage else 0.0,
            "sys_s": usage.ru_stime if usage else 0.0,
            "max_rss_kib": usage.ru_maxrss if usage else 0,
        }

    def _remark(self, too_much: str | None) -> str | None:
        remarks = [] if too_much is None else [too_much]
        remarks += self._unheld if self._cell is None else self._cell.remarks()
        if self._output.full is not None:
            # One that had ended when its last words were read was not ended for them.
            ended = "the command was ended and " if self._watch.cause is Cause.DISK_FULL else ""
            remarks.append(
                f"the disk of the worker's spool is full, so {ended}its last "
                f"{self._output.lost} bytes of output were not kept: make room on it"
            )
        if self._output.dropped:
            remarks.append(
                f"{self._output.dropped} bytes of its output were not kept, because the worker "
                "keeps less of a job's output: the beginning and the end are there"
            )
        if self._output.missed:
            remarks.append(
                f"{self._output.missed} bytes of its output were not kept, because as much waited "
                "for the server as the worker's spool may hold"
            )
        if self._stuck:
            remarks.append(
                f"{self._stuck} processes of the job could not be killed (held by the kernel, or "
                "of another user): look among the children of this machine's launcher"
            )
        return "; ".join(remarks) or None
