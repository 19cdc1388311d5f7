"""How much memory an attempt has, all its processes together, and when that is too much.

Where no control group counts it, somebody has to look: rarely while there is much left, often when
there is little. Memory that several processes share counts once, so a program that forks is not
taken for one that eats; asking for that is slow, and done only when the quick sum is too high.
"""

import math
import os
from typing import Final

from orchestrator.kernel import linux
from worker.shim.ration import in_words

_SOON_S: Final = 0.05
_LATE_S: Final = 1.0
_FASTEST: Final = 2 * 2**30
"""Bytes that a program can come to fill in a second: so long what is left may last."""
_LOOKS: Final = 3
"""How often shares are added up before it is too much: while some end, those of others grow."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_KIB: Final = 1024


class Gauge:
    """The memory of one attempt, whose processes all descend from this one."""

    def __init__(self, most_bytes: int | None, now: float) -> None:
        self._most = most_bytes
        self.at = math.inf if most_bytes is None else now + _SOON_S
        """When to look next."""
        self.verdict: str | None = None
        """What was too much, once it was."""

    def look_if_due(self, now: float) -> bool:
        """Tell whether it is too much, now for the first time."""
        if self._most is None or now < self.at:
            return False
        used = self._used(self._most)
        left_s = (self._most - used) / _FASTEST
        self.at = now + min(_LATE_S, max(_SOON_S, left_s))
        if used <= self._most:
            return False
        self.at = math.inf
        self.verdict = f"memory limit {in_words(self._most)} exceeded (peak {in_words(used)})"
        return True

    @staticmethod
    def _used(most: int) -> int:
        """Return what all have together; what is shared counts once, if it matters."""
        used = sum(map(_resident, linux.descendants()))
        for _ in range(_LOOKS):
            if used <= most:
                break
            used = sum(map(_own, linux.descendants()))
        return used


def _resident(pid: int) -> int:
    text = linux.read_small(f"/proc/{pid}/statm").split()
    return int(text[1]) * _PAGE if len(text) > 1 else 0


def _own(pid: int) -> int:
    """Return a process's share of its memory and of its swap space, or else all that it has."""
    parts = [line.split() for line in linux.read_small(f"/proc/{pid}/smaps_rollup").splitlines()]
    shares = [int(words[1]) * _KIB for words in parts if words[:1] in ([b"Pss:"], [b"SwapPss:"])]
    # One of another user keeps its shares to itself; one that has ended has nothing any more.
    return sum(shares) if shares else _resident(pid)
