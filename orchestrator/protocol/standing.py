"""Words for how a worker of this machine stands, by what they mean to whoever is told."""

from typing import Final

HELD: Final = frozenset({"paused", "draining", "drained", "stopped"})
"""In these somebody holds it."""
AT_EASE: Final = HELD | {"ready", "busy", "disabled"}
"""In these it is as somebody wants it."""
