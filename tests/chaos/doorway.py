"""Stands where a supervisor expects its own server, and leads to one that runs elsewhere.

So everything of a machine is real (supervisor, launcher, nursery, worker, shims) while the server
is killed by itself, and all that the worker says travels through a proxy. It serves the socket that
it is given, as the server would: whoever comes is connected, byte by byte, with the other end.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import sys
from urllib.parse import urlsplit

PIECE_BYTES = 65_536


def main() -> int:
    """Say where the server is; end when told to, or with the parent."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--lifeline-fd", type=int)
    parser.add_argument("--listen-fd", type=int)
    options, _of_a_server = parser.parse_known_args()
    line = socket.socket(fileno=options.lifeline_fd)
    asyncio.run(_serve(options.url, socket.socket(fileno=options.listen_fd), line))
    return 0


async def _serve(url: str, listening: socket.socket, line: socket.socket) -> None:
    there = urlsplit(url)
    visits: set[asyncio.Task[None]] = set()

    def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of ours: one of asyncio's own that is cancelled at the end of everything, maybe
        # before it began, is printed as a fault.
        visit = asyncio.ensure_future(_lead(reader, writer, there.hostname or "", there.port or 0))
        visits.add(visit)
        visit.add_done_callback(visits.discard)

    host, port = listening.getsockname()
    async with await asyncio.start_server(lead, sock=listening):
        line.setblocking(False)
        with contextlib.suppress(ConnectionError):  # a parent that was killed meanwhile
            loop = asyncio.get_running_loop()
            said = {"state": "ready", "url": f"http://{host}:{port}"}
            await loop.sock_sendall(line, json.dumps(said).encode())
            while b'"log"' in await loop.sock_recv(line, 1_000):
                pass


async def _lead(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    try:
        up_reader, up_writer = await asyncio.open_connection(host, port)
    except OSError:
        writer.transport.abort()
        return
    ways = (_carry(reader, up_writer), _carry(up_reader, writer))
    await asyncio.wait(map(asyncio.ensure_future, ways), return_when=asyncio.FIRST_COMPLETED)
    # Whichever side has ended, the other one is to notice.
    up_writer.transport.abort()
    writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()


if __name__ == "__main__":
    sys.exit(main())
