"""How a worker process begins and ends: its settings, its memory, its connection, its exit code.

Two ways lead here. The supervisor's nursery forks `run_forked`; `worker run` calls `run` in the
foreground. Only where orders come from differs.
"""

import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import anyio
from pydantic import ValidationError

from orchestrator.kernel import descriptors, logs
from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import Broken, ConfigInvalid, LauncherGone, OrchestratorError, cause
from orchestrator.kernel.files import private_dir
from orchestrator.kernel.lifeline import Lifeline
from orchestrator.kernel.packets import Message
from worker.agent import LEFT, Agent, Order, Surroundings
from worker.link import Link
from worker.settings import WorkerSettings, read_token, surroundings
from worker.spool import Spool

LOGGER: Final = logging.getLogger(__name__)
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DESCRIPTORS: Final = 8192
"""Three for each of the most slots that a worker can have, its connections, and as many again."""
_LEAVE_S: Final = 2.0
"""How long whoever has nobody left to obey may take to go: a thread that unpacks an archive cannot
be interrupted, and as long as it works nobody else may have the spool."""
_KILLED_BY: Final = 128
"""What a shell adds to the number of a signal."""


def run_forked(args: Message, fds: list[int]) -> int:
    """Be a supervisor's worker: `args` are the settings, `fds` the lifeline and the channel."""
    logs.set_up()
    descriptors.raise_limit(_DESCRIPTORS)
    lifeline, channel = fds
    return _to_its_end(lambda: anyio.run(_forked, args, lifeline, socket.socket(fileno=channel)))


def run(settings: WorkerSettings, channel: socket.socket) -> int:
    """Be a worker in the foreground, with orders by signal."""
    logs.set_up()
    descriptors.raise_limit(_DESCRIPTORS)
    return _to_its_end(lambda: anyio.run(_in_foreground, settings, channel))


def _to_its_end(main: Callable[[], int]) -> int:
    """Return the exit code, also that of an error that has one. A bug of ours is not caught."""
    try:
        return main()
    except OrchestratorError as error:
        trouble = error
    except BaseExceptionGroup as group:
        found = cause(group)
        if not isinstance(found, OrchestratorError) or group.split(OrchestratorError)[1]:
            raise  # there is anything else among them
        trouble = found
    # A launcher is killed from outside: that is told in a sentence, and is no bug with a trace.
    if isinstance(trouble, Broken) and not isinstance(trouble, LauncherGone):
        raise trouble
    logs.event(
        LOGGER,
        logging.ERROR,
        "worker.failed",
        code=trouble.problem_code,
        reason=trouble.message,
        hint=trouble.hint,
    )
    return trouble.exit_code


async def _forked(args: Message, lifeline_fd: int, channel: socket.socket) -> int:
    lifeline = Lifeline.from_fd(lifeline_fd)

    async def orders() -> AsyncIterator[Order]:
        async for message in lifeline.orders():
            yield Order(message["do"])
        _leave_soon(LEFT)

    async def opened() -> None:
        await lifeline.tell({"state": "ready"})

    try:
        settings = WorkerSettings.model_validate(args)
    except ValidationError as error:
        raise ConfigInvalid(f"the worker's settings are wrong: {error}") from None
    return await _work(settings, channel, orders(), opened)


async def _in_foreground(settings: WorkerSettings, channel: socket.socket) -> int:
    got: list[int] = []

    async def orders() -> AsyncIterator[Order]:
        with anyio.open_signal_receiver(*SIGNALS) as received:
            async for number in received:
                got.append(number)
                if len(got) > len(Order):
                    _leave_soon(_KILLED_BY + number)
                    return
                yield list(Order)[len(got) - 1]

    async def opened() -> None:
        logs.event(LOGGER, logging.INFO, "worker.ready", url=settings.server_url)

    code = await _work(settings, channel, orders(), opened)
    return _KILLED_BY + got[-1] if code and got else code


async def _work(
    settings: WorkerSettings,
    channel: socket.socket,
    orders: AsyncIterator[Order],
    opened: Callable[[], Awaitable[None]],
) -> int:
    token = read_token(settings.token_file)
    _check_directory(settings)
    spool = Spool(private_dir(settings.state_dir) / "spool")
    _tell_of_a_copy(spool)
    around = Surroundings(spool, channel, surroundings(), SystemClock(), _draw)
    try:
        with logs.bound(worker=settings.name):
            async with Link(settings.server_url, token) as link:
                return await Agent(settings, link, around).run(orders, opened)
    finally:
        spool.close()


def _tell_of_a_copy(spool: Spool) -> None:
    if spool.identity.copied_from is not None:
        logs.event(
            LOGGER,
            logging.WARNING,
            "spool.copied",
            spool=spool.identity.id,
            original=spool.identity.copied_from,
            reason=f"{spool.directory} is a copy: what runs, runs where it was copied from",
            next="going on as another one, without what is not over in it",
        )


def _leave_soon(code: int) -> None:
    """End this process soon, whatever its threads do: what must not be lost is on the disk."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(code))
    signal.setitimer(signal.ITIMER_REAL, _LEAVE_S)


def _check_directory(settings: WorkerSettings) -> None:
    if not settings.working_directory.is_dir():
        raise ConfigInvalid(
            f"the working directory {settings.working_directory} does not exist",
            hint="create it, or start the worker in another one",
        )


def _draw() -> float:
    """Return a uniform number from [0, 1)."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
