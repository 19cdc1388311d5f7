"""What a worker may be told by whoever keeps it, as values; the words of the lifeline.

It obeys nothing. An order that is not known comes from a newer supervisor and is passed over,
because the one thing that a worker must never do about an order is to end.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from orchestrator.kernel import logs
from orchestrator.kernel.packets import Message
from worker.settings import LiveSettings

LOGGER: Final = logging.getLogger(__name__)


class Ending(StrEnum):
    """The two ways to end in order."""

    DRAIN = "drain"
    """Take nothing more, and end when nothing runs."""
    STOP = "stop"
    """Interrupt what runs, and end."""


@dataclass(frozen=True, slots=True)
class Identify:
    """Speak to the server with this token from the next call on."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """These settings are others now; what is not named stays."""

    settings: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Allow:
    """Have at most so many attempts at once, whatever the slots; `None`: as many as slots."""

    slots: int | None


Order = Ending | Identify | Update | Allow


def order_of(message: Message) -> Order | None:
    """Return what a message of the lifeline orders; nothing, if it is none that we know."""
    match message:
        case {"do": "drain" | "stop" as word}:
            return Ending(word)
        case {"do": "identify", "token": str(token)}:
            return Identify(token)
        case {"do": "update", "settings": dict(settings)}:
            return Update(settings)
        case {"do": "allow", "slots": None}:
            return Allow(None)
        case {"do": "allow", "slots": int(slots)} if slots >= 0:
            return Allow(slots)
    # Its values may be secret.
    logs.event(LOGGER, logging.ERROR, "order.unknown", order=str(message.get("do")))
    return None


def updated(settings: LiveSettings, changes: Mapping[str, object]) -> LiveSettings | None:
    """Return the settings with these changes; nothing, if they cannot be: the old ones hold."""
    try:
        return LiveSettings.model_validate({**dict(settings), **changes})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        logs.event(
            LOGGER, logging.ERROR, "settings.refused", reason=reason, next="the old ones hold"
        )
        return None
