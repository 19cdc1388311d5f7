"""How many of the machine's jobs each worker may run: never too many together, and none starves.

A *permit* lets a worker run one job. Nobody here knows which worker has jobs to do, because only
its server does; a worker that has a permit asks there. So a permit that is not used for a second
goes on to the worker that has waited longest, and while somebody waits in vain, whoever finishes a
job hands its permit back instead of taking the next job with it.

An order takes time to arrive. A permit that was taken back is given away again only after its
worker said that it goes without, and that nothing runs on it: what a worker *holds* is the most of
what it was told, of what it says it was told, and of what runs. The sum of that never rises above
the limit. A worker that died holds what it held, because its jobs go on without it.

It knows no process and no clock: whoever has both tells what happened, and sends the orders.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from orchestrator.kernel.backoff import Backoff

TURN_S: Final = 1.0
"""How long an unused permit stays where it is while others wait."""
SETTLE_S: Final = 3.0
"""So long a new worker may have jobs from before that it has not told of yet."""
LOST_S: Final = 10.0
"""So long a dead worker may have had jobs more than the last ones that it told of."""
FORGET_S: Final = 900.0
"""So long the jobs of a worker that does not come back count: nobody can tell when they end."""
PROBES: Final = 4
"""One permit in so many may be out with workers that left their last one unused."""
_AGAIN: Final = Backoff(initial_s=1.0, factor=2.0, max_s=30.0)
"""When others shall hand back a permit for a worker that left its last ones unused."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Member:
    """A worker, and what is known of its permits."""

    slots: int
    began_at: float
    before: int
    """What it may have from an earlier process, until it tells."""
    aim: int = 0
    """What it is to be told."""
    sent: int | None = 0
    """What it was told last; `None`: no limit. It is told the next thing only when it says that it
    heard the last one, or nobody would know what it may still hear."""
    in_force: int | None = 0
    """What it says it was told last."""
    running: int = 0
    takes: bool = False
    """Whether it asks for jobs at all: one that is paused or has no session does not."""
    heard: bool = False
    lost_at: float | None = None
    idle_since: float = 0.0
    """Since when it has a permit that it does not use."""
    waits_since: float = 0.0
    fruitless: int = 0
    """How often in a row it gave back a permit unused."""

    def holds(self, now: float) -> int:
        """Return how many permits may be in use there, as far as anybody knows."""
        most = max(self.aim, self.number(self.sent), self.number(self.in_force), self.running)
        if self.lost_at is not None:
            if now >= self.lost_at + FORGET_S:
                return 0
            return most if now < self.lost_at + LOST_S else self.running
        if not self.heard and now < self.began_at + SETTLE_S:
            return max(most, self.before)
        return most

    def number(self, allowed: int | None) -> int:
        """Return how many jobs that lets it run."""
        return self.slots if allowed is None else min(allowed, self.slots)

    @property
    def is_listening(self) -> bool:
        """Tell whether it runs, and has heard all that it was told."""
        heard_all = self.number(self.sent) == self.number(self.in_force)
        return self.lost_at is None and heard_all

    @property
    def spare(self) -> int:
        """Return how many permits it has and does not use."""
        return max(0, self.aim - self.running)

    @property
    def waits(self) -> bool:
        """Tell whether it uses all that it has, and could use more."""
        return self.takes and self.running >= self.aim and self.running < self.slots

    def is_due(self, now: float) -> bool:
        """Tell whether others shall hand back a permit for it."""
        if not self.fruitless:
            return True
        return now >= self.waits_since + _AGAIN.ceiling(self.fruitless)


class Share(Generic[Key]):
    """The permits of one machine."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._members: dict[Key, _Member] = {}

    def join(self, key: Key, slots: int, *, now: float) -> None:
        """Count a worker in, or note that it has another number of slots."""
        member = self._members.get(key)
        if member is None:
            self._members[key] = _Member(slots, now, slots, waits_since=now)
        else:
            member.slots = slots

    def leave(self, key: Key) -> None:
        """Count it out: it is gone, and nothing runs there."""
        self._members.pop(key, None)

    def began(self, key: Key, *, now: float) -> int | None:
        """Return what a new process of it is to be told first; `None`: no limit."""
        member = self._members[key]
        if member.heard:
            member.before, member.began_at, member.heard = member.holds(now), now, False
        member.lost_at, member.takes, member.aim = None, False, 0
        member.sent = member.in_force = 0 if self._is_limited else None
        return member.sent

    def heard(
        self, key: Key, *, allowed: int | None, running: int, takes: bool, now: float
    ) -> None:
        """Note what a worker says of itself; `allowed` is the last order that it heard."""
        member = self._members[key]
        waited, ended = member.waits, running < member.running
        if running > member.running:
            member.fruitless = 0
        if running != member.running or not member.heard:
            member.idle_since = now
        member.heard, member.running, member.takes = True, running, takes
        member.in_force = allowed
        # Whoever finished a job goes to the end of the queue, or would be served over and over.
        if (member.waits and not waited) or ended:
            member.waits_since = now

    def lost(self, key: Key, *, now: float) -> None:
        """Note that its process has ended; its jobs go on."""
        member = self._members[key]
        member.lost_at, member.takes = now, False

    def decide(self, *, now: float) -> dict[Key, int | None]:
        """Return what workers are to be told now; `None`: no limit."""
        limited = self._is_limited
        if limited:
            self._take_from_who_takes_nothing()
            self._shrink()
            self._serve(now)
        orders: dict[Key, int | None] = {}
        for key, member in self._members.items():
            allowed = member.aim if limited else None
            if member.is_listening and allowed != member.sent:
                orders[key] = member.sent = allowed
        return orders

    def wakes_at(self, *, now: float) -> float:
        """Return when to decide again although nothing happens."""
        return now + TURN_S if self._is_limited and self._waiting(now) else float("inf")

    @property
    def _is_limited(self) -> bool:
        return sum(member.slots for member in self._members.values()) > self.limit

    def _take_from_who_takes_nothing(self) -> None:
        for member in self._members.values():
            if not member.takes:
                member.aim = min(member.aim, member.running)

    def _shrink(self) -> None:
        """Stay below a limit that became lower: unused permits first, then the largest share."""
        while sum(member.aim for member in self._members.values()) > self.limit:
            most = max(self._members.values(), key=lambda one: (one.spare > 0, one.aim))
            most.aim -= 1

    def _waiting(self, now: float) -> list[_Member]:
        """Return who waits, in the order in which they are served."""
        waiting = [member for member in self._members.values() if member.waits]
        return sorted(waiting, key=lambda one: (not one.is_due(now), one.waits_since))

    def _serve(self, now: float) -> None:
        """Give what is free, and see to it that something becomes free for those who wait."""
        free = self.limit - sum(member.holds(now) for member in self._members.values())
        coming = sum(
            max(0, member.holds(now) - max(member.aim, member.running))
            for member in self._members.values()
            if member.lost_at is None
        )
        unserved: list[_Member] = []
        for member in self._waiting(now):
            if free > 0:
                # Whoever is to hand one back and gets one keeps what it has.
                free -= max(0, member.running + 1 - member.holds(now))
                member.aim, member.idle_since = member.running + 1, now
            elif coming > 0:
                coming -= 1
            elif unserved or not self._take_unused(now):
                # Once there was nothing to take back there is nothing for all who come after.
                unserved.append(member)
        if free > 0:
            self._give_more(free, now)
        self._ask_back([member for member in unserved if member.is_due(now)])

    def _give_more(self, free: int, now: float) -> None:
        """Give what nobody waits for to those with the least to spare."""
        while free > 0:
            able = [one for one in self._members.values() if one.takes and one.aim < one.slots]
            if not able:
                return
            least = min(able, key=lambda one: (one.spare, one.aim))
            least.aim, least.idle_since = least.aim + 1, now
            free -= 1

    def _take_unused(self, now: float) -> bool:
        """Take back a permit that is not used; tell whether there is one."""
        able = [
            one
            for one in self._members.values()
            if one.spare > 1 or (one.spare == 1 and now >= one.idle_since + TURN_S)
        ]
        if not able:
            return False
        victim = max(able, key=lambda one: (one.spare, -one.idle_since))
        victim.aim -= 1
        if victim.aim == victim.running:
            victim.waits_since = now
            victim.fruitless += 1
        return True

    def _ask_back(self, waiting: list[_Member]) -> None:
        """Let whoever finishes a job hand its permit back, while somebody waits who has less."""
        members = self._members.values()
        probes = sum(one.spare for one in members)
        if probes >= max(1, self.limit // PROBES):
            waiting = []
        for one in members:
            if one.aim > one.running or not one.running or not one.takes:
                continue
            shares = any(
                one.running - other.running >= (2 if other.running else 1)
                for other in waiting
                if other is not one
            )
            if shares:
                one.aim = one.running - 1
            else:
                # Nobody waits any more: it may go on, as far as the limit lets it.
                room = self.limit - sum(member.aim for member in members)
                one.aim += max(0, min(room, one.running - one.aim))
