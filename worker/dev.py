"""`worker dev` and `worker once`: one worker for the folder at hand, kept alive while it is wanted.

    worker dev
     └ launcher ─┬─ nursery ── worker
                 └─ shims, on request of the worker

It is the smallest supervisor: it starts the worker again when it dies, passes on what a person
asks for, and ends with it. A worker that dies finds its jobs again, so `faults` may kill it.
"""

import logging
import os
import signal
from dataclasses import dataclass, field
from typing import Final

import anyio

from orchestrator.kernel import lifeline, logs, packets, paths
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.errors import AlreadyRunning, LauncherGone, cause
from orchestrator.kernel.files import Lock
from orchestrator.kernel.journald import Journal
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.kernel.launching import Exit, Launcher
from orchestrator.kernel.lifeline import ParentEnd
from orchestrator.protocol.tokens import WorkerToken
from worker.faults import life_s

LOGGER: Final = logging.getLogger(__name__)
MODULES: Final = ("worker.main", "httpx", "anyio._backends._asyncio")
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ORDERS: Final = ("drain", "stop")
FINAL_CODES: Final = frozenset({0, 2, 8, 73, 77, 78})
"""With these a worker says that starting it again changes nothing; after a crash (70) it may."""
BACKOFF: Final = Backoff(max_s=10.0)
_KILLED_BY: Final = 128


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and which faults to inject."""

    settings: dict[str, object]
    seed: str | None = None
    """Kill the worker at moments that follow from this text."""
    token: str | None = field(default=None, repr=False)
    """What the worker is told before anything else; `None`: it reads it from its file."""
    reflects: bool = False
    """Return what the one job returned."""


def check_alone(token: WorkerToken) -> None:
    """Refuse a worker that the orchestrator of this machine keeps: they would end each other."""
    path = paths.state_dir() / "workers" / token.worker_id / "spool" / "lock"
    if not path.exists():
        return
    try:
        Lock(path).take("a worker").release()
    except AlreadyRunning:
        pid = path.read_text().strip() or "unknown"
        raise AlreadyRunning(
            f"{token.worker_id} runs already, kept by the orchestrator of this machine (pid {pid})",
            hint="enrol another worker for this folder, or take that one out of workers.yaml",
        ) from None


def run(plan: Plan, process: LauncherProcess) -> int:
    """Keep the worker until it has ended for good, and return the exit code."""
    logs.set_up(journal=Journal.behind())
    try:
        return anyio.run(_run, plan, process)
    except BaseExceptionGroup as group:
        raise cause(group) from group


async def _run(plan: Plan, process: LauncherProcess) -> int:
    async with Launcher.over(process) as launcher, anyio.create_task_group() as tasks:
        keeper = _Keeper(plan, launcher, await launcher.nursery(MODULES))
        tasks.start_soon(keeper.listen)
        tasks.start_soon(_watch, launcher)
        code = await keeper.keep()
        tasks.cancel_scope.cancel()
    return code


async def _watch(launcher: Launcher) -> None:
    """Raise `LauncherGone` when it is: this process has a loop, so it cannot fork another one."""
    await launcher.gone()
    raise _gone()


def _gone() -> LauncherGone:
    return LauncherGone(
        "a process between this one and its worker was killed",
        hint="what runs goes on; start this again, and its worker finds it",
    )


class _Keeper:
    """One worker after the other, each on a lifeline of its own."""

    def __init__(self, plan: Plan, launcher: Launcher, nursery: Launcher) -> None:
        self._plan = plan
        self._launcher = launcher
        self._nursery = nursery
        self._asked: list[int] = []
        self._line: ParentEnd | None = None
        self._done = 0
        """What came of the jobs that the worker was to run."""
        self._had_none = False

    async def listen(self) -> None:
        """Pass on what a person asks for; the third time, leave: commands go on in their shims."""
        with anyio.open_signal_receiver(*SIGNALS) as received:
            async for number in received:
                self._asked.append(number)
                if len(self._asked) > len(ORDERS):
                    os._exit(_KILLED_BY + number)
                await self._tell()

    async def _tell(self) -> None:
        if self._line is not None and self._asked:
            await self._line.tell({"do": ORDERS[len(self._asked) - 1]})

    async def keep(self) -> int:
        """Start the worker, again and again if need be, and return its last code."""
        number, failures = 0, 0
        while True:
            number += 1
            ready, end = await self._one_life(number)
            if end.code in FINAL_CODES:
                return self._status() if end.code == 0 else end.code
            if self._launcher.is_gone or self._nursery.is_gone:
                raise _gone()
            if self._asked and end.code is not None:
                return end.code
            failures = 0 if ready else failures + 1
            wait_s = BACKOFF.delay(failures, draw=0.5) if failures else 0.0
            logs.event(
                LOGGER,
                logging.WARNING,
                "worker.restarted",
                code=end.code,
                signal=end.signal,
                in_s=wait_s,
            )
            await anyio.sleep(wait_s)

    def _status(self) -> int:
        """Return the code of a worker that ended well: its jobs', if that is asked for."""
        return self._done if self._plan.reflects or self._had_none else 0

    async def _one_life(self, number: int) -> tuple[bool, Exit]:
        """See one worker through; tell whether it was ever ready, and how it ended."""
        ours, channel = packets.pair()
        line, theirs = lifeline.pair()
        with ours, channel, theirs:
            await self._launcher.lend(ours.fileno(), "worker.shim:main")
            child = await self._nursery.fork(
                "worker.main:run_forked",
                self._plan.settings,
                fds=[theirs.fileno(), channel.fileno()],
                name="orch-worker",
            )
        self._line = line
        if self._plan.token is not None:
            await line.tell({"do": "identify", "token": self._plan.token})
        await self._tell()
        ready = False

        async def hear() -> None:
            nonlocal ready
            async for news in line.news():
                if "done" in news:
                    self._done = int(news["done"]["status"])
                    self._had_none = bool(news["done"]["none"])
                if news.get("state") == "ready" and not ready:
                    ready = True
                    url = self._plan.settings["server_url"]
                    logs.event(LOGGER, logging.INFO, "worker.ready", url=url, pid=child.pid)

        async def kill() -> None:
            if self._plan.seed is not None:
                await anyio.sleep(life_s(self._plan.seed, number))
                logs.event(LOGGER, logging.WARNING, "fault.injected", pid=child.pid)
                await child.signal(signal.SIGKILL)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hear)
            tasks.start_soon(kill)
            end = await child.wait()
            tasks.cancel_scope.cancel()
        self._line = None
        line.close()
        return ready, end
