"""Calls over a real socket: answers, refusals, and everything that a network can do."""

import hashlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from orchestrator.client.http import CONNECTION_LOST, Api, AsyncApi
from orchestrator.kernel.errors import (
    ConfigInvalid,
    NotFound,
    Overloaded,
    RequestInvalid,
    ServerUnreachable,
)
from orchestrator.protocol.jobs import CancelRequest
from orchestrator.protocol.views import FileView, JobView
from tests.support.fake_api import CREATED, KEY, FakeApi, Reply, answer, fake_api, job, problem

TRIPLE = "machine_a:worker_b:secret_c"


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    """Give a server that answers as it is told."""
    with fake_api() as server:
        yield server


@pytest.fixture
def api(fake: FakeApi) -> Iterator[Api]:
    """Give a synchronous client of it."""
    with Api(fake.url, KEY) as client:
        yield client


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_call_says_who_asks_and_reads_the_answer(fake: FakeApi, api: Api) -> None:
    """The key travels in its header only, parameters in the query, the answer as a model."""
    fake.on("GET", "/x", answer(job()))

    view = api.get("/x", {"state": ["queued", "running"], "name": None}).read(JobView)

    [asked] = fake.asked
    assert view.state == "queued"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.query == {"state": ["queued", "running"]}
    assert "cookie" not in asked.headers


def test_a_connection_is_used_again(fake: FakeApi, api: Api) -> None:
    """A second call does not open a second connection, and many calls work."""
    fake.on("POST", "/x", answer(job()))

    for _ in range(20):
        api.post("/x", CancelRequest(comment="no"))

    assert [asked.json() for asked in fake.asked] == [{"comment": "no"}] * 20


def test_nobody_there_names_the_address_and_what_to_do() -> None:
    """A closed port is told as such, with how to start a server."""
    port = _free_port()

    with pytest.raises(ServerUnreachable) as told, Api(f"http://127.0.0.1:{port}", KEY) as api:
        api.get("/x")

    assert f"127.0.0.1:{port}: connection refused" in told.value.message
    assert "orchestrator run --local" in (told.value.hint or "")
    assert told.value.problem_code != CONNECTION_LOST


def test_a_host_that_does_not_exist_is_named() -> None:
    """A name that nobody knows is told with the resolver's words."""
    with pytest.raises(ServerUnreachable, match=r"no-such-host\.invalid"):
        Api("http://no-such-host.invalid:1", KEY).get("/x")


def test_a_server_that_hangs_up_may_have_heard_us(fake: FakeApi, api: Api) -> None:
    """After the request was sent nobody knows what became of it, and the code says so."""
    fake.on("GET", "/x", Reply(silent=True))

    with pytest.raises(ServerUnreachable) as told:
        api.get("/x")

    assert told.value.problem_code == CONNECTION_LOST


def test_an_answer_that_never_comes_is_not_waited_for() -> None:
    """A server that accepts and says nothing is left after the time that was given."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(ServerUnreachable), Api(url, KEY) as api:
            api.get("/x", timeout_s=0.1)


def test_an_answer_that_is_no_http_is_told() -> None:
    """Another kind of server behind the port is an unreachable one."""
    with socket.create_server(("127.0.0.1", 0)) as ssh:

        def greet() -> None:
            connection, _ = ssh.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with (
            pytest.raises(ServerUnreachable),
            Api(f"http://127.0.0.1:{ssh.getsockname()[1]}", KEY) as api,
        ):
            api.get("/x")
        thread.join()


def test_a_redirect_is_never_followed(fake: FakeApi, api: Api) -> None:
    """The key is not carried to another address, however politely a server asks."""
    with fake_api() as elsewhere:
        fake.on("GET", "/x", Reply(302, headers={"location": f"{elsewhere.url}/x"}))

        with pytest.raises(ServerUnreachable, match="not followed"):
            api.get("/x")

        assert elsewhere.asked == []


def test_proxies_of_the_environment_are_ignored(
    fake: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy variable would see the key, so it changes nothing."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fake.on("GET", "/x", answer(job()))

    with Api(fake.url, KEY) as api:
        assert api.get("/x").status == 200


def test_a_refusal_is_raised_and_the_connection_goes_on(fake: FakeApi, api: Api) -> None:
    """Problems become errors; the next call works."""
    fake.on("GET", "/x", problem(404, "not_found", "there is no such job"), answer(job()))

    with pytest.raises(NotFound, match="no such job"):
        api.get("/x")

    assert api.get("/x").status == 200


def test_no_secret_is_in_any_text_of_a_failure(fake: FakeApi) -> None:
    """Neither the client's own text nor an error's chain shows the key."""
    fake.on("GET", "/x", Reply(silent=True))
    api = Api(fake.url, KEY)

    with pytest.raises(ServerUnreachable) as told:
        api.get("/x")

    chain, error = [], told.value
    seen: BaseException | None = error
    while seen is not None:
        chain.append(f"{seen!r} {seen}")
        seen = seen.__cause__ or seen.__context__
    assert KEY not in f"{api!r} {api.endpoint!r} {chain} {error.hint}"
    api.close()


def test_an_upload_is_sent_as_it_comes(fake: FakeApi, api: Api) -> None:
    """Pieces arrive as one body of the promised length."""
    fake.on("POST", "/f", answer({"sha256": "x", "size": 6, "created_at": CREATED}))

    stored = api.upload("/f", {"check": "zip"}, iter([b"abc", b"", b"def"]), size=6)

    [asked] = fake.asked
    assert stored.read(FileView).size == 6
    assert asked.body == b"abcdef"
    assert asked.headers["content-type"] == "application/octet-stream"
    assert asked.query == {"check": ["zip"]}


def test_a_stream_gives_pieces_before_its_end(fake: FakeApi, api: Api) -> None:
    """What was sent is there while the server still writes."""
    gate = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        assert gate.wait(10)
        yield b"second"

    fake.on("GET", "/s", lambda _: Reply(pieces=pieces()))

    with api.stream("/s") as stream:
        assert next(stream) == b"first"
        gate.set()
        assert b"".join(stream) == b"second"


def test_a_stream_that_is_cut_is_told(fake: FakeApi, api: Api) -> None:
    """An end in the middle of an answer is a lost connection, not an end."""
    fake.on("GET", "/s", Reply(pieces=[b"first"], cut=True))

    with pytest.raises(ServerUnreachable) as told, api.stream("/s") as stream:
        list(stream)

    assert told.value.problem_code == CONNECTION_LOST


def test_a_stream_that_is_refused_raises_before_its_first_piece(fake: FakeApi, api: Api) -> None:
    """A refusal has a body that is read whole, with its reasons."""
    fake.on("GET", "/s", problem(429, "too_many_streams", "64 event streams", retry_after=5))

    with pytest.raises(Overloaded) as told, api.stream("/s"):
        pass

    assert told.value.retry_after_s == 5


@pytest.mark.parametrize("url", ["http://exa_mple:0x1", "nonsense", "http://*"])
def test_a_wrong_address_is_a_matter_of_configuration(url: str) -> None:
    """What cannot be called is refused when the client is made, or when it is called."""
    with pytest.raises((ConfigInvalid, ServerUnreachable)):
        Api(url, KEY).get("/x", timeout_s=1)


async def test_an_asynchronous_call_sends_a_model_and_returns_a_model(fake: FakeApi) -> None:
    """The worker's form of a call, with the worker's credential."""
    fake.on("POST", "/x", answer(job()))

    async with AsyncApi(fake.url, TRIPLE) as api:
        view = await api.call("/x", CancelRequest(comment="no"), JobView, timeout_s=5)

    [asked] = fake.asked
    assert view.state == "queued"
    assert asked.headers["authorization"] == f"Worker {TRIPLE}"
    assert asked.json() == {"comment": "no", "force": False}
    assert TRIPLE not in repr(api)


async def test_a_call_is_bounded_as_a_whole(fake: FakeApi) -> None:
    """A server that dribbles its answer does not extend the time."""
    gate = threading.Event()

    def dribble() -> Iterator[bytes]:
        while not gate.wait(0.02):
            yield b" "

    fake.on("POST", "/x", lambda _: Reply(pieces=dribble()))

    async with AsyncApi(fake.url, TRIPLE) as api:
        with pytest.raises(ServerUnreachable, match=r"no answer within 0\.2 s"):
            await api.call("/x", CancelRequest(), JobView, timeout_s=0.2)
    gate.set()


async def test_raw_bytes_are_posted_unchanged(fake: FakeApi) -> None:
    """Frames of output arrive as they are, with their place in the query."""
    fake.on("POST", "/o", answer(job()))

    async with AsyncApi(fake.url, TRIPLE) as api:
        await api.post_bytes("/o", {"offset": 7}, b"\0\xff\r\n", JobView)

    [asked] = fake.asked
    assert (asked.body, asked.query) == (b"\0\xff\r\n", {"offset": ["7"]})


async def test_a_download_is_private_and_its_digest_is_returned(
    fake: FakeApi, tmp_path: Path
) -> None:
    """The file is new, readable by nobody else, and what was sent."""
    content = bytes(range(256)) * 20_000
    fake.on("GET", "/f", Reply(body=content))

    async with AsyncApi(fake.url, TRIPLE) as api:
        digest = await api.download("/f", {"job_id": "j"}, tmp_path / "in.zip")

    assert digest == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "in.zip").read_bytes() == content
    assert (tmp_path / "in.zip").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(pieces=[b"half"], cut=True), ServerUnreachable),
        (problem(404, "not_found", "no such file"), NotFound),
    ],
)
async def test_a_download_that_fails_leaves_nothing(
    fake: FakeApi, tmp_path: Path, reply: Reply, error: type[Exception]
) -> None:
    """No part of a file is left to be mistaken for the whole."""
    fake.on("GET", "/f", reply)

    async with AsyncApi(fake.url, TRIPLE) as api:
        with pytest.raises(error):
            await api.download("/f", {}, tmp_path / "in.zip")

    assert list(tmp_path.iterdir()) == []


async def test_a_download_never_replaces_a_file(fake: FakeApi, tmp_path: Path) -> None:
    """A file that is there stays as it was."""
    fake.on("GET", "/f", Reply(body=b"new"))
    (tmp_path / "in.zip").write_bytes(b"old")

    async with AsyncApi(fake.url, TRIPLE) as api:
        with pytest.raises(FileExistsError):
            await api.download("/f", {}, tmp_path / "in.zip")

    assert (tmp_path / "in.zip").read_bytes() == b"old"


async def test_one_client_does_not_wait_for_another(fake: FakeApi) -> None:
    """A heartbeat with a client of its own is answered while the claims' only connection waits."""
    gate = threading.Event()

    def held(_: object) -> Reply:
        assert gate.wait(10)
        return answer(job())

    fake.on("POST", "/claim", held)
    fake.on("POST", "/heartbeat", answer(job()))

    async with (
        AsyncApi(fake.url, TRIPLE, connections=1) as claims,
        AsyncApi(fake.url, TRIPLE, connections=1) as heart,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(claims.call, "/claim", CancelRequest(), JobView)
        await heart.call("/heartbeat", CancelRequest(), JobView, timeout_s=5)
        gate.set()


async def test_nobody_there_is_told_to_the_worker_as_well() -> None:
    """The same error, so that one rule of trying again serves all callers."""
    async with AsyncApi(f"http://127.0.0.1:{_free_port()}", TRIPLE) as api:
        with pytest.raises(ServerUnreachable, match="connection refused"):
            await api.call("/x", CancelRequest(), JobView)


async def test_a_refusal_keeps_its_kind_for_the_worker(fake: FakeApi) -> None:
    """The worker's loops decide by the class of the error."""
    fake.on("POST", "/x", problem(422, "request_invalid", "no"))

    async with AsyncApi(fake.url, TRIPLE) as api:
        with pytest.raises(RequestInvalid):
            await api.call("/x", CancelRequest(), JobView)


def test_what_an_untrusted_certificate_protects_is_not_spoken_to(tmp_path: Path) -> None:
    """A server whose certificate nobody vouches for never sees the key."""
    pem = tmp_path / "pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=localhost", "-days", "1"),
            *("-keyout", str(pem), "-out", str(tmp_path / "crt")),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", pem)
    seen: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                seen.append(secured.recv(1000))
        except OSError:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with pytest.raises(ServerUnreachable, match="certificate"):
            Api(f"https://localhost:{listener.getsockname()[1]}", KEY).get("/x")
        thread.join()

    assert seen in ([], [b""])
