"""One machine: `orchestrator run --local` as it is, but for the server, which is elsewhere.

python -m tests.chaos.host HOME URL SLOTS
"""

import sys
from pathlib import Path

from orchestrator.kernel import launcher
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.supervisor.settings import LocalSettings, Programs


def main(home: str, url: str, slots: str) -> int:
    """Run until stopped, as the command line does."""
    process = launcher.start()
    from orchestrator.supervisor.local import run_local  # noqa: PLC0415 – after the fork

    settings = LocalSettings(
        directory=Path(home) / "project",
        data_dir=Path(home) / "data",
        port=0,
        slots=int(slots),
        drain_timeout_s=30.0,
        programs=Programs(server=("-m", "tests.chaos.doorway", url)),
    )
    try:
        return run_local(settings, process)
    except OrchestratorError as error:
        sys.stderr.write(f"{error.message}; {error.hint}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
