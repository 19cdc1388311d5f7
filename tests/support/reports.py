"""A bug report, as whoever gets it reads it."""

import json
import tarfile
from pathlib import Path
from typing import Any


class Report:
    """All parts, by their names."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            files = {entry: archive.extractfile(entry) for entry in archive}
            self.modes = {entry.mode for entry in files}
            self.parts = {
                entry.name.partition("/")[2]: file.read().decode()
                for entry, file in files.items()
                if file is not None
            }

    @property
    def text(self) -> str:
        """Return everything that stands in it."""
        return "\n".join([*self.parts, *self.parts.values()])

    def json(self, name: str) -> Any:
        """Return a part that is a document."""
        return json.loads(self.parts[name])
