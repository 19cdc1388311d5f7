"""The connections that have not shown a credential yet, and how many of them there may be.

Strangers must not be able to use up the server's descriptors, while a hundred honest clients that
arrive in the same instant must not be turned away. So a newcomer is let in, and the stranger of the
same address that has stood there longest is shown out.
"""

from typing import Final, Protocol

STRANGERS: Final = 1000
STRANGERS_PER_ADDRESS: Final = 50
PATIENCE_S: Final = 2.0
"""How long a stranger may stand there before others are preferred; a request takes milliseconds."""


class Guest(Protocol):
    """What the lobby needs of a connection."""

    @property
    def address(self) -> str:
        """Return the address of the other side."""
        ...

    def show_out(self) -> None:
        """End the connection."""
        ...


class Lobby:
    """Who stands here since when, in the order of arrival."""

    def __init__(self) -> None:
        self._since: dict[Guest, float] = {}
        self._by_address: dict[str, dict[Guest, float]] = {}

    def enter(self, guest: Guest, *, now: float) -> bool:
        """Let a newcomer in, or return `False` when there is no room and nobody to show out."""
        neighbours = self._by_address.setdefault(guest.address, {})
        if len(neighbours) >= STRANGERS_PER_ADDRESS:
            self._show_out_oldest(neighbours, now)
        if len(self._since) >= STRANGERS and not self._show_out_oldest(self._since, now):
            self._tidy(guest.address)
            return False
        self._since[guest] = now
        self._by_address.setdefault(guest.address, {})[guest] = now
        return True

    def leave(self, guest: Guest) -> None:
        """Forget a connection that was recognised, or is gone. Forgetting twice does no harm."""
        self._since.pop(guest, None)
        neighbours = self._by_address.get(guest.address)
        if neighbours is not None:
            neighbours.pop(guest, None)
            self._tidy(guest.address)

    def _show_out_oldest(self, guests: dict[Guest, float], now: float) -> bool:
        oldest, since = next(iter(guests.items()))
        if now - since < PATIENCE_S:
            return False
        self.leave(oldest)
        oldest.show_out()
        return True

    def _tidy(self, address: str) -> None:
        if not self._by_address.get(address, True):
            del self._by_address[address]
