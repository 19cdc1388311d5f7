"""How many wrong credentials one address may try before it has to wait.

A credential has 256 random bits, so nobody guesses one; this only tells a program with an outdated
key to slow down. A right key from the same address is let in all the same, because behind a proxy
everybody has one address. It is counted in fixed windows, which is coarse and cheap.
"""

from collections import Counter
from typing import Final

from orchestrator.server.edge.refusals import Declined

WINDOW_S: Final = 10.0
TRIES: Final = 300
"""Far above what a fleet with an outdated token does, far below what would be felt."""


class Guesses:
    """Wrong credentials of the current window, by address."""

    def __init__(self) -> None:
        self._ends = 0.0
        self._wrong: Counter[str] = Counter()

    def check(self, address: str, *, now: float) -> None:
        """Refuse another try from an address that has had enough of them."""
        if now >= self._ends:
            self._wrong.clear()
            self._ends = now + WINDOW_S
        if self._wrong[address] >= TRIES:
            raise Declined(
                429,
                "too_many_guesses",
                "too many wrong credentials came from this address",
                hint="check the key, then try again in a few seconds",
                headers=(("retry-after", str(max(1, round(self._ends - now)))),),
            )

    def wrong(self, address: str) -> None:
        """Count one."""
        self._wrong[address] += 1
