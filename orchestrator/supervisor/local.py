"""`orchestrator run --local`: what is wanted of this machine, said by options instead of a file."""

import dataclasses
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import anyio
import click

from orchestrator.kernel import paths
from orchestrator.kernel.files import private_dir, undone_if_empty
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.supervisor.daemon import run
from orchestrator.supervisor.fleet import Fleet
from orchestrator.supervisor.logic.greeting import greeting
from orchestrator.supervisor.logic.wanted import (
    LogWanted,
    MachineWanted,
    ServerWanted,
    WorkerIdentity,
    WorkerWanted,
)
from orchestrator.supervisor.settings import WORKER_NAME, DaemonSettings, LocalSettings

ENROLLED: Final = WorkerIdentity("", "", "")
"""It is enrolled with the embedded server, which says who it is."""


def run_local(
    settings: LocalSettings, launcher: LauncherProcess, say: Callable[[str], None] = click.echo
) -> int:
    """Run until stopped, and return the exit code. `launcher` ends with it."""
    with undone_if_empty(settings.data_dir.absolute()), undone_if_empty(paths.state_dir()):
        return _run(settings, launcher, say)


def _run(settings: LocalSettings, launcher: LauncherProcess, say: Callable[[str], None]) -> int:
    # Children have other working directories, so from here on every path is a whole one.
    data_dir, directory = private_dir(settings.data_dir), settings.directory.resolve()
    settings = dataclasses.replace(settings, data_dir=data_dir, directory=directory)
    private_dir(paths.state_dir())
    daemon = DaemonSettings(
        state_dir=data_dir,
        notifier=settings.notifier,
        environ=settings.environ,
        succession=settings.succession,
        worker_stop_s=settings.worker_stop_s,
        programs=settings.programs,
    )
    return run(Options(settings), daemon, launcher, say)


def wanted(settings: LocalSettings) -> MachineWanted:
    """Return one server and one worker, as the options say."""
    worker = WorkerWanted(
        name=WORKER_NAME,
        identity=ENROLLED,
        token=None,
        working_directory=settings.directory,
        concurrency=settings.slots,
        tags=settings.tags,
        drain_timeout_s=settings.drain_timeout_s,
    )
    server = ServerWanted(
        host=settings.host,
        port=settings.port,
        insecure_http=settings.insecure_http,
        data_dir=settings.data_dir / "server",
    )
    return MachineWanted(
        server=server,
        workers=(worker,),
        name=platform.node() or "here",
        max_jobs=settings.slots,
        drain_timeout_s=settings.drain_timeout_s,
        log=LogWanted(directory=paths.worker_log_dir()),
    )


class Options:
    """The options of a command line as a source: they never change."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings

    async def first(self) -> MachineWanted:
        """Return what they say."""
        return wanted(self._settings)

    async def run(self, fleet: Fleet) -> None:  # noqa: ARG002 - nothing is ever applied to it
        """Wait for nothing."""
        await anyio.sleep_forever()

    def reload(self) -> bool:
        """Tell that there is nowhere to look."""
        return False

    async def looked(self) -> None:
        """Return at once."""

    def greeting(self, fleet: Fleet) -> str:
        """Return where everything is, and what to do next."""
        url = "" if fleet.server is None else str(fleet.server.news["url"])
        return greeting(
            url,
            directory=str(self._settings.directory),
            slots=self._settings.slots,
            program=program(),
        )

    def status(self) -> Mapping[str, object]:
        """Return what is to be said of them."""
        return MappingProxyType({"source": "options"})


def program() -> list[str]:
    """Return how a person starts us, for what we tell them to type."""
    typed = Path(sys.argv[0])
    if typed.name == "__main__.py":
        return [sys.executable, "-m", "orchestrator"]
    on_the_path = shutil.which(typed.name)
    same = on_the_path is not None and Path(on_the_path).resolve() == typed.resolve()
    return [typed.name if same else str(typed)]
