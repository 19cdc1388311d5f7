"""What this worker writes down of itself, and where: as its settings say now.

Its own log is beside what goes to standard error, where a supervisor collects that of all workers:
it is what the worker's own people look for. One that cannot be written is no reason not to work.
"""

import logging
from pathlib import Path
from typing import Final

from orchestrator.kernel import kept_log, logs, paths
from orchestrator.kernel.errors import StateUnavailable
from orchestrator.kernel.files import private_dir
from worker.settings import LiveSettings, LogSettings

LOGGER: Final = logging.getLogger(__name__)
FOLDER: Final = "log"
NAME: Final = "worker.log"
"""Below the state directory, unless somebody says where."""


class Logbook:
    """The log of one worker; without a state directory only what goes to standard error."""

    def __init__(self, state_dir: Path | None) -> None:
        self._state_dir = state_dir
        self._trouble: str | None = None

    def take(self, settings: LiveSettings) -> None:
        """Go by these settings from now on."""
        wanted = settings.log
        level = logging.getLevelNamesMapping()[wanted.level.upper()]
        logs.adjust(level=level, form=wanted.format)
        folder = wanted.directory or paths.worker_log_dir()
        if folder is not None:
            self._keep(folder / f"{settings.name}.log", wanted)
        elif self._state_dir is not None:
            self._keep(self._state_dir / FOLDER / NAME, wanted)

    def _keep(self, path: Path, wanted: LogSettings) -> None:
        try:
            if self._state_dir is not None and path.is_relative_to(self._state_dir):
                private_dir(path.parent, durable=False)
            else:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept_log.keep(
                kept_log.Keeping(
                    path=path,
                    file_bytes=wanted.file_bytes,
                    files=wanted.files,
                    keep_s=wanted.keep_s,
                )
            )
        except (OSError, StateUnavailable) as error:
            if (told := str(error)) != self._trouble:
                logs.event(LOGGER, logging.WARNING, "log.not_kept", path=str(path), why=told)
            self._trouble = str(error)
