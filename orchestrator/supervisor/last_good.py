"""The last configuration that was applied, kept for a start at which the file is broken.

It is kept as it stood in the file, so what it refers to (tokens in other files, commands) is not in
here and is followed anew. One file holds all of it, so that it can never be half of two.
"""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from orchestrator.kernel.files import write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """What was applied, and when."""

    path: Path
    raw: bytes = field(repr=False)
    included: tuple[tuple[Path, bytes], ...] = field(default=(), repr=False)
    """What it included held."""
    digest: str
    generation: int
    """It is counted over restarts, so that people can speak of number seven."""
    applied_at: float

    def keep(self, state_dir: Path) -> None:
        """Write it down, for its owner alone."""
        kept = {
            "path": str(self.path),
            "raw": base64.b64encode(self.raw).decode("ascii"),
            "included": [
                [str(path), base64.b64encode(raw).decode("ascii")] for path, raw in self.included
            ],
            "digest": self.digest,
            "generation": self.generation,
            "applied_at": self.applied_at,
        }
        write_private(_place(state_dir), json.dumps(kept, indent=2) + "\n")

    @classmethod
    def find(cls, state_dir: Path) -> Self | None:
        """Return what was kept; nothing, if that cannot be read any more."""
        try:
            kept = json.loads(_place(state_dir).read_text(encoding="ascii"))
            return cls(
                path=Path(kept["path"]),
                raw=base64.b64decode(kept["raw"]),
                included=tuple(
                    (Path(path), base64.b64decode(raw)) for path, raw in kept.get("included", ())
                ),
                digest=str(kept["digest"]),
                generation=int(kept["generation"]),
                applied_at=float(kept["applied_at"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _place(state_dir: Path) -> Path:
    return state_dir / "last-good.json"
