"""What was looked at of one commit: runs can be stopped, go on later or elsewhere, and add up.

Each story is a line, written when its last state was looked at, so a run that was stopped loses at
most the story that it was at. A story is known by its seed, and counts once.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.crash.explore import Findings

FOLDER: Final = Path(__file__).parents[2] / ".crash"


class Tally:
    """All stories of a commit. What is not committed has no name, so nothing of it is kept.

    Nor is anything without a folder, as what is found with a mistake on purpose.
    """

    def __init__(self, commit: str, folder: Path | None) -> None:
        self.path: Path | None = None
        if folder is not None and not commit.endswith("-dirty"):
            self.path = folder / f"{commit}.jsonl"
        self._here: dict[tuple[str, int], Findings] = {}

    def add(self, story: str, seed: int, part: Findings) -> None:
        """Keep what came of a story."""
        self._here[story, seed] = part
        if self.path is not None:
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"story": story, "seed": seed, **asdict(part)}) + "\n")

    def _known(self) -> Iterator[tuple[str, int, Findings]]:
        if self.path is None or not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                told = json.loads(line)
                yield told.pop("story"), told.pop("seed"), Findings(**told)

    def _all(self, story: str) -> dict[int, Findings]:
        """Return the stories of that name by their seeds, those of other runs at work included."""
        found = {seed: part for name, seed, part in self._known() if name == story}
        return found | {seed: part for (name, seed), part in self._here.items() if name == story}

    def seeds(self, story: str) -> list[int]:
        """Return the seeds whose stories were told."""
        return sorted(self._all(story))

    def next_seed(self, story: str, first: int) -> int:
        """Return the first seed from `first` on whose story was not told."""
        known = self._all(story)
        while first in known:
            first += 1
        return first

    def sum(self, story: str) -> Findings:
        """Return what came of all of them; unlike parts of one story, they share no cut."""
        whole = Findings()
        for part in self._all(story).values():
            cuts = whole.cuts + part.cuts
            whole += part
            whole.cuts = cuts
        return whole
