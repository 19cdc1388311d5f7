"""What reaches the server before there is a request: heads, hosts, hurdles, slowness."""

import contextlib
from pathlib import Path

import anyio
import pytest

from orchestrator.server.edge import connection, lobby
from tests.integration.server.site import Site, bearer, everything, problem, running
from tests.support.builders import delay

OK = b"HTTP/1.1 200 OK\r\n"
SAFE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def request(
    target: str = "/health", *headers: str, host: str | None = "localhost", version: str = "1.1"
) -> bytes:
    """Return a GET as bytes; the server is asked to hang up behind it."""
    lines = [f"GET {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [*headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def test_health_is_one_constant(site: Site) -> None:
    """Anybody learns that the server is there, and nothing else."""
    answers = [await site.http.get(path) for path in ("/health", "/api/health", "/health?x=1")]

    assert {(a.status_code, a.content) for a in answers} == {(200, b'{"status":"ok"}')}
    assert (await site.http.get("/ready")).json() == {"ready": True}


async def test_every_answer_has_safe_headers(site: Site) -> None:
    """Answers, refusals and faults all forbid what a browser could be tricked into."""
    job_id = await site.submit(delay())
    answers = [
        await site.http.get("/health"),
        await site.http.get("/nothing"),
        await site.get("/nothing"),
        await site.get("/api/v1/jobs"),
        await site.post("/api/v1/jobs", b"{"),
        await site.get(f"/api/v1/jobs/{job_id}/output/raw"),
    ]

    for answer in answers:
        assert {name: answer.headers[name] for name in SAFE} == SAFE
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "set-cookie" not in answer.headers


async def test_a_request_id_is_given_or_kept(site: Site) -> None:
    """A client's own id comes back if a log can bear it; otherwise it gets a new one."""
    given = await site.http.get("/health", headers={"X-Request-Id": "build-7.3"})
    strange = await site.http.get("/health", headers={"X-Request-Id": "a b<script>"})
    first, second = [await site.http.get("/health") for _ in range(2)]

    assert given.headers["x-request-id"] == "build-7.3"
    assert strange.headers["x-request-id"].startswith("req_")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8700", "[::1]:8700"])
async def test_loopback_names_are_ours(site: Site, host: str) -> None:
    """The names of the own machine are answered, whatever port a tunnel made of it."""
    assert (await site.raw(request(host=host))).startswith(OK)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8700",
        "127.0.0.1.evil.test",
        "localhost.",
        "localhost@evil.test",
        "localhost:x",
        "10.0.0.1",
        "[::2]",
        "",
        "a" * 300,
        "\xe4",
    ],
)
async def test_other_names_are_not_ours(site: Site, host: str) -> None:
    """A page that makes a browser call this address under its own name gets nothing."""
    answer = await site.raw(
        request("/api/v1/jobs", f"Authorization: Bearer {site.key()}", host=host)
    )

    assert answer.startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 400 ")), answer


async def test_forwarded_hosts_are_not_believed(site: Site) -> None:
    """Nobody is a trusted proxy: the Host header alone counts, forwarded ones change nothing."""
    evil = request("/health", "X-Forwarded-Host: localhost", host="evil.test")
    fine = request("/health", "X-Forwarded-Host: evil.test", "Forwarded: host=evil.test")

    assert (await site.raw(evil)).startswith(b"HTTP/1.1 421 ")
    assert (await site.raw(fine)).startswith(OK)


@pytest.mark.parametrize(
    "head",
    [
        request(host=None),
        request("/health", "Host: localhost"),
        request("http://evil.test/health"),
        request("*"),
        b"GARBAGE\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        request("/health", "Content-Length: -1"),
        request("/health", "Content-Length: 1", "Content-Length: 2"),
        request("/health", "Content-Length: 1", "Transfer-Encoding: chunked"),
        request("/health", "Transfer-Encoding: chunked, identity"),
        request("/health", "Content-Length: 99999999999999999999999"),
        request("/health", "X: a", " folded: b"),
        request("/health", "Bad Name: x"),
        request("/health", "X: a\x00b"),
        b"GET /health HTTP/1.1\nHost: localhost\n\n",
        request("/health\x00"),
        request("/h\xe4lth"),
        request(version="3.0"),
    ],
)
async def test_what_is_not_plain_http_is_refused(site: Site, head: bytes) -> None:
    """Heads that two programs could read differently are 400, and the connection ends."""
    with anyio.fail_after(5):
        answer = await site.raw(head)

    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"x-content-type-options: nosniff" in answer
    assert b"Traceback" not in answer


async def test_long_heads_are_refused(site: Site) -> None:
    """Too many headers, too long ones and a too long address have each their own status."""
    many = await site.raw(request("/health", *(f"X-{n}: 1" for n in range(101))))
    long = await site.raw(request("/health", "X: " + "a" * 17_000))
    address = await site.raw(request("/health?" + "a" * 8200))

    assert many.startswith(b"HTTP/1.1 431 ")
    assert long.startswith(b"HTTP/1.1 431 ")
    assert address.startswith(b"HTTP/1.1 414 ")


@pytest.mark.parametrize("start", [b"GET /health HTTP/1.1\r\nX: ", b"GET /", b"G"])
async def test_a_head_without_end_is_cut_off(site: Site, start: bytes) -> None:
    """A head that never ends is refused after some KiB, not when the memory is full."""
    sent = 0
    with anyio.fail_after(5):
        async with site.socket() as stream:
            await stream.send(start)
            with contextlib.suppress(anyio.BrokenResourceError):
                while sent < 10_000_000:
                    await stream.send(b"a" * 8192)
                    sent += 8192
            answer = await everything(stream)

    assert sent < 10_000_000
    assert not answer or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


async def test_a_slow_head_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection and does not ask anything is sent away."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)

    with anyio.fail_after(5):
        answer = await site.raw(b"GET /health HTTP/1.1\r\nHost: loc")

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_who_says_nothing_is_hung_up_on_without_a_word(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was opened ahead of time and never used just ends."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)

    with anyio.fail_after(5):
        assert await site.raw(b"") == b""


async def test_garbage_behind_a_stream_does_not_get_into_it(site: Site) -> None:
    """What is not HTTP ends a connection whose answer is under way, and nothing is added to it."""
    job_id = await site.submit(delay())
    head = (
        f"GET /api/v1/jobs/{job_id}/output/stream HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {site.key()}\r\n\r\n"
    )

    with anyio.fail_after(5):
        async with site.socket() as stream:
            await stream.send(head.encode())
            received = await stream.receive()
            await stream.send(b"GARBAGE\r\n\r\n")
            received += await everything(stream)

    assert received.count(b"HTTP/1.1") == 1
    assert b"http_invalid" not in received


async def test_connections_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more are open than the server can bear, the next one is told to come back."""
    monkeypatch.setattr(connection, "CONNECTIONS", 1)
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)

    async with running(folder) as site, site.socket() as stream:
        await stream.send(b"GET")

        answer = await site.raw(request())

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in answer


async def test_a_trickling_body_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that comes a few bytes at a time is given up, and leaves nothing behind."""
    monkeypatch.setattr(connection, "BODY_GRACE_S", 0.2)
    head = (
        f"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.key()}\r\n"
        "Content-Length: 1000000\r\n\r\n"
    )

    with anyio.fail_after(5):
        answer = await site.raw(head.encode() + b"a few bytes")

    assert answer == b""
    assert list((site.folder / "files/incoming").iterdir()) == []


async def test_an_endless_body_behind_a_refusal_is_cut_off(site: Site) -> None:
    """Who is refused and goes on sending is listened to for some MiB, then hung up on."""
    head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    sent = 0

    with anyio.fail_after(10):
        async with site.socket() as stream:
            await stream.send(head)
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                while sent < 200 * len(piece):
                    await stream.send(piece)
                    sent += len(piece)
                await stream.receive()
                await stream.receive()

    assert sent >= connection.DISCARD_BYTES // 2


async def test_strangers_cannot_use_up_the_connections(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections without a credential push each other out, and those with one stay."""
    monkeypatch.setattr(lobby, "STRANGERS_PER_ADDRESS", 3)
    monkeypatch.setattr(lobby, "PATIENCE_S", 0.0)
    assert (await site.get("/api/v1/jobs")).status_code == 200

    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(site.socket()) for _ in range(6)]
        with anyio.fail_after(5):
            assert await everything(streams[0]) == b""
        await streams[-1].send(request())
        assert (await everything(streams[-1])).startswith(OK)

    assert (await site.get("/api/v1/jobs")).status_code == 200


async def test_a_full_lobby_turns_newcomers_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When strangers fill every place in one instant, the next one is told to come back."""
    monkeypatch.setattr(lobby, "STRANGERS", 2)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(site.socket())
        with anyio.fail_after(5):
            answer = await site.raw(b"")

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer


async def test_a_wrong_method_is_told_the_right_ones(site: Site) -> None:
    """A path that exists under other methods says which."""
    answer = await site.http.delete("/api/v1/jobs", headers=site.admin)
    public = await site.http.post("/health")

    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"
    assert (public.status_code, public.headers["allow"]) == (405, "GET, HEAD")


async def test_nothing_is_found_where_nothing_is(site: Site) -> None:
    """An unknown path is a problem like any other, also with escapes that would lead somewhere."""
    for path in ("/", "/docs", "/openapi.json", "/api/v1/jobs/", "/api/v1/%6aobs", "/api/v2/jobs"):
        problem(await site.get(path), 404, "not_found")


async def test_a_fault_of_ours_shows_nothing(site: Site) -> None:
    """When a row is not what we wrote, a client sees an id and no inside of the server."""
    spoilt, whole = await site.submit(delay()), await site.submit(delay())
    spoil = "UPDATE job_spec SET spec = 'secret inside' WHERE job_id = :id"
    await site.services.store.write(lambda tx: tx.execute(spoil, id=spoilt))

    answer = await site.get(f"/api/v1/jobs/{spoilt}")

    problem(answer, 500, "internal")
    assert "inside" not in answer.text
    assert "Error" not in answer.json()["detail"]
    assert (await site.job(whole))["state"] == "queued"


async def test_a_disk_that_is_taken_away_shows_nothing(site: Site) -> None:
    """Who uploads is told that it is the disk, and not where the server keeps what."""
    (site.folder / "files/incoming").rmdir()

    answer = await site.http.post("/api/v1/files", content=b"x", headers=bearer(site.key()))

    problem(answer, 503, "storage_failed")
    assert str(site.folder) not in answer.text


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    """Two requests sent in one go get two answers, and the second does not pass the first."""
    keep = request("/health").replace(b"Connection: close\r\n", b"")

    answer = await site.raw(keep + request("/ready"))

    assert answer.count(OK) == 2
    assert answer.index(b'"status"') < answer.index(b'"ready"')


async def test_upgrades_are_not_offered(site: Site) -> None:
    """A request to switch protocols is answered as if it had not been made."""
    upgrade = request("/health", "Upgrade: websocket").replace(
        b"Connection: close", b"Connection: upgrade"
    )

    with anyio.move_on_after(5):
        async with site.socket() as stream:
            await stream.send(upgrade)
            assert (await stream.receive()).startswith(OK)


async def test_other_sites_get_no_permission(site: Site) -> None:
    """No origin is ever allowed to read an answer, and a preflight is refused."""
    for origin in ("null", "http://evil.test", "http://localhost:1", site.url):
        answer = await site.http.get("/health", headers={"Origin": origin})
        preflight = await site.http.options(
            "/api/v1/jobs",
            headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
        )

        assert "access-control-allow-origin" not in answer.headers
        assert preflight.status_code == 401
