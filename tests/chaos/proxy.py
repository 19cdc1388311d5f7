"""A bad network, in user space: a TCP relay that knows where a request begins and ends.

It listens in front of one server, in a thread of its own, and does to each request what the weather
says. It needs no rights, and unlike what a kernel offers it can repeat a request and lose an answer
after the deed. It never changes a byte.
"""

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.weather import FAIR, Fault, Way, Weather

HERE: Final = "127.0.0.1"
PIECE_BYTES: Final = 65_536
HEAD_BYTES: Final = 1024 * 1024
COPIES_MAX: Final = 4
DRIBBLES_MAX: Final = 40
"""Pieces of an answer that dribbles, before the rest comes at once: it should be slow, not dead."""
REPEAT_S: Final = 10.0
"""How long a repeated request waits for the answer that nobody reads."""
START_S: Final = 10.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)
_NUMBERS: Final = re.compile(r"(job|file|session)_[0-9a-z]+|[0-9a-f]{64}")
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class Link:
    """One caller's connection and ours to the server behind it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    up_reader: asyncio.StreamReader
    up_writer: asyncio.StreamWriter
    asked: list[tuple[str, Fault | None]] = field(default_factory=list)
    """What was asked and is not answered yet, and what is to happen to the answer."""

    def reset(self) -> None:
        """End both connections as a machine does that has forgotten them."""
        for writer in (self.writer, self.up_writer):
            end: socket.socket | None = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                if end is not None and end.fileno() >= 0:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def close(self) -> None:
        """End both connections in order."""
        self.writer.close()
        self.up_writer.close()


class Proxy:
    """One link of the network. `weather` may be changed at any time, from any thread."""

    def __init__(self, upstream: int, seed: str) -> None:
        self.port = 0
        self.met: Counter[str] = Counter()
        """fault → how many requests met it."""
        self.statuses: Counter[tuple[str, int]] = Counter()
        """(method and path, status) → how often it was answered."""
        self._upstream = upstream
        self._draw = random.Random(seed)
        self._weather = FAIR
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"proxy {seed}", daemon=True)

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        assert self._ready.wait(START_S), "the proxy did not start"

    def stop(self) -> None:
        """End all connections, and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(START_S)

    def change(self, weather: Weather, *, reset: bool = False) -> None:
        """Let another weather begin; with `reset`, every connection that is open is lost."""
        self._loop.call_soon_threadsafe(self._change, weather, reset)

    def _change(self, weather: Weather, reset: bool) -> None:
        self._weather = weather
        for way, gate in self._gates.items():
            (gate.clear if way in weather.blocked else gate.set)()
        for link in list(self._links) if reset else ():
            link.reset()

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        self._gates = {way: asyncio.Event() for way in Way}
        self._change(FAIR, reset=False)
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            lambda reader, writer: self._spawn(self._connected(reader, writer)),
            HERE,
            0,
            limit=HEAD_BYTES,
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        for link in list(self._links):
            link.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=START_S) if self._tasks else None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(HERE, self._upstream)
        except OSError:
            writer.transport.abort()  # nobody listens there: neither do we
            return
        link = Link(reader, writer, up_reader, up_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                answers = group.create_task(self._answers(link))
                await self._requests(link)
                answers.cancel()
        except* (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            link.reset()
        finally:
            self._links.discard(link)
            link.close()

    async def _requests(self, link: Link) -> None:
        """Carry requests up until the caller says no more."""
        while head := await _head(link.reader):
            length = int(found[1]) if (found := _LENGTH.search(head)) else 0
            fault = self._weather.fault(self._draw.random())
            if fault is not None:
                self.met[fault] += 1
            if fault is Fault.CUT_REQUEST:
                await self._gates[Way.UP].wait()
                link.up_writer.write(
                    head[: self._draw.randrange(len(head))] if not length else head
                )
                link.up_writer.write(await link.reader.read(self._draw.randrange(length or 1)))
                await link.up_writer.drain()
                return link.reset()
            request = head + await link.reader.readexactly(length)
            await self._gates[Way.UP].wait()
            if fault is Fault.DELAY:
                await self._pause(self._draw.uniform(0, self._weather.longest_s))
            if fault is Fault.REPEAT:
                for _ in range(self._draw.randint(1, COPIES_MAX)):
                    self._spawn(self._repeat(request))
            link.asked.append((_route(head), fault))
            link.up_writer.write(request)
            await link.up_writer.drain()
        return None

    async def _answers(self, link: Link) -> None:
        """Carry answers down until the server says no more."""
        while piece := await link.up_reader.read(PIECE_BYTES):
            await self._gates[Way.DOWN].wait()
            fault = self._answered(link, piece)
            cut = self._draw.randrange(len(piece))
            match fault:
                case Fault.LOSE_ANSWER:
                    return link.reset()
                case Fault.CUT_ANSWER:
                    link.writer.write(piece[:cut])
                    await link.writer.drain()
                    return link.reset()
                case Fault.HALF_CLOSE:
                    link.writer.write(piece[:cut])
                    await link.writer.drain()
                    return link.writer.write_eof()
                case Fault.DRIBBLE:
                    await self._dribble(link, piece)
                case _:
                    link.writer.write(piece)
                    await link.writer.drain()
        return link.writer.write_eof()

    def _answered(self, link: Link, piece: bytes) -> Fault | None:
        """Note what was answered, if this is the beginning of an answer; return what becomes of it.

        Requests are not pipelined by anybody we know, so a piece after a request begins its answer.
        """
        if not link.asked:
            return None
        route, fault = link.asked.pop(0)
        if piece.startswith(b"HTTP/1.1 "):
            self.statuses[route, int(piece[9:12])] += 1
        return fault

    async def _dribble(self, link: Link, piece: bytes) -> None:
        size = self._draw.randint(1, 8)
        for number in range(DRIBBLES_MAX):
            link.writer.write(piece[number * size : (number + 1) * size])
            await link.writer.drain()
            await self._pause(self._weather.longest_s / DRIBBLES_MAX)
        link.writer.write(piece[DRIBBLES_MAX * size :])
        await link.writer.drain()

    async def _repeat(self, request: bytes) -> None:
        """Send a request once more, and let nobody read the answer."""
        await self._pause(self._draw.uniform(0, self._weather.longest_s))
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection(HERE, self._upstream)
            with contextlib.closing(writer):
                writer.write(request)
                async with asyncio.timeout(REPEAT_S):
                    await reader.read(PIECE_BYTES)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Return the head of the next request, or nothing when there is none."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _route(head: bytes) -> str:
    """Return method and path of a request, with ids left out."""
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    path = words[1].partition("?")[0] if len(words) > 1 else ""
    return f"{words[0]} {_NUMBERS.sub('…', path)}"
