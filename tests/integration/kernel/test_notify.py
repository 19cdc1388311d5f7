"""What a program tells its service manager arrives, and nothing else is touched by it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.kernel.notify import STATUS_CHARS, Notifier

PID = 4711


@contextmanager
def _manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        heard.settimeout(5)
        yield heard


def _notifier(address: str, **more: str) -> Notifier:
    return Notifier.taken_from({"NOTIFY_SOCKET": address, **more}, PID)


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_words_arrive_at_either_kind_of_socket(tmp_path: Path, kind: str) -> None:
    """A socket may be a file or an abstract name."""
    address = str(tmp_path / "notify") if kind == "path" else f"@orchestrator-test-{tmp_path}"
    with _manager(address) as heard:
        notifier = _notifier(address)
        notifier.ready("1/1 ready")
        notifier.alive()
        notifier.extend(60)
        notifier.stopping()

        assert heard.recv(1024) == b"READY=1\nSTATUS=1/1 ready"
        assert heard.recv(1024) == b"WATCHDOG=1"
        assert heard.recv(1024) == b"EXTEND_TIMEOUT_USEC=60000000"
        assert heard.recv(1024) == b"STOPPING=1"


def test_a_reload_says_when_it_began(tmp_path: Path) -> None:
    """A manager believes only in a reload that began after it asked for one."""
    address = str(tmp_path / "notify")
    with _manager(address) as heard:
        _notifier(address).reloading()

        first, second = heard.recv(1024).decode().split("\n")
        assert first == "RELOADING=1"
        assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_a_status_is_one_short_line(tmp_path: Path) -> None:
    """No text can say anything else in our name, however it came into a reason."""
    address = str(tmp_path / "notify")
    with _manager(address) as heard:
        _notifier(address).status("bad\nREADY=1\n" + "x" * 1000)

        said = heard.recv(4096).decode()
        assert "\n" not in said
        assert len(said) == len("STATUS=") + STATUS_CHARS


def test_the_variables_are_taken_out_of_the_environment() -> None:
    """Whoever inherits the environment finds none of them."""
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "9", "A": "b"}

    notifier = Notifier.taken_from(environ, PID)

    assert environ == {"A": "b"}
    assert notifier.is_heard
    assert notifier.ping_s is None, "another process's watchdog"
    assert _notifier("/x", WATCHDOG_USEC="6000000", WATCHDOG_PID=str(PID)).ping_s == 2.0


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1"])
def test_without_a_socket_that_we_know_nothing_is_said(address: str) -> None:
    """Started by a person, or with a socket of another kind, a program is silent."""
    notifier = _notifier(address, WATCHDOG_USEC="5")

    assert not notifier.is_heard
    assert notifier.ping_s is None
    notifier.ready()


def test_a_manager_that_is_gone_or_deaf_harms_nobody(tmp_path: Path) -> None:
    """Neither a missing socket nor one that nobody reads stops the program, or makes it wait."""
    _notifier(str(tmp_path / "missing")).ready()
    address = str(tmp_path / "deaf")
    with _manager(address):
        for _ in range(10_000):
            _notifier(address).alive()
