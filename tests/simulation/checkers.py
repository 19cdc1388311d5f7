"""What must be true: after each commit of the one job that changed, and of everything at the end.

The rules are the invariants of the guarantees (I1 to I18). What really happened is in the ledger
that the commands write; here it is compared with what the server believes.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.frames import OUTPUT_TYPES, decode
from orchestrator.protocol.limits import LEASE_S
from orchestrator.protocol.wire import Ended, ReportRequest

if TYPE_CHECKING:
    from tests.simulation.parts.host import Host
    from tests.simulation.scene import Scene

SLACK_S: Final = 0.1
SYNCED_S: Final = 1.0
"""Much longer than a worker takes to start, and to sync an end."""
HEALED_S: Final = 95.0
"""A lease, the grace of a server that was just started, two ticks, and a worker's start."""
_STATED: Final = ("lost", "indeterminate")
FINAL: Final = frozenset(str(state) for state in TERMINAL)
_ORDER: Final = {
    "claimed": 0,
    "started": 1,
    **dict.fromkeys(("ended", "released", "lost", "preempted"), 2),
}
"""The steps of an attempt in its job's timeline; what else is told of it may come at any time."""


class Checkers:
    """The checkers of one scene."""

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene
        self._world = scene.world
        self._db = scene.database
        self.open: set[str] = set()
        """Jobs that are not finished."""
        self.finished: set[str] = set()
        self._issued: dict[tuple[str, int], str] = {}
        self._renewed: dict[str, float] = {}
        self._claimed: dict[tuple[str, int], float] = {}
        self._ended: set[tuple[str, int]] = set()
        self.server_began = 0.0
        self.calm_since: Callable[[], float] = lambda: math.inf

    def told(self, line: str) -> None:
        """Hear of a line in a timeline."""
        self._world.sometimes(f"told: {line}")

    def state(self, job_id: str, state: str, reason: str | None) -> None:
        """Hear that a job came into a state: a finished one is finished for good."""
        self._world.note("job", job_id, state)
        if state in FINAL:
            self._world.sometimes(f"a job is {state}: {reason}")
            self.open.discard(job_id)
            self.finished.add(job_id)
        elif job_id in self.finished:
            self._world.violated("I5", f"{job_id} was finished, and is {state}")
        else:
            self.open.add(job_id)

    def renewed(self, session_id: str) -> None:
        """Hear that a session's heartbeat was committed."""
        self._renewed[session_id] = self._world.loop.now

    def granted(self, session_id: str, job_id: str, attempt: int) -> None:
        """An attempt is issued to one session only (G3)."""
        key = (job_id, attempt)
        before = self._issued.setdefault(key, session_id)
        if before != session_id:
            self._world.violated("I8", f"{key} was issued to {before} and to {session_id}")

    def claimed(self, job_id: str, attempt: int) -> None:
        """Hear that an attempt came to be."""
        self._claimed[job_id, attempt] = self._world.loop.now

    def ended(self, job_id: str, number: int, session_id: str, outcome: str) -> None:
        """No attempt is lost before one whole lease without a sign, and none as a server starts."""
        self._world.note("attempt ends", job_id, number, outcome)
        self._ended.add((job_id, number))
        self._world.sometimes(f"an attempt ends {outcome}")
        now = self._world.loop.now
        operation = self._scene.server.operation
        if outcome == "indeterminate" and operation == "open_session":
            self._check_forgotten(job_id, number)
        if outcome != "lost" or operation != "upkeep":
            return
        if now > self.calm_since() + HEALED_S and not self._scene.is_once(job_id):
            self._world.violated("G16", f"{job_id} {number} was lost though nothing is wrong")
        signs = (
            self._renewed.get(session_id, 0.0),
            self._claimed.get((job_id, number), 0.0),
            self.server_began,
        )
        if now - max(signs) < LEASE_S - SLACK_S:
            self._world.violated(
                "G13", f"{job_id} {number} was lost {now - max(signs):.1f} s after a sign of life"
            )

    def _check_forgotten(self, job_id: str, number: int) -> None:
        """A worker that comes back with its memory knows all that it was granted (FT16)."""
        if self._scene.ledger.of(job_id, number).runs and self._scene.is_spool_whole(
            job_id, number
        ):
            self._world.violated("G14", f"{job_id} {number} runs, and its worker does not say so")

    def reported(self, request: ReportRequest, settled: set[tuple[str, int]]) -> None:
        """What was reported of an attempt that was given up is kept beside it (I17)."""
        for event in request.events:
            if not isinstance(event, Ended):
                continue
            key = (event.job_id, event.attempt)
            rows = self._db.rows(
                "SELECT outcome, exit_code, signal, late_result FROM attempt "
                "WHERE job_id = ? AND number = ?",
                *key,
            )
            if not rows:
                self._world.violated("I2", f"the end of {key} was reported, which is nowhere")
                continue
            ((outcome, code, signal, late),) = rows
            told = (event.outcome.value, event.exit_code, event.signal)
            if outcome is None:
                if key in settled:
                    self._world.violated("I5", f"the end of {key} is settled and nowhere")
                continue
            if told != (outcome, code, signal):
                self._world.sometimes("a late result is kept")
                if late is None:
                    self._world.violated("I17", f"{told} of {key} is lost beside {outcome}")

    def at_the_end(self) -> None:
        """Look at everything once more."""
        violated = self._world.violated
        if self._db.is_sound() is not None:
            violated("I13", str(self._db.is_sound()))
        self._check_orders()
        for job_id, state, attempt, code, seq, lost, failures in self._db.rows(
            "SELECT id, state, attempt, exit_code, event_seq, lost, failures FROM job"
        ):
            if state not in FINAL:
                violated("I10", f"{job_id} is {state} long after everything was mended")
            self._check_attempts(job_id, state, attempt, code)
            self._check_timeline(job_id, seq)
            self._check_retries(job_id, lost, failures)
        self._check_machines()

    def _check_orders(self) -> None:
        """I1, I2, I3: what was acknowledged is there, once, and nothing else."""
        violated = self._world.violated
        jobs = {job_id for (job_id,) in self._db.rows("SELECT id FROM job")}
        keys = dict(self._db.rows("SELECT job_id, request_key FROM idempotency"))
        for order in self._scene.people.orders:
            if order.acked is not None and order.acked not in jobs:
                violated("I1", f"{order.acked} was acknowledged and is not there")
            if order.acked is None and order.asked:
                violated("I10", f"{order.key} was never answered")
        if sorted(keys) != sorted(jobs) or len(set(keys.values())) != len(keys):
            violated("I3", f"{len(jobs)} jobs for {len(set(keys.values()))} keys")
        asked = {order.key for order in self._scene.people.orders if order.asked}
        if not set(keys.values()) <= asked:
            violated("I2", f"nobody asked for {set(keys.values()) - asked}")
        for order in self._scene.people.orders:
            self._check_cancel(order)

    def _check_cancel(self, order: Any) -> None:
        """G11: after an acknowledged cancel a job that had not started never starts."""
        if order.cancel_acked and order.cancel_state == "cancelled":
            ((state,),) = self._db.rows("SELECT state FROM job WHERE id = ?", order.acked)
            if state != "cancelled":
                self._world.violated("I5", f"{order.acked} was cancelled, and is {state}")

    def _check_attempts(self, job_id: str, state: str, attempt: int, code: int | None) -> None:
        violated = self._world.violated
        rows = self._db.rows(
            "SELECT number, outcome, exit_code, signal, missing_bytes, declared_stdout, "
            "declared_stderr FROM attempt WHERE job_id = ? ORDER BY number",
            job_id,
        )
        if [row[0] for row in rows] != list(range(1, attempt + 1)):
            violated("I8", f"{job_id} has attempts {[row[0] for row in rows]}, not 1..{attempt}")
        for number, outcome, exit_code, signal, missing, *declared in rows:
            if outcome is None:
                violated("I10", f"{job_id} {number} has no end")
                continue
            self._check_end(job_id, number, outcome, (exit_code, signal))
            self._check_declared((job_id, number), outcome, declared, missing)
        if rows and state == "succeeded" and rows[-1][1] != "succeeded":
            violated("I5", f"{job_id} succeeded, and its last attempt {rows[-1][1]}")
        if rows and state == "succeeded" and code != rows[-1][2]:
            violated("I6", f"{job_id} has code {code}, and its last attempt {rows[-1][2]}")

    def _check_end(
        self, job_id: str, number: int, outcome: str, told: tuple[int | None, int | None]
    ) -> None:
        """I4, I6: what is told of an end is what happened."""
        violated, name = self._world.violated, f"{job_id} {number}"
        truth = self._scene.ledger.of(job_id, number)
        if outcome == "indeterminate" and truth.durable and not self._scene.spools_lost:
            violated("G8", f"{name} is indeterminate, and its end was on the disk")
        if outcome == "released" and truth.started:
            violated("I4", f"{name} was given back as never started, and was started")
        succeeded = outcome == "succeeded" and self._is_command(job_id)
        if succeeded and not (truth.by_itself and truth.code == 0):
            violated("I6", f"{name} succeeded, and really {truth.code} {truth.signal}")
        for said, really in zip(told, (truth.code, truth.signal), strict=True):
            if said is not None and said != really:
                violated("I6", f"{name} ended with {said}, and really {really}")

    def _is_command(self, job_id: str) -> bool:
        ((kind,),) = self._db.rows("SELECT kind FROM job WHERE id = ?", job_id)
        return bool(kind == "command")

    def _check_output(self, job_id: str, number: int) -> int:
        """I7: what is stored is a beginning of what was said; return how much that is."""
        rows = self._db.rows(
            "SELECT inline_frames, length FROM output WHERE job_id = ? AND attempt = ?",
            job_id,
            number,
        )
        frames = rows[0][0] if rows else b""
        stored = b"".join(one.data for one in decode(frames or b"") if one.type in OUTPUT_TYPES)
        said = bytes(self._scene.ledger.of(job_id, number).own)
        if stored != said[: len(stored)]:
            self._world.violated("I7", f"{job_id} {number}: {stored!r} is no {said!r}")
        if stored and len(stored) < len(said):
            self._world.sometimes("output ends early")
        return len(stored)

    def _check_declared(
        self, key: tuple[str, int], outcome: str, declared: list[int | None], missing: int
    ) -> None:
        """G9: what was declared is what was said, and what of it is not stored is missing."""
        violated, name = self._world.violated, f"{key[0]} {key[1]}"
        out, err = declared
        stored = self._check_output(*key)
        if out is None:
            # Nobody told how it ended, so nobody knows what is missing.
            if missing:
                violated("I7", f"{name}: {missing} bytes are missing of what nobody declared")
            return
        heard = self._scene.ledger.of(*key).heard
        if err or out > heard or (out < heard and outcome not in _STATED):
            violated("I7", f"{name} {outcome}: {out} and {err} bytes declared, {heard} said")
        if missing != max(0, out - stored):
            violated("I7", f"{name}: {stored} of {out} bytes, and {missing} are called missing")
        if missing:
            self._world.sometimes("output is incomplete")

    def _check_timeline(self, job_id: str, seq: int) -> None:
        """I12, I18: no gaps; and an attempt is claimed, then starts, then ends."""
        rows = self._db.rows(
            "SELECT seq, type, attempt FROM job_event WHERE job_id = ? ORDER BY seq", job_id
        )
        if [row[0] for row in rows] != list(range(1, seq + 1)):
            self._world.violated("I12", f"the timeline of {job_id} has gaps")
        steps: dict[int, int] = {}
        finished = 0
        for _, kind, attempt in rows:
            finished += kind == "finished"
            step = _ORDER.get(kind)
            if attempt is None or step is None:
                continue
            if step <= steps.get(attempt, -1):
                self._world.violated("I18", f"{job_id} {attempt}: {kind} comes too late")
            steps[attempt] = step
        if finished != 1:
            self._world.violated("I5", f"{job_id} was finished {finished} times")

    def _check_retries(self, job_id: str, lost: int, failures: int) -> None:
        """G5: no try that the policy does not allow."""
        plan = self._scene.plan_of_job(job_id)
        if plan is None:
            return
        allowed = plan.fields.get("retry", {}).get("max_attempts", 1)
        if failures > allowed or lost > plan.fields.get("max_lost", 3) + 1:
            self._world.violated("G5", f"{job_id} failed {failures} and was lost {lost} times")

    def _check_machines(self) -> None:
        """I11: nobody is left, and nothing that nobody needs."""
        for host in self._scene.hosts:
            if host.spools_lost:
                continue  # what nobody remembers nobody can find
            for process in host.machine.processes.values():
                if process.name.startswith(("job", "left")) and process.environment:
                    self._world.violated("I11", f"{process} is left")

    def before_a_cut(self, host: "Host") -> None:
        """Note which ends are on the disk by now: synced 200 ms after they were written (G8)."""
        now, network = self._world.loop.now, self._world.injected
        if network["sync fails"] or network["disk full"] or host.machine.frozen:
            return
        for (job_id, number), truth in self._scene.ledger.attempts.items():
            worker = host.running.get(truth.worker)
            if worker is None or not worker.alive or truth.machine != host.machine.name:
                continue
            if (job_id, number) in self._ended:
                continue
            calm_since = max(worker.began, worker.went_on, host.machine.went_on)
            if worker.is_frozen or not calm_since + SYNCED_S < truth.recorded_at < now - SYNCED_S:
                continue
            self._world.note("on the disk", job_id, number)
            truth.durable = True
