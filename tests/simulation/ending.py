"""What must be true when all is mended and settled: everything is looked at once more.

What really happened is in the ledger that the commands write; here it is compared with what the
server believes (I1 to I18).
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from orchestrator.protocol.frames import OUTPUT_TYPES, decode
from orchestrator.server.output_log import OutputFiles
from tests.simulation.checkers import FINAL
from tests.simulation.parts.schedules import Moments
from tests.simulation.parts.server import OUTPUTS
from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.scene import Scene

_ORDER: Final = {
    "claimed": 0,
    "started": 1,
    **dict.fromkeys(("ended", "released", "lost", "preempted"), 2),
}
"""The steps of an attempt in its job's timeline; what else is told of it may come at any time."""


STATED: Final = ("lost", "indeterminate")
"""Ends that a server may have stated."""


class Stored(NamedTuple):
    """What a server has of an output: its beginning, how much was left out, and what follows."""

    head: bytes
    left_out: int
    tail: bytes


class Ending:
    """The checkers of one scene's end."""

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene
        self._world = scene.world
        self._db = scene.database

    def at_the_end(self) -> None:
        """Look at everything."""
        violated = self._world.violated
        if self._db.is_sound() is not None:
            violated("I13", str(self._db.is_sound()))
        self._check_orders()
        for job_id, state, attempt, code, seq, lost, failures, floor in self._db.rows(
            "SELECT id, state, attempt, exit_code, event_seq, lost, failures, attempt_floor "
            "FROM job"
        ):
            if state not in FINAL:
                violated("I10", f"{job_id} is {state} long after everything was mended")
            self._check_attempts(job_id, state, code)
            self._check_numbers(job_id, attempt, floor)
            self._check_timeline(job_id, seq)
            self._check_retries(job_id, lost, failures)
        Moments(self._scene).check()
        self._check_machines()

    def _check_orders(self) -> None:
        """I1, I2, I3: what was acknowledged is there, once, and nothing else."""
        violated = self._world.violated
        jobs = {job_id for (job_id,) in self._db.rows("SELECT id FROM job")}
        keys = dict(
            self._db.rows("SELECT job_id, request_key FROM idempotency WHERE job_id IS NOT NULL")
        )
        for order in self._scene.people.orders:
            if order.again is not None and order.acked in jobs:
                self._check_link(order)
            if order.acked is not None and order.acked not in jobs:
                violated("I1", f"{order.acked} was acknowledged and is not there")
            if order.acked is None and order.asked and not order.forgotten:
                violated("I10", f"{order.key} was never answered")
        asked_for = jobs - {
            job_id
            for (job_id,) in self._db.rows(
                "SELECT id FROM job WHERE schedule_id <> '' OR batch_id <> ''"
            )
        }
        if sorted(keys) != sorted(asked_for) or len(set(keys.values())) != len(keys):
            violated("I3", f"{len(jobs)} jobs for {len(set(keys.values()))} keys")
        asked = {order.key for order in self._scene.people.orders if order.asked}
        if not set(keys.values()) <= asked:
            violated("I2", f"nobody asked for {set(keys.values()) - asked}")
        for order in self._scene.people.orders:
            self._check_cancel(order)

    def _check_link(self, order: Any) -> None:
        """G5: what a person asked for once more says what it repeats."""
        ((retry_of,),) = self._db.rows("SELECT retry_of FROM job WHERE id = ?", order.acked)
        if order.again.ids and retry_of not in order.again.ids:
            self._world.violated("G5", f"{order.acked} repeats {retry_of}")

    def _check_cancel(self, order: Any) -> None:
        """G11: after an acknowledged cancel a job that had not started never starts."""
        if order.cancel_acked and order.cancel_state == "cancelled":
            ((state,),) = self._db.rows("SELECT state FROM job WHERE id = ?", order.acked)
            if state != "cancelled":
                self._world.violated("I5", f"{order.acked} was cancelled, and is {state}")

    def _check_numbers(self, job_id: str, attempt: int, floor: int | None) -> None:
        """I8: no number is left out, but for those that a restore may have taken back."""
        numbers = [
            number
            for (number,) in self._db.rows(
                "SELECT number FROM attempt WHERE job_id = ? AND number > ? ORDER BY number",
                job_id,
                floor or 0,
            )
        ]
        if numbers != list(range((floor or 0) + 1, attempt + 1)):
            self._world.violated("I8", f"{job_id} has attempts {numbers}, up to {attempt}")

    def _check_attempts(self, job_id: str, state: str, code: int | None) -> None:
        violated = self._world.violated
        rows = self._db.rows(
            "SELECT number, outcome, exit_code, signal, missing_bytes, reason, declared_stdout, "
            "declared_stderr FROM attempt WHERE job_id = ? ORDER BY number",
            job_id,
        )
        for number, outcome, exit_code, signal, missing, reason, *declared in rows:
            if outcome is None:
                violated("I10", f"{job_id} {number} has no end")
                continue
            by_force = outcome == "indeterminate" and reason == "cancelled_by_user"
            if reason != "restored" and not by_force:  # else nobody waited for how it ended
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
        """I7: what is stored is what was said, but for a gap; return how far it goes."""
        head, left_out, tail = self._stored(job_id, number)
        said = bytes(self._scene.ledger.of(job_id, number).own)
        begin = len(head) + left_out
        end = begin + len(tail)
        if head != said[: len(head)] or tail != said[begin:end]:
            self._world.violated(
                "I7", f"{job_id} {number}: {head!r}, {left_out}, {tail!r} is no {said!r}"
            )
        if left_out:
            self._world.sometimes("output is left out in the middle")
        if end and end < len(said):
            self._world.sometimes("output ends early")
        return end

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
        if err or out > heard or (out < heard and outcome not in STATED):
            violated("I7", f"{name} {outcome}: {out} and {err} bytes declared, {heard} said")
        if missing != max(0, out - stored):
            violated("I7", f"{name}: {stored} of {out} bytes, and {missing} are called missing")
        if missing:
            self._world.sometimes("output is incomplete")

    def _stored(self, job_id: str, number: int) -> Stored:
        """Return the bytes of an output as a reader gets them: of its row, or of its parts."""
        rows = self._db.rows(
            "SELECT inline_frames, length, gap_start, dropped_bytes FROM output "
            "WHERE job_id = ? AND attempt = ?",
            job_id,
            number,
        )
        if not rows:
            return Stored(b"", 0, b"")
        ((inline, length, gap_start, left_out),) = rows
        pieces = {0: bytes(inline or b"")}
        parts = self._db.rows(
            "SELECT start, length FROM output_part WHERE job_id = ? AND attempt = ? ORDER BY start",
            job_id,
            number,
        )
        for start, size in parts:
            pieces[start] = self._part(job_id, number, start)[:size]
            if len(pieces[start]) != size:
                self._world.violated("I7", f"{job_id} {number}: the part at {start} is cut off")
        if len(parts) > 1:
            self._world.sometimes("output is in several parts")
        if parts and sum(map(len, pieces.values())) < length and not left_out:
            self._world.violated("I7", f"{job_id} {number}: parts of {length} bytes are missing")
        before = [_own(data) for start, data in pieces.items() if not left_out or start < gap_start]
        behind = [_own(data) for start, data in pieces.items() if left_out and start >= gap_start]
        return Stored(b"".join(before), left_out, b"".join(behind))

    def _part(self, job_id: str, number: int, start: int) -> bytes:
        path = str(OutputFiles(OUTPUTS).path(job_id, number, start))
        found = self._scene.server.machine.disk.names.get(path)
        return b"" if found is None else bytes(found.data)

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
        for process in self.left_behind():
            self._world.violated("I11", f"{process} is left")

    def left_behind(self) -> list[Process]:
        """Return what runs of jobs, but for what nobody remembers, so that nobody can find it."""
        return [
            process
            for host in self._scene.hosts
            if not host.spools_lost
            for process in host.machine.processes.values()
            if process.name.startswith(("job", "left")) and process.environment
        ]


def _own(frames: bytes) -> bytes:
    return b"".join(one.data for one in decode(frames) if one.type in OUTPUT_TYPES)
