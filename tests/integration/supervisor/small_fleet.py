"""`orchestrator run` with a file, and small workers.

python -m tests.integration.supervisor.small_fleet FILE STATE [strict] [waits] [impatient] [hurried]
"""

import os
import sys
from functools import partial
from pathlib import Path

from orchestrator.kernel import launcher
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.supervisor import post, watcher
from orchestrator.supervisor.from_file import run_file
from orchestrator.supervisor.logic.patience import ChildPolicy
from orchestrator.supervisor.settings import Programs
from orchestrator.supervisor.watcher import FileSettings

PROGRAMS = Programs(
    server=("-m", "tests.integration.supervisor.small_server"),
    worker="tests.integration.supervisor.fleet_worker:run_forked",
    worker_modules=("tests.integration.supervisor.fleet_worker",),
    shim="tests.integration.launcher.entries:outlive",
)


def main(file: str, state: str, *words: str) -> int:
    """Run, and say what went wrong as the command line does."""
    if "impatient" in words:
        post.SILENT_S = 1.0  # type: ignore[misc]
    if "hurried" in words:
        post.ChildPolicy = partial(ChildPolicy, backoff=Backoff(0.01, max_s=0.1))  # type: ignore[assignment,attr-defined]
    assert watcher.LOOK_S <= 1.0
    settings = FileSettings(
        path=Path(file),
        environ=os.environ,
        state_dir=Path(state),
        strict="strict" in words,
        waits="waits" in words,
    )
    try:
        return run_file(settings, launcher.start(), programs=PROGRAMS)
    except OrchestratorError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
