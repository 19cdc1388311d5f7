"""The running server: its parts, in the order in which they start, and the reverse when it stops.

One task group holds every service. A service that ends without being asked ends the program, so
that there is no half-alive server; whoever supervises it starts it again.
"""

import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus

from orchestrator.kernel import logs
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import Clock, SystemClock
from orchestrator.kernel.files import private_dir
from orchestrator.kernel.heartbeat import beat
from orchestrator.kernel.lifeline import Lifeline
from orchestrator.kernel.listening import bind, bound_to, url_of
from orchestrator.kernel.logs import Form
from orchestrator.kernel.notify import Notifier
from orchestrator.kernel.packets import Message
from orchestrator.server.access.credentials import Credentials
from orchestrator.server.access.first_keys import provide_first_keys
from orchestrator.server.api.application import application
from orchestrator.server.backup.making import LOCK
from orchestrator.server.chance import Chance
from orchestrator.server.edge.listener import Listener
from orchestrator.server.facts import Fact
from orchestrator.server.files import FileStore
from orchestrator.server.live.bus import Bus
from orchestrator.server.live.dispatch import Dispatch
from orchestrator.server.live.memory import Memory
from orchestrator.server.live.sse import StreamLimits
from orchestrator.server.live.trust import TrustLog
from orchestrator.server.operations.requirements import session_requirements
from orchestrator.server.operations.upkeep import begin
from orchestrator.server.output_log import OutputFiles
from orchestrator.server.reserve import Reserve
from orchestrator.server.services import Services
from orchestrator.server.settings import ServerSettings, shown_database
from orchestrator.server.store.opening import open_store
from orchestrator.server.upkeep.alarm import Alarm
from orchestrator.server.upkeep.bulks import Bulks
from orchestrator.server.upkeep.housekeeping import Housekeeping
from orchestrator.server.upkeep.pulse import Pulse
from orchestrator.server.upkeep.reaper import reap

DATABASE: Final = "orchestrator.db"
RESERVE: Final = "reserve"
STOP_ORDERS: Final = frozenset({"stop", "drain"})
"""A server has nothing to drain: its requests are short, and its streams resume."""
UNHEARD: Final = Notifier()
_LOGGER: Final = logging.getLogger(__name__)


async def serve(
    settings: ServerSettings,
    lifeline: Lifeline | None = None,
    passed: socket.socket | None = None,
    notifier: Notifier = UNHEARD,
) -> None:
    """Run a server until a signal, an order, or the end of its parent.

    It listens on the socket that was passed to it, or else where the settings say.
    """
    folder = private_dir(settings.data_dir)
    listening = passed or bind(settings.host, settings.port, insecure_http=settings.insecure_http)
    url = url_of(listening)
    if settings.insecure_http:
        logs.event(_LOGGER, logging.WARNING, "server.insecure", url=url, listen=bound_to(listening))
    async with opened_services(settings, folder, SystemClock()) as services:
        await run_services(services, listening, lifeline, notifier)
    logs.event(_LOGGER, logging.INFO, "server.stopped", url=url)


@asynccontextmanager
async def opened_services(
    settings: ServerSettings, folder: Path, clock: Clock
) -> AsyncIterator[Services]:
    """Open everything that lies on the disk, and let go of it at the end."""
    reserve = Reserve(folder / RESERVE, settings.reserve_bytes)
    await to_thread.run_sync(reserve.open)
    path = folder / DATABASE
    opening = partial(open_store, settings.database, path, clock, make_room=reserve.release)
    store = await to_thread.run_sync(opening)
    try:
        files = FileStore(private_dir(folder / "files"))
        await to_thread.run_sync(files.open)
        await store.write(begin)
        await provide_first_keys(store, folder, clock)
        dispatch = Dispatch()
        dispatch.know(await store.read(session_requirements))
        yield Services(
            settings=settings,
            clock=clock,
            store=store,
            files=files,
            outputs=OutputFiles(private_dir(folder / "output")),
            credentials=Credentials(store),
            bus=Bus(),
            dispatch=dispatch,
            streams=StreamLimits(),
            pulse=Pulse(),
            reserve=reserve,
            chance=Chance(),
            bulk_bell=Bell(),
        )
    finally:
        await store.aclose()


async def run_services(
    services: Services,
    listening: socket.socket,
    lifeline: Lifeline | None = None,
    notifier: Notifier = UNHEARD,
) -> None:
    """Start every service, say that the server is ready, and stop in the reverse order."""
    stop = anyio.Event()
    alarm = Alarm(services.store, services.clock, services.new_id)
    keeper = Housekeeping(
        services.store,
        services.outputs,
        services.files,
        services.clock,
        lock=services.settings.data_dir / LOCK,
        kept=services.settings.retention,
    )
    bulks = Bulks(services, services.settings.data_dir / LOCK)
    memory = Memory(services.store, services.dispatch)
    unsubscribe = _listen_to_facts(services, alarm, memory)
    listener = Listener(application(services), listening)
    ended = anyio.Event()

    async def serve_http(*, task_status: TaskStatus[None]) -> None:
        await listener.run_service(task_status=task_status)
        ended.set()

    try:
        async with anyio.create_task_group() as group:
            await group.start(_watch_signals, stop)
            await group.start(reap, services.store, services.clock, services.pulse)
            group.start_soon(alarm.run)
            group.start_soon(memory.run)
            group.start_soon(keeper.run)
            group.start_soon(bulks.run)
            group.start_soon(services.reserve.run)
            await group.start(serve_http)
            url = url_of(listening)
            listen = bound_to(listening)
            where = shown_database(services.settings.database)
            logs.event(
                _LOGGER, logging.INFO, "server.started", url=url, listen=listen, database=where
            )
            if lifeline is not None:
                group.start_soon(_watch_lifeline, lifeline, stop)
                await lifeline.tell({"state": "ready", "url": url})
            notifier.ready(f"serving {url}")
            group.start_soon(beat, notifier)
            await stop.wait()
            notifier.stopping("stopping")
            _let_go(services)
            listener.stop()
            await ended.wait()
            group.cancel_scope.cancel()
    finally:
        unsubscribe()


def _listen_to_facts(services: Services, alarm: Alarm, memory: Memory) -> Callable[[], None]:
    """Tell the parts what was committed: credentials first, because others ask about them."""
    ears = (services.credentials, services.bus, services.dispatch, alarm, memory, TrustLog())

    def hear(facts: Sequence[Fact]) -> None:
        for ear in ears:
            ear.hear(facts)

    return services.store.subscribe(hear)


def _let_go(services: Services) -> None:
    """End everything that only waits: nobody's answer may hold up the stop."""
    services.pulse.stop()
    services.bus.close()
    services.dispatch.close()


async def _watch_signals(
    stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()


async def _watch_lifeline(lifeline: Lifeline, stop: anyio.Event) -> None:
    """Stop when the parent says so, or is not there any more."""
    async for order in lifeline.orders():
        if order.get("do") in STOP_ORDERS:
            break
        if order.get("do") == "log":
            _log_as(order)
    stop.set()


def _log_as(order: Message) -> None:
    """Write down what whoever keeps us wants to read; a word of a newer one changes nothing."""
    level, form = (str(order.get(key)) for key in ("level", "format"))
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is not None and form in set(Form):
        logs.adjust(level=number, form=Form(form))
