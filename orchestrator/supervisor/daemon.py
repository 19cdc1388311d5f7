"""`orchestrator run`: keep a machine's workers, and perhaps a server, alive until told to stop.

    orchestrator run
     └ launcher ─┬─ server
                 ├─ nursery ─┬─ worker
                 │           └─ worker …
                 └─ shims, on request of the workers

One function starts them and stops them. All start at once; workers go first, because they need the
server to report what their jobs came to: so a server that dies while they drain is started again.

If the launcher dies there is no way back: this process has an event loop and perhaps threads, so it
must not fork another one. Everything is let go in order (jobs run on in their shims), and the exit
code asks whoever started us to do so again; the next workers find the jobs.
"""

import contextlib
import logging
import math
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import anyio
import click
from anyio.abc import TaskGroup

from orchestrator import __version__
from orchestrator.kernel import kept_log, linux, logs, paths, stacks
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import Clock, SystemClock
from orchestrator.kernel.delegation import delegated
from orchestrator.kernel.errors import IllegalTransition, cause
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.files import Lock
from orchestrator.kernel.journald import Journal
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.kernel.launching import Launcher
from orchestrator.supervisor import control
from orchestrator.supervisor.address import listen
from orchestrator.supervisor.fleet import Fleet
from orchestrator.supervisor.launches import Launches
from orchestrator.supervisor.logic.child import Wanted
from orchestrator.supervisor.logic.errand import Errand
from orchestrator.supervisor.logic.farewell import FORCED, farewell
from orchestrator.supervisor.logic.shutdown import Phase, Push, pushed
from orchestrator.supervisor.logic.summary import Summary, summary
from orchestrator.supervisor.logic.wanted import MachineWanted
from orchestrator.supervisor.service.errands import find_out
from orchestrator.supervisor.service.reporter import Reporter
from orchestrator.supervisor.settings import DaemonSettings
from orchestrator.supervisor.succession import PROVE_S, Command, command_of, own_command

LOGGER: Final = logging.getLogger(__name__)
LOG: Final = "orchestrator.log"
INTERNAL_FAULT: Final = 70
DRAIN_TIMED_OUT: Final = 6
_STDOUT: Final = 1
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
    {
        Phase.DRAINING: Wanted.DRAIN,
        Phase.KEEPING: Wanted.LEAVE,
        Phase.INTERRUPTING: Wanted.STOP,
        Phase.LEAVING: Wanted.LEAVE,
    }
)
"""What each phase of a shutdown means for the workers."""
REPEAT_S: Final = 5.0
"""How often a person is told that there are fewer jobs to wait for."""


class Source(Protocol):
    """Where what is wanted comes from."""

    async def first(self) -> MachineWanted:
        """Return what is wanted at the start, once that is known."""
        ...

    async def run(self, fleet: Fleet) -> None:
        """Apply whatever is wanted later."""
        ...

    def reload(self) -> bool:
        """Look now whether something else is wanted; tell whether there is where to look."""
        ...

    async def looked(self) -> None:
        """Return when it has looked, and done what came of it, as often as it was asked to."""
        ...

    def greeting(self, fleet: Fleet) -> str:
        """Return what a person reads when everything is up."""
        ...

    def status(self) -> Mapping[str, object]:
        """Return what is to be said of it."""
        ...


def run(
    source: Source,
    settings: DaemonSettings,
    launcher: LauncherProcess,
    say: Callable[[str], None] = click.echo,
) -> int:
    """Run until stopped, and return the exit code. `launcher` ends with it."""
    logs.set_up(journal=Journal.behind())
    if (folder := paths.log_dir()) is not None:
        kept_log.keep_in(folder, LOG)
    stacks.log_on_signal()
    # Here is every worker's token, and jobs run as the same user.
    linux.hide_memory()
    try:
        with Lock(settings.state_dir / "lock").take("an orchestrator") as lock:
            _tell_of_limits()
            try:
                return anyio.run(_run, source, settings, launcher, say)
            except BaseException:
                if [each.name for each in settings.state_dir.iterdir()] == [lock.path.name]:
                    lock.remove()
                raise
    except BaseExceptionGroup as group:
        raise cause(group) from group
    finally:
        launcher.close()


def _tell_of_limits() -> None:
    """Say which limits of jobs the kernel sees to here."""
    found = delegated()
    by_kernel = ", ".join(sorted(found.controllers)) or "none"
    more = {"reason": found.reason} if found.reason else {}
    logs.event(LOGGER, logging.INFO, "run.limits", by_kernel=by_kernel, **more)


async def _run(
    source: Source, settings: DaemonSettings, process: LauncherProcess, say: Callable[[str], None]
) -> int:
    async with Launcher.over(process) as launcher:
        code = await Daemon(source, settings, launcher, say).run()
    return INTERNAL_FAULT if launcher.was_killed else code


class Daemon:
    """The one task group of a run."""

    def __init__(
        self,
        source: Source,
        settings: DaemonSettings,
        launcher: Launcher,
        say: Callable[[str], None],
    ) -> None:
        self.source = source
        self.fleet: Fleet | None = None
        self._settings = settings
        self._launcher = launcher
        self._say = say
        self._clock: Clock = SystemClock()
        self.changed = Bell()
        """Rings when anything of the machine is another than before."""
        self._phase = Phase.RUNNING
        self._forced = False
        self._errand = Errand.STOP

    async def run(self) -> int:
        """Start everything, wait for a reason to end, stop everything, and return the exit code."""
        with contextlib.ExitStack() as stack:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen_for_signals, tasks)
                tasks.start_soon(self._watch_the_launcher)
                tasks.start_soon(control.serve, self, self._clock, self._settings)
                tasks.start_soon(self._reporter().run)
                tasks.start_soon(self._prove)
                tasks.start_soon(self._begin, tasks, stack)
                await self.changed.until(lambda: self._is_over)
                code = await self._end()
                tasks.cancel_scope.cancel()
        if self._forced:
            self._tell(FORCED)
        logs.event(LOGGER, logging.INFO, "run.ended", code=code)
        return code

    async def _begin(self, tasks: TaskGroup, stack: contextlib.ExitStack) -> None:
        """Start what is wanted, as soon as that is known, and greet when it is up."""
        wanted = await self.source.first()
        listening = None
        if (server := wanted.server) is not None:
            listening = await listen(server.host, server.port, insecure_http=server.insecure_http)
            stack.callback(listening.close)
        if self._phase is not Phase.RUNNING:
            return
        launches = Launches(self._settings, self._launcher, self.changed)
        fleet = self.fleet = Fleet(wanted, launches, self._settings, self.changed, self._clock)
        stack.callback(fleet.close)
        fleet.start(tasks, listening)
        tasks.start_soon(self.source.run, fleet)
        await self.changed.until(lambda: fleet.are_all_up)
        if self._phase is Phase.RUNNING:
            self._tell(self.source.greeting(fleet))

    @property
    def _is_over(self) -> bool:
        """Tell whether there is a reason to end: somebody asked, or nothing will ever work."""
        hopeless = self.fleet is not None and self.fleet.is_hopeless
        asked = self._phase is not Phase.RUNNING
        return asked or self._launcher.is_gone or (hopeless and not self._settings.waits)

    async def _end(self) -> int:
        """See everybody off, as patiently as the phase says, and return the exit code."""
        fleet = self.fleet
        if fleet is None:
            return INTERNAL_FAULT if self._launcher.is_gone else 0
        # Before anybody is sent away: then there is no trouble to be seen any more.
        trouble = _code_of_trouble(fleet) if self._phase is Phase.RUNNING else 0
        reached("supervisor.stopping")
        asked = WANTED.get(self._phase, Wanted.LEAVE)
        wanted = Wanted.LEAVE if self._launcher.is_gone else asked
        fleet.want(wanted, "the orchestrator stops")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._count_down, fleet)
            await fleet.workers_are_gone()
            tasks.cancel_scope.cancel()
        reached("supervisor.stopping")
        await fleet.stop_server(Wanted.LEAVE if self._launcher.is_gone else Wanted.STOP)
        workers = [service.child for service in fleet.services if service is not fleet.server]
        self._forced = any(child.forced for child in workers)
        if self._launcher.is_gone:
            return INTERNAL_FAULT
        late = self._forced or any(child.overdrawn for child in workers)
        return trouble or (DRAIN_TIMED_OUT if late else 0)

    async def _count_down(self, fleet: Fleet) -> None:
        """Tell a person how many jobs are still waited for, when they become fewer."""
        told = [len(fleet.running_jobs())]
        while True:
            await self.changed.until(lambda: len(fleet.running_jobs()) not in {0, told[-1]})
            told.append(len(fleet.running_jobs()))
            if self._phase is Phase.DRAINING:
                self._tell(self._farewell(fleet))
            await anyio.sleep(REPEAT_S)

    @property
    def phase(self) -> str:
        """Return whether it runs, or how far its end has come."""
        return str(self._phase)

    def config(self) -> Mapping[str, object]:
        """Return what is to be said of its configuration."""
        return self.source.status()

    def reload(self) -> bool:
        """Look now whether something else is wanted; tell whether there is where to look."""
        return self.source.reload()

    def _tell(self, text: str) -> None:
        """Speak to whoever started us, and go on without them when their terminal is gone."""
        try:
            self._say(text)
        except OSError:
            logs.discard(_STDOUT)

    async def _watch_the_launcher(self) -> None:
        await self._launcher.gone()
        logs.event(LOGGER, logging.CRITICAL, "launcher.died", next="jobs go on; start this again")
        self.changed.ring()

    async def _listen_for_signals(self, tasks: TaskGroup) -> None:
        listened = [number for number in PUSHES if signal.getsignal(number) is not signal.SIG_IGN]
        with anyio.open_signal_receiver(*listened) as received:
            async for number in received:
                if number == signal.SIGHUP and not _has_terminal() and self.reload():
                    tasks.start_soon(self._tell_of_reload)
                    continue
                asked = number == signal.SIGTERM and self._phase is Phase.RUNNING
                if asked and self._settings.notifier.is_heard:
                    self._errand = await find_out(self._launcher)
                self._push(number)

    def _push(self, number: signal.Signals) -> None:
        fleet = self.fleet
        keeps = fleet is not None and fleet.wanted.keep_jobs_on_stop
        push = Push.URGED if self._errand is Errand.SHUTDOWN else PUSHES[number]
        keeps |= self._errand is Errand.RESTART
        self._phase = pushed(self._phase, push, keep_jobs=keeps)
        self._settings.succession.settle()
        logs.event(LOGGER, logging.INFO, f"run.{self._phase}", signal=number.name)
        if self._phase is Phase.LEAVING:
            # At once, whatever hangs: our end closes every line, and that is all it takes.
            os._exit(128 + number)
        if fleet is not None:
            fleet.want(WANTED[self._phase], "the orchestrator stops")
        self._tell(self._farewell(fleet))
        self.changed.ring()

    def upgrade(self, program: str | None) -> None:
        """Begin anew in the same process, as another program if one is named; jobs run on."""
        if self._is_over:
            raise IllegalTransition(f"it is already {self._phase}")
        command = own_command() if program is None else command_of(program)
        self._become(command, to_prove=program is not None)

    def _become(self, command: Command, *, returning: bool = False, to_prove: bool = False) -> None:
        self._settings.succession.become(command, returning=returning, to_prove=to_prove)
        self._phase = Phase.KEEPING
        logs.event(LOGGER, logging.INFO, "run.keeping", becomes=command[0])
        if self.fleet is not None:
            self.fleet.want(WANTED[self._phase], "the orchestrator begins anew")
        self.changed.ring()

    async def _prove(self) -> None:
        """Say how an upgrade went; return to the old version if this one is not ready in time."""
        succession = self._settings.succession
        if not succession.began_anew:
            return
        with anyio.move_on_after(PROVE_S if succession.predecessor else math.inf) as patience:
            while self.fleet is None or not (now := self._summary()).answered or now.suspect:
                await self.changed.next(deadline=anyio.current_time() + 1)
        if patience.cancelled_caught:
            logs.event(LOGGER, logging.ERROR, "run.not_proven", why=self._summary().text)
            self._become(succession.predecessor, returning=True)
            return
        succession.settle()
        event = "run.rolled_back" if succession.rolled_back else "run.upgraded"
        level = logging.ERROR if succession.rolled_back else logging.INFO
        logs.event(LOGGER, level, event, version=__version__)

    async def _tell_of_reload(self) -> None:
        """Tell the service manager how long what it asked for takes."""
        self._settings.notifier.reloading()
        await self.source.looked()
        if not self._is_over:
            self._settings.notifier.ready(self._summary().text)

    def _reporter(self) -> Reporter:
        def ending() -> str | None:
            return None if not self._is_over else str(self._phase)

        def returns() -> bool:
            return bool(self._settings.succession.successor)

        return Reporter(self._settings.notifier, self.changed, self._summary, ending, returns)

    def _summary(self) -> Summary:
        banner = self.source.status().get("banner")
        wrong = str(banner["message"]) if isinstance(banner, dict) else None
        if (fleet := self.fleet) is None:
            return Summary(wrong or "reading the configuration", answered=wrong is not None)
        server = fleet.server
        return summary(
            [(post.name, post.standing()[0]) for post in fleet.posts],
            jobs=sum(post.running_count for post in fleet.posts),
            server_is_up=server is None or server.is_ready or server.child.is_hopeless,
            wrong=wrong,
        )

    def _farewell(self, fleet: Fleet | None) -> str:
        running = [] if fleet is None else fleet.running_jobs()
        return farewell(self._phase, running, now=self._clock.now())


def _code_of_trouble(fleet: Fleet) -> int:
    """Return the exit code of whatever keeps everything from working."""
    if fleet.server is not None and fleet.server.child.is_hopeless:
        return fleet.server.child.last_code or INTERNAL_FAULT
    codes = [post.child.last_code for post in fleet.posts if post.child is not None]
    found = Counter(code or INTERNAL_FAULT for code in codes)
    return found.most_common(1)[0][0] if found else INTERNAL_FAULT


def _has_terminal() -> bool:
    """Tell whether there is a terminal whose end is ours."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
