"""What must be true of batches and of orders for many jobs, at every change of a job of theirs.

It keeps accounts of its own: what each job became, by the changes as the database tells them, and
whom an order was for when it was given.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.bulk import APPLICABLE
from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.bulk import BulkOrder
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.batch_views import get_batch

if TYPE_CHECKING:
    from tests.simulation.scene import Scene

ENDING: Final = frozenset({*TERMINAL, JobState.CANCELLING})


class Accounts:
    """The checker of batches and of orders for many jobs, of one scene."""

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene
        self._world = scene.world
        self._db = scene.database
        self._states: dict[str, JobState] = {}
        self._changed: set[str] = set()
        self._given: list[str] = []
        self._gave_way: list[str] = []
        self._stopped: set[str] = set()
        """Batches that were ended, whatever somebody did to them since."""
        self._left: dict[str, tuple[str, set[str]]] = {}
        """By the id of an order for many jobs: what is to be done, and to whom it still is."""

    def changed(self, job_id: str, state: str) -> None:
        """Hear that a job came into a state."""
        self._states[job_id] = JobState(state)
        self._changed.add(job_id)
        for action, left in self._left.values():
            if job_id in left and _is_reached(action, JobState(state)):
                left.discard(job_id)

    def gave_way(self, job_id: str) -> None:
        """Hear that policy ended a job, for one that may not be there before the commit."""
        self._gave_way.append(job_id)

    def claimed(self, job_id: str) -> None:
        """Hear that a job is given out."""
        self._given.append(job_id)

    def brought_back(self) -> None:
        """Hear that a restore took back what is newer; no order goes on after that."""
        self._left = {bulk_id: ("", set()) for (bulk_id,) in self._db.rows("SELECT id FROM bulk")}
        self._states = {
            job_id: JobState(state) for job_id, state in self._db.rows("SELECT id, state FROM job")
        }
        self._changed.clear()

    def is_ended(self, job_id: str) -> bool:
        """Tell whether somebody ended the batch of a job, or all jobs like it."""
        return self._is_stopped(job_id) or bool(
            self._db.rows(
                "SELECT 1 FROM bulk WHERE json_extract(action, '$.action') = 'cancel' "
                "AND upto >= ? AND q = 'label:team=' || (SELECT json_extract(spec, '$.labels.team')"
                " FROM job_spec WHERE job_id = ?)",
                job_id,
                job_id,
            )
        )

    def _is_stopped(self, job_id: str) -> bool:
        rows = self._db.rows(
            "SELECT batch.id, stopped_us IS NOT NULL FROM job JOIN batch ON batch.id = batch_id "
            "WHERE job.id = ?",
            job_id,
        )
        return any(stopped or batch_id in self._stopped for batch_id, stopped in rows)

    def _may_give_way(self, job_id: str) -> bool:
        """Tell whether policy may end a job: its batch has too many failures, or its key is asked.

        The others are those with its key that came after it.
        """
        return self._is_stopped(job_id) or bool(
            self._db.rows(
                "SELECT 1 FROM job_spec AS mine, json_each(mine.spec, '$.concurrency') AS held, "
                "job_spec AS other, json_each(other.spec, '$.concurrency') AS asked "
                "WHERE mine.job_id = ? AND json_extract(asked.value, '$.key') = "
                "json_extract(held.value, '$.key') "
                "AND json_extract(asked.value, '$.strategy') = 'cancel_running'",
                job_id,
            )
        )

    def committed(self) -> None:
        """Look at what an operation has changed."""
        changed, self._changed = self._changed, set()
        given, self._given = self._given, []
        gone, self._gave_way = self._gave_way, []
        for job_id in gone:
            self._world.sometimes("a job gives way to another one with its key")
            if not self._may_give_way(job_id):
                self._world.violated("G11", f"{job_id} is cancelled, and no rule says so")
        self._look_at_orders()
        for job_id in given:
            self._check_given(job_id)
        batches = self._db.rows("SELECT id FROM batch") if changed else []
        for (batch_id,) in batches:
            self._check_batch(batch_id)

    def _check_given(self, job_id: str) -> None:
        """Nothing is given out of a batch that was ended to its last job."""
        rows = self._db.rows(
            "SELECT batch.id FROM job JOIN batch ON batch.id = job.batch_id "
            "WHERE job.id = ? AND stopped_us IS NOT NULL AND stopping_before IS NULL",
            job_id,
        )
        if rows:
            self._world.violated("B3", f"{job_id} is given out of {rows[0][0]}, which was ended")

    def _check_batch(self, batch_id: str) -> None:
        """What a batch says of itself is what its jobs are."""
        view = self._db.read(lambda reader: get_batch(reader, batch_id), 0)
        rows: list[tuple[str, Any, Any]] = self._db.rows(
            "SELECT id, reason, retry_of FROM job WHERE batch_id = ?", batch_id
        )
        again = {retry_of for _, _, retry_of in rows}
        counts = Counter(self._states[job_id] for job_id, _, _ in rows)
        failed = sum(
            self._states[job_id] is JobState.FAILED
            and reason != "dependency_failed"
            and job_id not in again
            for job_id, reason, _ in rows
        )
        if view.counts != counts or view.jobs != len(rows) or view.failed != failed:
            self._world.violated("B1", f"{batch_id} says {view.counts} {view.failed}: {counts}")
        ((closed_us, stopped_us, before),) = self._db.rows(
            "SELECT closed_us, stopped_us, stopping_before FROM batch WHERE id = ?", batch_id
        )
        if view.done != (closed_us is not None and counts.keys() <= TERMINAL):
            self._world.violated("B1", f"{batch_id} is done: {view.done}, with {counts}")
        if view.max_fails is not None and failed > view.max_fails and stopped_us is None:
            self._world.violated("B2", f"{failed} of {batch_id} failed, and it goes on")
        if stopped_us is not None:
            self._stopped.add(batch_id)
            self._world.sometimes(f"a batch is ended by {view.stopped_by}")
        if stopped_us is not None and before is None and not counts.keys() <= ENDING:
            self._world.violated("B3", f"{batch_id} was ended, and has {counts}")

    def _look_at_orders(self) -> None:
        """Know whom a new order is for; and see that one that is done has reached all of them."""
        for bulk_id, action, query, upto, done in self._db.rows(
            "SELECT id, action, q, upto, finished_us IS NOT NULL FROM bulk"
        ):
            if bulk_id not in self._left:
                self._left[bulk_id] = self._meant(action, query, upto)
            name, left = self._left[bulk_id]
            if done and left:
                self._world.violated("B4", f"{bulk_id} is done, and {name} missed {sorted(left)}")
                left.clear()

    def _meant(self, action: str, query: str, upto: str) -> tuple[str, set[str]]:
        order = BulkOrder.model_validate_json(action)
        rows = self._db.rows(
            "SELECT id FROM job JOIN job_spec ON job_id = id WHERE id <= ? "
            "AND json_extract(spec, '$.labels.team') = ?",
            upto,
            query.removeprefix("label:team="),
        )
        states = APPLICABLE[order.action]
        return str(order.action), {one for (one,) in rows if self._states[one] in states}

    def at_the_end(self) -> None:
        """Every order was done."""
        for (bulk_id,) in self._db.rows("SELECT id FROM bulk WHERE finished_us IS NULL"):
            self._world.violated("B4", f"{bulk_id} was never done")
        for (batch_id,) in self._db.rows("SELECT id FROM batch"):
            self._check_batch(batch_id)


def _is_reached(action: str, state: JobState) -> bool:
    """Tell whether an order is done to a job, or cannot be any more."""
    match action:
        case "cancel":
            return state in ENDING
        case "hold":
            return state is JobState.HELD or state not in APPLICABLE_TO_HOLD
        case _:
            return True


APPLICABLE_TO_HOLD: Final = frozenset(
    {JobState.SCHEDULED, JobState.BLOCKED, JobState.QUEUED, JobState.HELD}
)
