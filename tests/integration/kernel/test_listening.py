"""A socket that listens: which addresses are taken, and which descriptors are taken over."""

import os
import socket
from pathlib import Path

import pytest

from orchestrator.kernel.errors import ConfigInvalid, StateUnavailable
from orchestrator.kernel.listening import bind, bound_to, from_fd, url_of


def test_an_address_that_is_taken_is_named_with_the_way_out() -> None:
    """Which address, how to see who has it, and how to choose another."""
    with bind("127.0.0.1", 0, insecure_http=False) as first:
        port = first.getsockname()[1]

        with pytest.raises(StateUnavailable, match=f"127.0.0.1:{port}: the address is") as refused:
            bind("127.0.0.1", port, insecure_http=False)

    assert "ss -ltnp" in (refused.value.hint or "")
    assert "--listen" in (refused.value.hint or "")


def test_a_passed_socket_is_taken_over() -> None:
    """Connections that came before are in its queue."""
    with (
        bind("127.0.0.1", 0, insecure_http=False) as ours,
        socket.create_connection(ours.getsockname(), timeout=5) as client,
        from_fd(os.dup(ours.fileno()), insecure_http=False) as passed,
    ):
        passed.setblocking(True)
        served, _ = passed.accept()
        served.close()
        assert url_of(passed) == url_of(ours)
        assert client.recv(1) == b""


def test_a_passed_socket_that_others_can_reach_is_refused_too() -> None:
    """It does not matter who bound it: keys would cross the network in the clear."""
    with bind("0.0.0.0", 0, insecure_http=True) as ours:
        assert bound_to(ours).startswith("0.0.0.0:")
        assert url_of(ours).startswith("http://127.0.0.1:")

        with pytest.raises(ConfigInvalid, match="can be reached from other machines"):
            from_fd(os.dup(ours.fileno()), insecure_http=False)


def test_what_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    """A file, a socket that does not listen, and a number that is nothing."""
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file, socket.socket() as idle:
        for fd in (os.dup(file.fileno()), os.dup(idle.fileno()), 999):
            with pytest.raises(ConfigInvalid, match=f"descriptor {fd} is no"):
                from_fd(fd, insecure_http=False)


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "\udc80"])
def test_what_can_be_no_name_is_refused(host: str) -> None:
    """The look-up raises no OSError over it, as it never begins."""
    with pytest.raises(ConfigInvalid, match="is not an address of this machine"):
        bind(host, 0, insecure_http=True)
