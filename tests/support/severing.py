"""A door in front of a TCP server that can be slammed at a chosen word.

It stands for the network between two machines: the word goes through, or it does not, and either
way nobody hears an answer.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Door:
    """Where to knock, and what happens at which word."""

    port: int = 0
    word: bytes | None = None
    passes: bool = True
    """Whether the word still goes through."""
    closed: bool = False
    """Whether nobody is let in any more."""
    when_slammed: Callable[[], None] = field(default=lambda: None)
    slammed: int = 0

    def slam_at(self, word: bytes, *, passes: bool) -> None:
        """Cut the next connection that says this."""
        self.word, self.passes = word, passes


@contextmanager
def door_to(port: int) -> Iterator[Door]:
    """Give a door to a server on this machine; everything of it ends with the block."""
    door = Door()
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        door.port = listening.getsockname()[1]

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    if door.closed:
                        client.close()
                        continue
                    server = socket.create_connection(("127.0.0.1", port))
                    sockets.extend((client, server))
                    for pump in (_inwards, _outwards):
                        thread = threading.Thread(target=pump, args=(door, client, server))
                        thread.start()
                        threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield door
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for one in sockets:
                _close(one)
            for thread in threads:
                thread.join()


def _inwards(door: Door, client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := client.recv(65_536):
            if door.word is not None and door.word in data:
                door.word = None
                door.slammed += 1
                door.when_slammed()
                # The answer stays outside: nobody reads from the server any more.
                _close(client)
                if door.passes:
                    server.sendall(data)
                    server.shutdown(socket.SHUT_WR)
                    while server.recv(65_536):
                        pass
                break
            server.sendall(data)
    _close(client)
    _close(server)


def _outwards(door: Door, client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(65_536):
            client.sendall(data)
    if not door.slammed:
        _close(client)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
