"""What must be true of gates and turns when something is given out; and that nobody is forgotten.

The rules are written here once more, from what the jobs ask for themselves and from what lives and
began by the rows of attempts: nothing of the lines, the turns and the notes that a claim looks at.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic_core import from_json

if TYPE_CHECKING:
    from tests.simulation.checkers import Checkers
    from tests.simulation.scene import Scene

FORGOTTEN_S: Final = 8.0
"""So long nobody is given anything although somebody may have it: half of a claim's own wait."""
LOOK_S: Final = 1.0
SECOND_US: Final = 1_000_000
STRIDE: Final = 1_000_000


class Asked(NamedTuple):
    """What a job asks for."""

    queue: str
    owner: str
    keys: dict[str, int]
    rates: dict[str, tuple[int, int]]


@dataclass(slots=True)
class Standing:
    """What is taken at one moment."""

    queues: dict[str, tuple[int, int | None, bool]]
    running: Counter[str]
    holding: Counter[str]
    starts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


Turn = tuple[str, str]
"""A queue, and somebody in it."""


class Gates:
    """The checker of what is given out, of one scene."""

    def __init__(self, scene: "Scene", checkers: "Checkers") -> None:
        self._scene = scene
        self._world = scene.world
        self._db = scene.database
        self._checkers = checkers
        self._asked: dict[str, Asked] = {}
        self._new: list[tuple[str, int]] = []
        self._since = 0.0
        """Since when somebody may have something, and nobody is given anything."""
        self._came: dict[tuple[str, str], int] = {}
        """How far one queue came before another one since both have had jobs all the time."""
        self._known: set[str] = set()
        """The queues that waited at the last look."""
        self._weights: dict[str, int] = {}
        self._served: dict[Turn, tuple[int, int]] = {}
        """When somebody was served last: the how manieth that was, and the moment."""
        self._count = 0
        self._waited: dict[Turn, int] = {}
        """Since which count of claims somebody could have been served all the time."""
        self._world.loop.after(LOOK_S, self._look)

    def claimed(self, job_id: str, number: int) -> None:
        """Hear of an attempt, while its transaction is under way."""
        self._new.append((job_id, number))

    def brought_back(self) -> None:
        """Forget who was served when."""
        self._came.clear()
        self._served.clear()
        self._waited.clear()
        self._since = self._world.loop.now

    def committed(self, operation: str, now_us: int) -> None:
        """Look at what an operation gave out."""
        heard, self._new = self._new, []
        live = set(self._db.rows("SELECT job_id, number FROM attempt WHERE outcome IS NULL"))
        new = [one for one in heard if one in live]
        if not new or operation != "claim":
            return
        self._since = self._world.loop.now
        standing = self._standing(now_us)
        for job_id, _ in new:
            self._check_gates(job_id, standing, now_us)
        self._check_turns([job_id for job_id, _ in new], standing, now_us)

    # What is asked for, and what is taken

    def _asks(self, job_id: str) -> Asked:
        found = self._asked.get(job_id)
        if found is None:
            ((text, owner),) = self._db.rows(
                "SELECT spec, owner FROM job_spec JOIN job ON job.id = job_id WHERE job_id = ?",
                job_id,
            )
            spec = from_json(text)
            found = self._asked[job_id] = Asked(
                spec["queue"],
                owner if spec["fairness_key"] is None else spec["fairness_key"],
                {one["key"]: one["limit"] for one in spec["concurrency"]},
                {
                    one["key"]: (one["count"], round(one["per_s"] * SECOND_US))
                    for one in spec["rate_limit"]
                },
            )
        return found

    def _standing(self, now_us: int) -> Standing:
        queues = {
            name: (weight, most, paused is not None)
            for name, weight, most, paused in self._db.rows(
                "SELECT name, weight, max_running, paused_us FROM queue"
            )
        }
        standing = Standing(queues, Counter(), Counter())
        for (job_id,) in self._db.rows("SELECT job_id FROM attempt WHERE outcome IS NULL"):
            asked = self._asks(job_id)
            standing.running[asked.queue] += 1
            standing.holding.update(asked.keys.keys())
        for job_id, at_us in self._db.rows(
            "SELECT job_event.job_id, at_us FROM job_event JOIN attempt "
            "ON attempt.job_id = job_event.job_id AND number = job_event.attempt "
            "WHERE type = 'claimed' AND (outcome IS NULL OR outcome <> 'released') AND at_us > ?",
            now_us - 60 * SECOND_US,
        ):
            for key in self._asks(job_id).rates:
                standing.starts[key].append(at_us)
        return standing

    def _is_open(self, asked: Asked, standing: Standing, now_us: int) -> bool:
        """Tell whether one more like that could be given out."""
        _, most, paused = standing.queues[asked.queue]
        return (
            not paused
            and (most is None or standing.running[asked.queue] < most)
            and all(standing.holding[key] < limit for key, limit in asked.keys.items())
            and all(
                sum(at + window_us > now_us for at in standing.starts[key]) < count
                for key, (count, window_us) in asked.rates.items()
            )
        )

    def _waiting(self, standing: Standing, now_us: int) -> dict[Turn, int]:
        """Return who could be given something, and the least rank of what they wait with."""
        found: dict[Turn, int] = {}
        for job_id, rank in self._db.rows("SELECT id, rank FROM job WHERE state = 'queued'"):
            asked = self._asks(job_id)
            if self._is_open(asked, standing, now_us):
                turn = (asked.queue, asked.owner)
                found[turn] = min(rank, found.get(turn, rank))
        return found

    # The rules

    def _check_gates(self, job_id: str, standing: Standing, now_us: int) -> None:
        """No gate lets more through than it may by what lives and what began."""
        violated, asked = self._world.violated, self._asks(job_id)
        _, most, paused = standing.queues[asked.queue]
        if paused:
            violated("Q1", f"{job_id} is given out of {asked.queue}, which is paused")
        if most is not None and standing.running[asked.queue] > most:
            violated("Q2", f"{standing.running[asked.queue]} of {asked.queue} run, and {most} may")
        for key, limit in asked.keys.items():
            if standing.holding[key] > limit:
                violated("Q3", f"{key} is held {standing.holding[key]} of {limit} times")
        for key, (count, window_us) in asked.rates.items():
            started = sum(at + window_us > now_us for at in standing.starts[key])
            if started > count:
                violated("Q4", f"{started} with {key} began within {window_us} us, not {count}")

    def _check_turns(self, given: list[str], standing: Standing, now_us: int) -> None:
        """Queues have what their weights say, and nobody is served twice before who waits too."""
        if self._db.rows("SELECT 1 FROM breaker WHERE state <> 'closed'"):
            self.brought_back()  # who is in quarantine does not see everything
            return
        waiting = self._waiting(standing, now_us)
        self._check_weights(given, {queue for queue, _ in waiting}, standing)
        before = self._count
        for job_id in given:
            asked = self._asks(job_id)
            self._count += 1
            self._check_turn((asked.queue, asked.owner), waiting)
            self._served[asked.queue, asked.owner] = (self._count, now_us)
        self._waited = {turn: self._waited.get(turn, before) for turn in waiting}

    def _check_turn(self, turn: Turn, waiting: dict[Turn, int]) -> None:
        count, at_us = self._served.get(turn, (0, 0))
        for other, rank in waiting.items():
            if (
                other == turn
                or other[0] != turn[0]
                or self._waited.get(other, self._count) >= count
            ):
                continue
            self._world.sometimes("somebody waits for another one's turn")
            if self._served.get(other, (0, 0))[0] < count and rank < at_us:
                self._world.violated("Q6", f"{turn} is served twice, and {other} waits")

    def _check_weights(self, given: list[str], waiting: set[str], standing: Standing) -> None:
        """What one queue came further than another is never more than a turn of each.

        That begins anew when another queue comes: who is far behind it is brought up to it, and
        what was between those is forgotten.
        """
        weights = {name: weight for name, (weight, _, _) in standing.queues.items()}
        if weights != self._weights:
            self._weights = weights
            self._came.clear()
        came = Counter(self._asks(job_id).queue for job_id in given)
        pairs = {(one, other) for one in waiting for other in waiting if one < other}
        before = self._came if waiting <= self._known else {}
        self._came, self._known = {}, waiting
        for one, other in pairs:
            mine, its = STRIDE // weights[one], STRIDE // weights[other]
            ahead = before.get((one, other), 0) + came[one] * mine - came[other] * its
            self._came[one, other] = ahead
            self._world.sometimes("two queues wait for each other")
            if abs(ahead) > mine + its:
                self._world.violated("Q5", f"{one} is {ahead / STRIDE} ahead of {other}")

    def _look(self) -> None:
        """See that nobody sleeps beside work that it could have."""
        self._world.loop.after(LOOK_S, self._look)
        now = self._world.loop.now
        now_us = round(self._scene.server.machine.clocks.wall(now) * SECOND_US)
        if not self._is_calm(now) or not self._idle(now_us):
            self._since = now
        elif now - self._since > FORGOTTEN_S:
            self._world.violated("G16", f"{self._idle(now_us)} wait, and nothing keeps them")
            self._since = now

    def _is_calm(self, now: float) -> bool:
        return self._scene.server.process is not None and now > self._checkers.calm_from()

    def _idle(self, now_us: int) -> list[str]:
        """Return the jobs that a session with room could have."""
        rows: list[tuple[Any, ...]] = self._db.rows(
            "SELECT DISTINCT job.id FROM job JOIN session_requirement AS fits "
            "ON fits.requirement_id = job.requirement_id AND fits.barred = 0 "
            "JOIN session ON session.id = fits.session_id AND session.ended_us IS NULL "
            "LEFT JOIN breaker ON breaker.worker_id = session.worker_id "
            "WHERE job.state = 'queued' AND coalesce(breaker.state, 'closed') = 'closed' "
            "AND session.slots > (SELECT count(*) FROM job AS held "
            "WHERE held.session_id = session.id)"
        )
        if not rows:
            return []
        standing = self._standing(now_us)
        return [one for (one,) in rows if self._is_open(self._asks(one), standing, now_us)]
