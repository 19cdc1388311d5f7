"""`orchestrator run` with a configuration file."""

from collections.abc import Callable
from dataclasses import replace

import click

from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.files import private_dir, undone_if_empty
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.supervisor.daemon import run
from orchestrator.supervisor.settings import DaemonSettings, Programs
from orchestrator.supervisor.watcher import FileSettings, Watcher


def run_file(
    settings: FileSettings,
    launcher: LauncherProcess,
    say: Callable[[str], None] = click.echo,
    programs: Programs | None = None,
) -> int:
    """Run until stopped, and return the exit code. `launcher` ends with it."""
    with undone_if_empty(settings.state_dir):
        return _run(settings, launcher, say, programs or Programs())


def _run(
    settings: FileSettings,
    launcher: LauncherProcess,
    say: Callable[[str], None],
    programs: Programs,
) -> int:
    settings = replace(settings, state_dir=private_dir(settings.state_dir))
    daemon = DaemonSettings(
        state_dir=settings.state_dir,
        notifier=settings.notifier,
        environ=settings.environ,
        succession=settings.succession,
        waits=settings.waits,
        programs=programs,
    )
    return run(Watcher(settings, SystemClock()), daemon, launcher, say)
