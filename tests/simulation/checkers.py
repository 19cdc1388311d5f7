"""What must be true after each commit, of the one job that changed; `ending.py` has the rest.

The rules are the invariants of the guarantees (I1 to I18). What really happened is in the ledger
that the commands write; here it is compared with what the server believes.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.limits import LEASE_S
from orchestrator.protocol.wire import Ended, ReportRequest
from tests.simulation.accounts import Accounts
from tests.simulation.gates import Gates

if TYPE_CHECKING:
    from tests.simulation.parts.host import Host
    from tests.simulation.scene import Scene

SLACK_S: Final = 0.1
LONG_S: Final = 2.0
SYNCED_S: Final = 1.0
"""Much longer than a worker takes to start, and to sync an end."""
HEALED_S: Final = 95.0
"""A lease, the grace of a server that was just started, two ticks, and a worker's start."""
LATE: Final = frozenset({"expired", "failed"})
"""What becomes of a job whose moment passes, wherever it waits."""
LET_GO: Final = frozenset({"release", "cancel", "submit", "advance"})
"""Operations by which somebody lets a job go, or ends it."""
FINAL: Final = frozenset(str(state) for state in TERMINAL)


class Checkers:
    """The checkers of one scene."""

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene
        self._world = scene.world
        self._db = scene.database
        self.open: set[str] = set()
        """Jobs that are not finished."""
        self.finished: set[str] = set()
        self.held: set[str] = set()
        """Jobs that are kept back: nobody but a person lets them go."""
        self._released: set[str] = set()
        """Restored jobs that a person let go: those may be started once more."""
        self._restored: set[str] = set()
        self.vanished: set[str] = set()
        """Jobs that a restore took back."""
        self._issued: dict[tuple[str, int], str] = {}
        self._renewed: dict[str, float] = {}
        self._claimed: dict[tuple[str, int], float] = {}
        self._ended: set[tuple[str, int]] = set()
        self.server_began = 0.0
        self.calm_since: Callable[[], float] = lambda: math.inf
        self.healed_s = HEALED_S
        """How long it takes until all is as if nothing had been broken."""
        self._gates: Gates | None = None
        self._accounts: Accounts | None = None

    def share(self) -> None:
        """Look at what jobs share as well: it is much to look at."""
        self._gates, self._accounts = Gates(self._scene, self), Accounts(self._scene)

    def calm_from(self) -> float:
        """Return from which moment on nothing is owed to any fault."""
        return self.calm_since() + self.healed_s

    def committed(self, operation: str, now_us: int) -> None:
        """Hear that an operation was committed."""
        if self._gates is not None and self._accounts is not None:
            self._gates.committed(operation, now_us)
            self._accounts.committed()

    def told(self, line: str) -> None:
        """Hear of a line in a timeline."""
        self._world.sometimes(f"told: {line}")

    def state(self, job_id: str, state: str, reason: str | None) -> None:
        """Hear that a job came into a state: a finished one is finished for good."""
        self._world.note("job", job_id, state)
        self._check_held(job_id, state)
        if self._accounts is not None:
            self._accounts.changed(job_id, state)
        if state in FINAL:
            self._world.sometimes(f"a job is {state}: {reason}")
            self._check_expired(job_id, state)
            if reason == "cancelled_by_policy":
                self._check_replaced(job_id)
            elif state == "cancelled" and not self._is_asked_for(job_id):
                self._world.violated("G11", f"{job_id} is cancelled, and nobody asked for that")
            self.open.discard(job_id)
            self.finished.add(job_id)
        elif job_id in self.finished:
            self._world.violated("I5", f"{job_id} was finished, and is {state}")
        else:
            self.open.add(job_id)

    def _is_asked_for(self, job_id: str) -> bool:
        return self._is_ended(job_id) or job_id in self._scene.people.cancelled

    def _check_replaced(self, job_id: str) -> None:
        """What nobody asked to end gave way to another one, as a submit that replaces it was."""
        if self._accounts is not None:
            self._accounts.gave_way(job_id)
            return
        self._world.sometimes("a job is replaced")
        replaced = self._db.rows("SELECT unique_key FROM job WHERE id = ?", job_id)
        if self._scene.server.operation != "submit" or replaced == [(None,)]:
            self._world.violated("G11", f"{job_id} is cancelled, and no rule says so")

    def _check_expired(self, job_id: str, state: str) -> None:
        """What may have begun never expires (G5)."""
        if state == "expired" and self._scene.ledger.starts[job_id]:
            self._world.violated("G5", f"{job_id} expires, and was started")

    def at_the_end(self) -> None:
        """Look at what many jobs had in common."""
        if self._accounts is not None:
            self._accounts.at_the_end()

    def _check_parents(self, job_id: str) -> None:
        """Nothing is given to a worker before what it depends on is over (G5)."""
        rows = self._db.rows("SELECT spec FROM job_spec WHERE job_id = ?", job_id)
        for one in from_json(rows[0][0]).get("depends_on", []) if rows else []:
            found = self._db.rows("SELECT state FROM job WHERE id = ?", one["job"])
            state = found[0][0] if found else "gone"
            asked = one["on"] == "success" and one["on_failure"] != "continue"
            if state not in FINAL or (asked and state != "succeeded"):
                self._world.violated("G5", f"{job_id} is claimed, and needs {one} ({state})")
            self._world.sometimes("a job is claimed after what it depends on")

    def _check_held(self, job_id: str, state: str) -> None:
        """What is kept back stays so until a person lets it go, or ends it."""
        operation = self._scene.server.operation
        if state == "held":
            self.held.add(job_id)
            if operation not in {"hold", "hold_restored", "advance"}:
                self._world.violated("G5", f"{job_id} is held by {operation}")
        elif job_id in self.held:
            self.held.discard(job_id)
            if operation not in LET_GO and state not in LATE and not self._is_ended(job_id):
                self._world.violated("G5", f"{job_id} was held, and is {state} by {operation}")

    def _is_ended(self, job_id: str) -> bool:
        return self._accounts is not None and self._accounts.is_ended(job_id)

    def let_go(self, job_id: str) -> None:
        """Hear that a person let a job go."""
        self._world.sometimes("a held job is let go")

    def brought_back(self) -> None:
        """Hear that the database is as it was at some moment: what is newer has never been."""
        known = self.open | self.finished | self.vanished
        rows = self._db.rows("SELECT id, state FROM job")
        self.open = {job_id for job_id, state in rows if state not in FINAL}
        self.finished = {job_id for job_id, state in rows if state in FINAL}
        self.held.clear()
        self.held.update(job_id for job_id, state in rows if state == "held")
        self.vanished = known - self.open - self.finished
        self._restored |= self.open
        self._ended = set(
            self._db.rows("SELECT job_id, number FROM attempt WHERE outcome IS NOT NULL")
        )
        if self._gates is not None and self._accounts is not None:
            self._gates.brought_back()
            self._accounts.brought_back()
        for order in self._scene.people.orders:
            self._forget(order)

    def _forget(self, order: Any) -> None:
        """Let somebody be told nothing of what was never so."""
        if order.acked in self.vanished:
            order.acked, order.forgotten = None, True
            order.ids.clear()
        order.cancel_acked = False

    def held_back(self) -> None:
        """After a restore nothing waits for a worker, or runs: it waits for somebody to look."""
        rows = self._db.rows("SELECT id, state FROM job")
        for job_id, state in rows:
            if state not in FINAL and state != "held":
                self._world.violated("G5", f"{job_id} is {state} after a restore")

    def _is_taken_back(self, job_id: str) -> bool:
        """Tell whether a restore took back what somebody speaks of.

        Of a job that is there it knows what was granted before the restore by the server's clock:
        all of it, unless that was set back since.
        """
        set_back = self._scene.server.machine.clocks.set_back
        return job_id in self.vanished or (bool(set_back) and job_id in self._restored)

    def starts_once(self, job_id: str, attempt: int) -> None:
        """What may be started only once starts when the server has its start, and once (G4, G5).

        A person who lets a restored job go may have it started once more.
        """
        starts = self._scene.ledger.starts[job_id]
        if starts > 1 and job_id not in self._restored:
            self._world.violated("I4", f"{job_id} is at_most_once, and was started again")
        rows = self._db.rows(
            "SELECT started_us FROM attempt WHERE job_id = ? AND number = ?", job_id, attempt
        )
        if rows and rows[0][0] is None and job_id not in self._restored:
            self._world.violated("G4", f"{job_id} starts, and the server does not know")
        claimed = self._claimed.get((job_id, attempt), 0.0)
        if self._world.loop.now - claimed > LONG_S:
            self._world.sometimes("a start waits long for its record")

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
        self._check_parents(job_id)
        if self._gates is not None and self._accounts is not None:
            self._gates.claimed(job_id, attempt)
            self._accounts.claimed(job_id)
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
        if now > self.calm_from() and not self._scene.is_once(job_id):
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
                "SELECT outcome, exit_code, signal, late_result, reason FROM attempt "
                "WHERE job_id = ? AND number = ?",
                *key,
            )
            if not rows and self._is_taken_back(event.job_id):
                self._world.sometimes("an end is told of a job that a restore took back")
                continue
            if not rows:
                self._world.violated("I2", f"the end of {key} was reported, which is nowhere")
                continue
            ((outcome, code, signal, late, reason),) = rows
            told = (event.outcome.value, event.exit_code, event.signal)
            if outcome is None:
                if key in settled:
                    self._world.violated("I5", f"the end of {key} is settled and nowhere")
                continue
            if told != (outcome, code, signal):
                self._world.sometimes("a late result is kept")
                if reason == "restored":
                    self._world.sometimes("a late result is kept of a restored attempt")
                if late is None:
                    self._world.violated("I17", f"{told} of {key} is lost beside {outcome}")

    def before_a_cut(self, host: "Host") -> None:
        """Note which ends are on the disk by now: synced 200 ms after they were written (G8)."""
        now, network = self._world.loop.now, self._world.injected
        if network["sync fails"] or network["disk full"] or host.machine.frozen or host.lies:
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
