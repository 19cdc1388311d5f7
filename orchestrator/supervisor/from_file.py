"""`orchestrator run` with a configuration file."""

from collections.abc import Callable
from dataclasses import replace

import click

from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.files import private_dir
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
    settings = replace(settings, state_dir=private_dir(settings.state_dir))
    daemon = DaemonSettings(
        state_dir=settings.state_dir,
        notifier=settings.notifier,
        environ=settings.environ,
        succession=settings.succession,
        waits=settings.waits,
        programs=programs or Programs(),
    )
    return run(Watcher(settings, SystemClock()), daemon, launcher, say)
