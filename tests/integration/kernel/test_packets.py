"""Messages with descriptors, on real sockets."""

import os
import socket
from pathlib import Path

import pytest

from orchestrator.kernel import packets
from orchestrator.kernel.errors import PeerBroken


def test_a_message_arrives_with_its_descriptors(tmp_path: Path) -> None:
    """They mean the same files here, and no program that is started from here gets them."""
    ours, theirs = packets.pair()
    with ours, theirs, (tmp_path / "file").open("w") as file:
        socket.send_fds(ours, [packets.encode({"do": "it"})], [file.fileno(), file.fileno()])

        received = packets.receive(theirs)

        assert received is not None
        message, fds = received
        assert message == {"do": "it"}
        assert [os.fstat(fd).st_ino for fd in fds] == [os.fstat(file.fileno()).st_ino] * 2
        assert not any(os.get_inheritable(fd) for fd in fds)
        packets.close(fds)


def test_messages_keep_their_bounds() -> None:
    """Two that were sent one after the other are read one after the other."""
    ours, theirs = packets.pair()
    with ours, theirs:
        ours.send(packets.encode({"number": 1}))
        ours.send(packets.encode({"number": 2}))

        assert packets.receive(theirs) == ({"number": 1}, [])
        assert packets.receive(theirs) == ({"number": 2}, [])


def test_the_longest_message_fits() -> None:
    """What `encode` lets pass, an untuned socket sends in one piece."""
    ours, theirs = packets.pair()
    text = "x" * (packets.MESSAGE_BYTES - len('{"text": ""}'))
    with ours, theirs:
        ours.send(packets.encode({"text": text}))

        assert packets.receive(theirs) == ({"text": text}, [])
    with pytest.raises(ValueError, match="at most"):
        packets.encode({"text": text + "x"})


def test_an_end_is_an_end_however_it_came() -> None:
    """Also when the peer died with something of ours unread."""
    ours, theirs = packets.pair()
    with theirs:
        theirs.send(b"never read")
        ours.close()

        assert packets.receive(theirs) is None


def test_nothing_yet_is_not_the_end() -> None:
    """A socket that does not block says so."""
    ours, theirs = packets.pair()
    with ours, theirs:
        theirs.setblocking(False)

        with pytest.raises(BlockingIOError):
            packets.receive(theirs)


@pytest.mark.parametrize("nonsense", [b"\xff", b"[1]", b"{"])
def test_nonsense_is_the_peers_fault(nonsense: bytes) -> None:
    """The error shows what came."""
    ours, theirs = packets.pair()
    with ours, theirs:
        ours.send(nonsense)

        with pytest.raises(PeerBroken, match="not a message"):
            packets.receive(theirs)
