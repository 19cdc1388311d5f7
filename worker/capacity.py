"""How many attempts this worker can have at once now: its slots, or fewer while something is short.

It starts nothing and claims nothing. Shims that the machine refuses and disk space that runs out
are no faults of a job: what is not taken in the first place need not be given back. It says once
when it becomes fewer, and once when all is well again.
"""

import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from orchestrator.kernel import logs
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.limits import MIB, MIN_FREE_BYTES, SMALL_DISK
from worker.shim import layout
from worker.shim.backlog import waiting_bytes

LOGGER: Final = logging.getLogger(__name__)
PAUSE: Final = Backoff(initial_s=1.0, factor=2.0, max_s=60.0)
LOOK_S: Final = 1.0
SPOOL_MAX_BYTES: Final = 1024 * MIB
"""Of what the server does not have yet; a day of a talkative job."""
_RELIEF: Final = 1.1
"""What is short must be a tenth better before it counts as enough, or it would change all day."""


class Shortage(NamedTuple):
    """What there is too little of, in a sentence, and what to do about it."""

    reason: str
    hint: str
    of_disk: bool = False
    """Whether it is less if files are removed."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that the spool is on, and what is asked of it."""

    folder: Path
    spool_max_bytes: int = SPOOL_MAX_BYTES
    min_free_bytes: int | None = None

    def waiting(self) -> int:
        """Return how much waits here for the server, as far as that can be seen."""
        try:
            return waiting_bytes(self.folder)
        except OSError:
            return 0

    def shortage(self, waiting: int, *, relief: float = 1.0) -> Shortage | None:
        """Return what there is too little of; `None` if there is enough."""
        try:
            disk = os.statvfs(self.folder)
        except OSError:
            # A disk that cannot be asked is met by whoever writes to it.
            return None
        free, floor = disk.f_bavail * disk.f_frsize, self._floor(disk.f_blocks * disk.f_frsize)
        if free < floor * relief:
            left = f"{free // MIB} MiB left, and {floor // MIB} are kept free"
            return Shortage(
                f"the disk of {self.folder} has {left}", "make room on it", of_disk=True
            )
        # As the shims see it: what runs has no room to go on in another segment.
        if waiting * relief + layout.ROTATE_BYTES > self.spool_max_bytes:
            return Shortage(
                f"{waiting // MIB} MiB wait in {self.folder} for the server, as much as may",
                "it goes on when the server has taken some; if that is away, bring it back",
            )
        return None

    def _floor(self, size: int) -> int:
        small = min(MIN_FREE_BYTES, size // SMALL_DISK)
        return small if self.min_free_bytes is None else self.min_free_bytes


class Capacity:
    """The room of one worker. `draw` is a uniform number from [0, 1)."""

    def __init__(self, slots: int, draw: Callable[[], float], disk: Disk | None = None) -> None:
        self.slots = slots
        self.most = slots
        """As many as there ever were: what was taken then may still have to be started."""
        self.allowed: int | None = None
        """The share of what the machine may run, as a supervisor deals it out."""
        self.paused = False
        self.waiting_bytes = 0
        """How much is in the spool that the server does not have, when it was last looked at."""
        self._draw = draw
        self.disk = disk
        self._shims = slots
        """As many as were not refused yet."""
        self._refusals = 0
        self._try_at = -math.inf
        self.make_room: Callable[[], int] = lambda: 0
        """Removes what nobody needs, as far as it can be seen; returns how many bytes."""
        self.unbound = False
        """Whether the kernel holds the jobs of the last shim to nothing, although it could."""
        self.shortage: Shortage | None = None
        """Why nothing at all may be started now."""
        self.unproven: Shortage | None = None
        """Why nobody knows whether jobs can run here at all."""

    def note_unbound(self, *, unbound: bool) -> None:
        """Note whether the last shim could enter a control group, where there are some."""
        if unbound and not self.unbound:
            logs.event(
                LOGGER,
                logging.WARNING,
                "shim.unbound",
                reason="it could not enter a control group, although there are some here",
                next="memory is looked at; its jobs are not held to limits.pids and limits.cpus",
                hint="look with: orchestrator doctor",
            )
        self.unbound = unbound

    @property
    def now(self) -> int:
        """Return how many attempts there may be at once, those that are here among them."""
        if self.paused or self.shortage is not None or self.unproven is not None:
            return 0
        return min(self._bearable, self.slots if self.allowed is None else self.allowed)

    @property
    def _bearable(self) -> int:
        """Return how many this machine can start."""
        if self._shims == self.slots or anyio.current_time() < self._try_at:
            return self._shims
        return self._shims + 1

    def resize(self, slots: int) -> None:
        """Have another number of slots. What the machine could not bear is still believed."""
        limited = self._shims < self.slots
        self._shims = min(self._shims, slots) if limited else slots
        self.slots, self.most = slots, max(self.most, slots)
        if limited and self._shims == slots:
            _inform()

    def refused(self, error: OrchestratorError, shims: int) -> None:
        """Note that there was no shim beside those at work: after a pause one more is tried."""
        if self._shims == self.slots:
            _warn(error.message, error.hint, shims)
        self._shims = min(shims, self.slots - 1)
        now = anyio.current_time()
        if now >= self._try_at:
            self._refusals += 1
            self._try_at = now + PAUSE.delay(self._refusals, draw=self._draw())

    def granted(self, shims: int) -> None:
        """Note how many are at work. One more than was believed makes as many again believable."""
        if shims > self._shims:
            self._refusals = 0
            self._shims = min(2 * shims, self.slots)
            if self._shims == self.slots:
                _inform()

    def look(self) -> None:
        """Look at the disk."""
        before = self.shortage
        if self.disk is not None:
            self.waiting_bytes = self.disk.waiting()
            relief = 1.0 if before is None else _RELIEF
            self.shortage = self.disk.shortage(self.waiting_bytes, relief=relief)
            if self.shortage is not None and self.shortage.of_disk:
                self._clear(self.disk, relief)
        if before is None and self.shortage is not None:
            _warn(self.shortage.reason, self.shortage.hint, 0)
        elif before is not None and self.shortage is None:
            _inform()

    def _clear(self, disk: Disk, relief: float) -> None:
        """Remove something before any job is refused; look whether that was enough.

        At each look: what runs while there is too little leaves something behind as well.
        """
        if freed := self.make_room():
            logs.event(LOGGER, logging.INFO, "disk.cleared", folder=str(disk.folder), bytes=freed)
            self.shortage = disk.shortage(self.waiting_bytes, relief=relief)

    async def keep(self, ring: Callable[[], None]) -> None:
        """Look for ever; `ring` when there may be room again."""
        while True:
            # Also when the pause is over and one more may be tried: for a single slot that is all.
            limited = self.shortage is not None or self._shims < self.slots
            before = self.shortage
            self.look()
            if self.shortage is not before or (limited and self.now > 0):
                ring()
            await anyio.sleep(LOOK_S)


def _warn(reason: str, hint: str | None, slots: int) -> None:
    logs.event(LOGGER, logging.WARNING, "slots.limited", slots=slots, reason=reason, hint=hint)


def _inform() -> None:
    logs.event(LOGGER, logging.INFO, "slots.restored")
