"""`orchestrator run --local`: keep a server and a worker alive until somebody stops us.

    orchestrator run --local
     └ launcher ─┬─ server
                 ├─ nursery ── worker
                 └─ shims, on request of the worker

One function starts them, first to last, and stops them, last to first. The worker goes first
because it needs the server to report what its jobs came to; so a server that dies while the worker
drains is started again.

If the launcher dies there is no way back: this process has an event loop and perhaps threads, so it
must not fork another one. Everything is let go in order (jobs run on in their shims), and the exit
code asks whoever started us to do so again; the next worker finds the jobs.
"""

import dataclasses
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Final

import anyio
import click
from anyio.abc import TaskGroup

from orchestrator.kernel import logs, paths
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import cause
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.files import Lock, private_dir
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.kernel.launching import Launcher
from orchestrator.supervisor.address import listen
from orchestrator.supervisor.children import ChildService
from orchestrator.supervisor.local import Local
from orchestrator.supervisor.logic.child import ChildPolicy, ChildState, Wanted
from orchestrator.supervisor.logic.greeting import greeting
from orchestrator.supervisor.logic.shutdown import Phase, Push, pushed
from orchestrator.supervisor.settings import WORKER_NAME, LocalSettings

LOGGER: Final = logging.getLogger(__name__)
INTERNAL_FAULT: Final = 70
_STDOUT: Final = 1
DRAIN_TIMED_OUT: Final = 6
PUSHES: Final = MappingProxyType(
    {
        signal.SIGINT: Push.ASKED,
        signal.SIGTERM: Push.ASKED,
        # A terminal that is closed must not leave a ghost; `nohup` says that this one may.
        signal.SIGHUP: Push.ASKED,
        signal.SIGQUIT: Push.URGED,
    }
)
WANTED: Final = MappingProxyType(
    {Phase.DRAINING: Wanted.DRAIN, Phase.INTERRUPTING: Wanted.STOP, Phase.LEAVING: Wanted.LEAVE}
)
"""What each phase of a shutdown means for the worker."""
FAREWELLS: Final = MappingProxyType(
    {
        Phase.DRAINING: "Stopping when the running jobs are done. Ctrl-C again interrupts them.",
        Phase.INTERRUPTING: "Interrupting the running jobs. Ctrl-C again leaves at once.",
    }
)
FORCED: Final = (
    "The worker did not end in time and was killed. Its jobs may still run in their shims; "
    "the next start finds them."
)
SERVER_POLICY: Final = ChildPolicy(stop_s=10.0, ready_s=120.0)
"""A start may have a migration to do; a stop has nothing that a restart could not repeat."""
WORKER_FINAL_CODES: Final = frozenset({73, 78})
"""Not 77: a refused token is replaced at the next launch."""


def run_local(
    settings: LocalSettings, launcher: LauncherProcess, say: Callable[[str], None] = click.echo
) -> int:
    """Run until stopped, and return the exit code. `launcher` ends with it."""
    logs.set_up()
    try:
        # Children have other working directories, so from here on every path is a whole one.
        data_dir, directory = private_dir(settings.data_dir), settings.directory.resolve()
        settings = dataclasses.replace(settings, data_dir=data_dir, directory=directory)
        private_dir(paths.state_dir())
        with Lock(data_dir / "lock").take("an orchestrator"):
            return anyio.run(_run, settings, launcher, say)
    except BaseExceptionGroup as group:
        raise cause(group) from group
    finally:
        launcher.close()


async def _run(
    settings: LocalSettings, process: LauncherProcess, say: Callable[[str], None]
) -> int:
    address = settings.host, settings.port
    with await listen(*address, insecure_http=settings.insecure_http) as listening:
        async with Launcher.over(process) as launcher:
            code = await Daemon(settings, Local(settings, launcher, listening), launcher, say).run()
    return INTERNAL_FAULT if launcher.was_killed else code


class Daemon:
    """The one task group of a local run."""

    def __init__(
        self,
        settings: LocalSettings,
        local: Local,
        launcher: Launcher,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._say = say
        self._bell = Bell()
        self._phase = Phase.RUNNING
        self._started: list[ChildService] = []
        self._local = local
        self._server = ChildService("server", SERVER_POLICY, self._local.launch_server, self._bell)
        self._worker = ChildService(
            f"worker:{WORKER_NAME}",
            ChildPolicy(
                drain_s=settings.drain_timeout_s,
                stop_s=settings.worker_stop_s,
                final_codes=WORKER_FINAL_CODES,
            ),
            self._local.launch_worker,
            self._bell,
        )

    async def run(self) -> int:
        """Start everything, wait for a reason to end, stop everything, and return the exit code."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen_for_signals)
            tasks.start_soon(self._watch_the_launcher)
            tasks.start_soon(self._local.prepare)
            if await self._start(self._server, tasks):
                self._local.server_is_at(str(self._server.news["url"]))
                self._local.connect_command_line()
                if await self._start(self._worker, tasks):
                    self._greet()
            await self._bell.until(lambda: self._is_over)
            for service in reversed(self._started):
                await self._stop(service)
            tasks.cancel_scope.cancel()
        self._local.disconnect_command_line()
        code = self._exit_code()
        if self._worker.child.forced:
            self._tell(FORCED)
        logs.event(LOGGER, logging.INFO, "run.ended", code=code)
        return code

    @property
    def _is_over(self) -> bool:
        """Tell whether there is a reason to end: somebody asked, or something failed for good."""
        return (
            self._phase is not Phase.RUNNING
            or self._launcher.is_gone
            or any(service.is_settled for service in self._started)
        )

    async def _start(self, service: ChildService, tasks: TaskGroup) -> bool:
        """Keep a child from now on, and tell whether it became ready before anything went wrong."""
        self._started.append(service)
        tasks.start_soon(service.run)
        await self._bell.until(lambda: service.is_ready or self._is_over)
        return not self._is_over

    async def _stop(self, service: ChildService) -> None:
        """See a child off, as patiently as the phase says."""
        reached("supervisor.stopping")
        if self._launcher.is_gone:
            service.want(Wanted.LEAVE)
        elif service is self._worker:
            service.want(WANTED.get(self._phase, Wanted.LEAVE))
        else:
            service.want(Wanted.STOP)
        await self._bell.until(lambda: service.is_settled)

    def _greet(self) -> None:
        """Everything is up: say so."""
        text = greeting(
            str(self._server.news["url"]),
            directory=str(self._settings.directory),
            slots=self._settings.slots,
            program=_program(),
        )
        self._tell(text)

    def _tell(self, text: str) -> None:
        """Speak to whoever started us, and go on without them when their terminal is gone."""
        try:
            self._say(text)
        except OSError:
            logs.discard(_STDOUT)

    async def _watch_the_launcher(self) -> None:
        await self._launcher.gone()
        logs.event(LOGGER, logging.CRITICAL, "launcher.died", next="jobs go on; start this again")
        for service in self._started:
            service.want(Wanted.LEAVE)
        self._bell.ring()

    async def _listen_for_signals(self) -> None:
        listened = [number for number in PUSHES if signal.getsignal(number) is not signal.SIG_IGN]
        with anyio.open_signal_receiver(*listened) as received:
            async for number in received:
                self._push(number)

    def _push(self, number: signal.Signals) -> None:
        self._phase = pushed(self._phase, PUSHES[number])
        logs.event(LOGGER, logging.INFO, f"run.{self._phase}", signal=number.name)
        if self._phase is Phase.LEAVING:
            # At once, whatever hangs: our end closes every line, and that is all it takes.
            os._exit(128 + number)
        if self._worker in self._started:
            self._worker.want(WANTED[self._phase])
        self._tell(FAREWELLS[self._phase])
        self._bell.ring()

    def _exit_code(self) -> int:
        if self._launcher.is_gone:
            return INTERNAL_FAULT
        if self._phase is Phase.RUNNING:
            failed = (s for s in self._started if s.child.state is ChildState.FAILED)
            return next(failed).child.last_code or INTERNAL_FAULT
        worker = self._worker.child
        return DRAIN_TIMED_OUT if worker.overdrawn or worker.forced else 0


def _program() -> list[str]:
    """Return how a person starts us, for what we tell them to type."""
    typed = Path(sys.argv[0])
    if typed.name == "__main__.py":
        return [sys.executable, "-m", "orchestrator"]
    on_the_path = shutil.which(typed.name)
    same = on_the_path is not None and Path(on_the_path).resolve() == typed.resolve()
    return [typed.name if same else str(typed)]
