"""HTTP on the control socket: real sockets, a real client, and people with bad manners."""

import os
import socket
import stat
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.from_thread
import pytest
from pydantic import BaseModel

from orchestrator.client.control import Control
from orchestrator.kernel import unix_socket
from orchestrator.kernel.errors import (
    NotRunning,
    OrchestratorError,
    PeerBroken,
    RequestInvalid,
    Unavailable,
)
from orchestrator.supervisor.control import http
from orchestrator.supervisor.control.http import Handler, Request, Response, problem
from tests.support.needs import needs_root

CONNECT_S: Final = 5.0


class Echo(BaseModel):
    """What the echo answers."""

    method: str
    path: str
    query: dict[str, str]
    body: str
    uid: int


class Told(BaseModel):
    """Something to send."""

    words: str


async def _echo(request: Request) -> Response:
    if request.path == "/refuse":
        return problem(409, "illegal_transition", "web is not paused", "pause it first")
    if request.path == "/slow":
        await anyio.sleep_forever()
    if request.path == "/count":
        return Response(pieces=_numbers(), media_type=http.LINES)
    return Response.of(
        {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "body": request.body.decode(),
            "uid": request.peer.uid,
        }
    )


async def _numbers() -> AsyncGenerator[bytes, None]:
    for number in range(3):
        yield f"{number}\n".encode()


@contextmanager
def _served(path: Path, handler: Handler = _echo) -> Iterator[Control]:
    """Serve at `path` in a loop of its own, and give a client."""
    listening = unix_socket.listen(path)
    try:
        with anyio.from_thread.start_blocking_portal() as portal:
            future, _ = portal.start_task(_cancellable, listening, handler)
            yield Control(path)
            future.cancel()
    finally:
        listening.close()


async def _cancellable(
    listening: socket.socket,
    handler: Handler,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    task_status.started()
    await http.serve(listening, handler)


def _said(path: Path, sent: bytes) -> bytes:
    """Return all that is answered to these bytes, until the other side closes."""
    with unix_socket.connect(path, timeout_s=CONNECT_S) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_call_arrives_as_it_was_made(tmp_path: Path) -> None:
    """Method, path, query, body, and who it was."""
    with _served(tmp_path / "control.sock") as control:
        got = control.get("/v1/a b", {"since": "7&8"}).read(Echo)
        posted = control.post("/v1/workers/web:pause", Told(words="ä disk")).read(Echo)

    assert (got.method, got.path, got.query) == ("GET", "/v1/a b", {"since": "7&8"})
    assert (posted.method, posted.body) == ("POST", '{"words":"ä disk"}')
    assert posted.uid == os.geteuid()


def test_a_refusal_is_raised_as_what_it_is(tmp_path: Path) -> None:
    """With its words, its hint and its code."""
    with _served(tmp_path / "control.sock") as control, pytest.raises(OrchestratorError) as told:
        control.post("/refuse")

    assert told.value.problem_code == "illegal_transition"
    assert (told.value.message, told.value.hint) == ("web is not paused", "pause it first")


def test_an_answer_may_come_in_pieces(tmp_path: Path) -> None:
    """Each line is given as it comes."""
    with _served(tmp_path / "control.sock") as control:
        assert list(control.lines("/count")) == [b"0\n", b"1\n", b"2\n"]


def test_who_leaves_a_long_answer_ends_it(tmp_path: Path) -> None:
    """What nobody reads is not made any more."""
    ended = threading.Event()

    async def for_ever(_request: Request) -> Response:
        async def pieces() -> AsyncGenerator[bytes, None]:
            try:
                yield b"one\n"
                await anyio.sleep_forever()
            finally:
                ended.set()

        return Response(pieces=pieces(), media_type=http.LINES)

    with _served(tmp_path / "control.sock", for_ever) as control:
        lines = control.lines("/events")
        assert next(lines) == b"one\n"
        lines.close()  # type: ignore[attr-defined]  # it is a generator

        assert ended.wait(CONNECT_S)


def test_only_its_owner_may_open_it(tmp_path: Path) -> None:
    """The mode says so before the kernel is asked who it is."""
    with _served(tmp_path / "control.sock"):
        assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600


@needs_root("can be somebody else")
def test_another_user_is_not_answered(tmp_path: Path) -> None:
    """Also where the file would let them in."""
    path = tmp_path / "control.sock"
    with _served(path):
        for folder in (path, *path.parents[: len(tmp_path.parts) - 1]):
            folder.chmod(0o777 if folder == path else folder.stat().st_mode | 0o755)
        told, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.setuid(65534)
            try:
                theirs.sendall(_said(path, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") or b"nothing")
            except OSError as error:
                theirs.sendall(type(error).__name__.encode())
            os._exit(0)
        os.waitpid(pid, 0)

    theirs.close()
    assert told.recv(1000) in {b"nothing", b"ConnectionResetError", b"BrokenPipeError"}
    told.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, b"413"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused_and_nobody_else_notices(
    tmp_path: Path, sent: bytes, status: bytes
) -> None:
    """With a problem that says what is wrong; the next one is served."""
    with _served(tmp_path / "control.sock") as control:
        answer = _said(control.path, sent)
        after = control.get("/v1/status").read(Echo)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b'"code": "request_invalid"' in answer
    assert after.path == "/v1/status"


def test_half_a_request_is_no_request(tmp_path: Path) -> None:
    """Who leaves in the middle of one is forgotten."""
    with _served(tmp_path / "control.sock") as control:
        for sent in (
            b"",
            b"GET / HT",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
        ):
            assert b"200" not in _said(control.path, sent)
        assert control.get("/").read(Echo).path == "/"


def test_who_is_silent_does_not_keep_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More silent ones than are served at a time: each is waited for only so long."""
    monkeypatch.setattr(http, "PATIENCE_S", 0.2)
    with _served(tmp_path / "control.sock") as control:
        silent = [
            unix_socket.connect(control.path, timeout_s=CONNECT_S)
            for _ in range(http.CONNECTIONS + 5)
        ]
        try:
            assert control.get("/").read(Echo).path == "/"
        finally:
            for connection in silent:
                connection.close()


def test_a_long_name_of_a_folder_is_no_hindrance(tmp_path: Path) -> None:
    """Although the kernel takes only 107 bytes."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with _served(folder / "control.sock") as control:
        assert control.get("/").read(Echo).path == "/"


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    """Whoever was killed could not remove it."""
    unix_socket.listen(tmp_path / "control.sock").close()

    with pytest.raises(NotRunning) as told:
        Control(tmp_path / "control.sock").get("/")
    assert told.value.exit_code == 4
    with _served(tmp_path / "control.sock") as control:
        assert control.get("/").read(Echo).path == "/"


def test_nobody_there_is_said_so(tmp_path: Path) -> None:
    """Not running is an exit code of its own."""
    with pytest.raises(NotRunning, match="no orchestrator runs here"):
        Control(tmp_path / "control.sock").get("/")


def test_who_does_not_answer_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """A stopped process keeps its socket."""
    with _served(tmp_path / "control.sock") as control, pytest.raises(Unavailable, match=r"0\.2 s"):
        control.post("/slow", timeout_s=0.2)


@pytest.mark.parametrize("broken", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
def test_an_answer_that_breaks_off_is_no_answer(tmp_path: Path, broken: bytes) -> None:
    """Its end is not taken for its content."""
    path = tmp_path / "control.sock"

    def once(listening: socket.socket) -> None:
        listening.setblocking(True)
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(broken)

    with unix_socket.listen(path) as listening:
        thread = threading.Thread(target=once, args=(listening,))
        thread.start()
        with pytest.raises(PeerBroken, match="broke off"):
            Control(path).get("/")
        thread.join()


def test_a_model_that_is_none_is_said_so(tmp_path: Path) -> None:
    """An orchestrator of another version may answer something else."""
    with _served(tmp_path / "control.sock") as control, pytest.raises((PeerBroken, RequestInvalid)):
        control.get("/").read(Told)
