"""What the other managers keep: a program that imports what a worker needs, says so, and waits.

It is started by its path, so that nothing of ours is imported. It says its name, its pid and the
word that it was given to the socket that it was told of.
"""

import os
import socket
import sys

import anyio
import anyio._backends._asyncio
import httpx
import pydantic

LOADED = (httpx, pydantic)


async def main(hello: str, name: str) -> None:
    """Say hello, and do nothing for ever."""
    word = os.environ.get("BENCH_WORD", "-")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(f"{name} {os.getpid()} {word}".encode(), hello)
    await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
