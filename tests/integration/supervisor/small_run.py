"""`orchestrator run --local` with small programs as its children."""

import os
import sys
from pathlib import Path

from orchestrator.kernel import launcher
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.supervisor.local import run_local
from orchestrator.supervisor.settings import LocalSettings, Programs

PROGRAMS = Programs(
    server=("-m", "tests.integration.supervisor.small_server"),
    worker="tests.integration.supervisor.small_worker:run_forked",
    worker_modules=("tests.integration.supervisor.small_worker",),
    shim="tests.integration.launcher.entries:outlive",
)


def main(home: str, port: str, drain_timeout_s: str, worker_stop_s: str) -> int:
    """Run, and say what went wrong as the command line does."""
    settings = LocalSettings(
        directory=Path(),  # whole paths are made of these
        data_dir=Path("data"),
        port=int(port),
        slots=2,
        tags=("a-tag",),
        drain_timeout_s=float(drain_timeout_s),
        worker_stop_s=float(worker_stop_s),
        programs=PROGRAMS,
    )
    process = launcher.start()
    os.chdir(home)
    try:
        return run_local(settings, process)
    except OrchestratorError as error:
        sys.stderr.write(f"{error.message}; {error.hint}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
