"""How a worker process begins and ends: its settings, its memory, its connection, its exit code.

Two ways lead here. The supervisor's nursery forks `run_forked`; `worker run` calls `run` in the
foreground. Only where orders come from differs.
"""

import logging
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio
from pydantic import ValidationError

from orchestrator.kernel import descriptors, linux, logs, stacks
from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import (
    Broken,
    ConfigInvalid,
    Forbidden,
    LauncherGone,
    OrchestratorError,
    Unauthenticated,
    cause,
)
from orchestrator.kernel.files import private_dir
from orchestrator.kernel.journald import Journal
from orchestrator.kernel.lifeline import Lifeline
from orchestrator.kernel.packets import Message
from orchestrator.protocol.tokens import WorkerToken
from worker.agent import LEFT, Agent, Overseer, Surroundings
from worker.link import Link
from worker.logbook import Logbook
from worker.logic.standing import StandingState
from worker.orders import Ending, Identify, Order, order_of
from worker.services.herald import News, words
from worker.settings import WorkerSettings, environment_of_ours, read_token
from worker.spool import Spool
from worker.terms import Called

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
    logs.set_up(journal=Journal.behind())
    descriptors.raise_limit(_DESCRIPTORS)
    lifeline, channel = fds
    return _to_its_end(lambda: anyio.run(_forked, args, lifeline, socket.socket(fileno=channel)))


def run(settings: WorkerSettings, channel: socket.socket) -> int:
    """Be a worker in the foreground, with orders by signal."""
    logs.set_up(journal=Journal.behind())
    descriptors.raise_limit(_DESCRIPTORS)
    return _to_its_end(lambda: anyio.run(_in_foreground, settings, channel, _own(settings)))


def _own(settings: WorkerSettings) -> WorkerToken:
    """Return the token of a worker that nobody tells it."""
    if settings.token_file is None:
        raise ConfigInvalid("there is no token for this worker", hint="name the file that holds it")
    return read_token(settings.token_file)


def _to_its_end(main: Callable[[], int]) -> int:
    """Return the exit code, also that of an error that has one. A bug of ours is not caught."""
    _keep_to_ourselves()
    stacks.log_on_signal()
    try:
        return main()
    except (OrchestratorError, BaseExceptionGroup) as error:
        trouble = _cause(error)
        if trouble is None:
            raise  # there is anything else among them
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


def _keep_to_ourselves() -> None:
    """Let no job, which runs as the same user, find our token in our memory or in a core dump."""
    linux.hide_memory()
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _cause(error: BaseException) -> OrchestratorError | None:
    """Return the error of ours that this is, alone or in a group; `None` if there is another."""
    if isinstance(error, BaseExceptionGroup):
        found = cause(error)
        whole = error.split(OrchestratorError)[1] is None
        return found if whole and isinstance(found, OrchestratorError) else None
    return error if isinstance(error, OrchestratorError) else None


async def _forked(args: Message, lifeline_fd: int, channel: socket.socket) -> int:
    lifeline = Lifeline.from_fd(lifeline_fd)

    messages = lifeline.orders()

    async def orders() -> AsyncIterator[Order]:
        async for message in messages:
            if (order := order_of(message)) is not None:
                yield order
        _leave_soon(LEFT)

    async def opened() -> None:
        await lifeline.tell({"state": "ready"})

    try:
        settings = _settings(args)
        # What a supervisor collects is of all workers; this is what its own people look for.
        logbook = Logbook(settings.state_dir)
        logbook.take(settings)
        if settings.token_file is not None:
            token = read_token(settings.token_file)
        else:
            first = await anext(messages, None)
            if first is None:
                return LEFT
            token = _identified(first)
        overseer = Overseer(orders(), opened, lifeline.tell)
        return await _work(settings, channel, token, overseer, logbook)
    except (OrchestratorError, BaseExceptionGroup) as error:
        if isinstance(trouble := _cause(error), OrchestratorError):
            await lifeline.tell({"standing": _last(trouble)})
        raise


def _settings(args: Message) -> WorkerSettings:
    try:
        return WorkerSettings.model_validate(args)
    except ValidationError as error:
        # Without what was given: the environment of jobs is among it.
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in faults)
        raise ConfigInvalid(f"the worker's settings are wrong: {told}") from None


def _identified(message: Message) -> WorkerToken:
    """Return who we are, as the first message of the lifeline must say."""
    order = order_of(message)
    token = WorkerToken.parse(order.token.strip()) if isinstance(order, Identify) else None
    if token is None:
        raise ConfigInvalid(
            "this worker was told no token (machine_…:worker_…:secret_…), neither in a file nor "
            "before anything else",
            hint="name token_file in its settings, or have its supervisor identify it first",
        )
    return token


def _last(error: OrchestratorError) -> News:
    """Return the standing of a worker that ends, and will not be better by itself."""
    refused = isinstance(error, Unauthenticated | Forbidden)
    state = StandingState.REFUSED if refused else StandingState.FAILED
    return {"state": state, "reason": words(error.message), "hint": words(error.hint)}


async def _in_foreground(
    settings: WorkerSettings, channel: socket.socket, token: WorkerToken
) -> int:
    got: list[int] = []

    async def orders() -> AsyncIterator[Order]:
        with anyio.open_signal_receiver(*SIGNALS) as received:
            async for number in received:
                got.append(number)
                if len(got) > len(Ending):
                    _leave_soon(_KILLED_BY + number)
                    return
                yield list(Ending)[len(got) - 1]

    async def opened() -> None:
        logs.event(LOGGER, logging.INFO, "worker.ready", url=settings.server_url)

    async def told(news: News) -> None:
        """Do nothing: whoever sits before it reads the log."""

    logbook = Logbook(None)
    logbook.take(settings)
    overseer = Overseer(orders(), opened, told)
    code = await _work(settings, channel, token, overseer, logbook)
    return _KILLED_BY + got[-1] if code and got else code


async def _work(
    settings: WorkerSettings,
    channel: socket.socket,
    token: WorkerToken,
    overseer: Overseer,
    logbook: Logbook,
) -> int:
    _check_directory(settings)
    spool = Spool(private_dir(settings.state_dir) / "spool")
    _tell_of_a_copy(spool)
    around = Surroundings(spool, channel, environment_of_ours(), SystemClock(), _draw, logbook)
    try:
        async with Link(settings.server_url, token) as link:
            agent = Agent(settings, link, token, around)
            with logs.bound(worker=Called(agent.terms)):
                return await agent.run(overseer)
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
