"""The holds of this machine's workers, kept over restarts: who was paused stays so.

It does not know what a hold means. A file that does not read back holds nobody: it is better that
a worker works than that none does.
"""

import contextlib
import json
from pathlib import Path

from orchestrator.kernel.errors import StateUnavailable
from orchestrator.kernel.files import write_private
from orchestrator.supervisor.logic.hold import Hold


class Holds:
    """Worker's folder name → why it takes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._holds = _read(path)

    def of(self, key: str) -> Hold | None:
        """Return the hold of one worker, if it has one."""
        return self._holds.get(key)

    def put(self, key: str, hold: Hold | None) -> None:
        """Hold a worker, or let it go, and write that down before anybody acts on it."""
        holds = {name: one for name, one in self._holds.items() if name != key}
        if hold is not None:
            holds[key] = hold
        kept = {name: one.as_json() for name, one in holds.items()}
        write_private(self._path, json.dumps(kept, indent=2) + "\n")
        self._holds = holds

    def end(self, key: str) -> None:
        """Let a worker go whose time has passed; a disk without room does not hold it longer.

        What stays in the file then is over for the next run as well.
        """
        with contextlib.suppress(StateUnavailable):
            self.put(key, None)
        self._holds.pop(key, None)

    def over(self, now: float) -> list[str]:
        """Return whose time has passed, by the wall clock."""
        return [key for key, hold in self._holds.items() if hold.is_over(now)]


def _read(path: Path) -> dict[str, Hold]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    pairs = kept.items() if isinstance(kept, dict) else ()
    found = {str(key): Hold.from_json(one) for key, one in pairs}
    return {key: hold for key, hold in found.items() if hold is not None}
