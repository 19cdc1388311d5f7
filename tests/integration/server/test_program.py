"""The server as a process: what it refuses to start on, how it begins, how it stops."""

import http.client
import json
import os
import signal
import socket
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.server.site import free_address
from tests.support.processes import Program, clean_environment, program, python
from tests.support.waiting import wait_until

START = """
import sys
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.server import main, settings
from pathlib import Path

folder, listen, lifeline, insecure = sys.argv[1:]
try:
    loaded = settings.load(Path(folder), listen, insecure_http=insecure == "yes", environ={})
    code = main.run(loaded, int(lifeline) if lifeline else None)
except OrchestratorError as error:
    print(error.message, error.hint, file=sys.stderr)
    code = error.exit_code
sys.exit(code)
"""
ROOT = str(Path(__file__).parents[3])
SOON_S = 2.0
"""A stop is quick, whatever is open."""


@contextmanager
def server(
    folder: Path, listen: str, *, lifeline: str = "", insecure: str = "no", **variables: str
) -> Iterator[Program]:
    """Run a server process."""
    command = [*python("-c", START), str(folder), listen, lifeline, insecure]
    with program(*command, env=clean_environment(None, PYTHONPATH=ROOT, **variables)) as started:
        yield started


@contextmanager
def ready(
    folder: Path, **variables: str
) -> Iterator[tuple[Program, http.client.HTTPConnection, dict[str, str]]]:
    """Give a server process that answers, a connection to it, and its administrator's headers."""
    listen = free_address()
    with server(folder, listen, **variables) as started:
        started.wait_for("server.started")
        connection = http.client.HTTPConnection(listen, timeout=10)
        key = (folder / "admin.key").read_text().strip()
        yield started, connection, {"Authorization": f"Bearer {key}"}
        connection.close()


def call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
    body: object = None,
) -> dict[str, object]:
    """Make a call and return the JSON of the answer."""
    sent = {"Content-Type": "application/json", **headers}
    connection.request(method, path, None if body is None else json.dumps(body), sent)
    answer = connection.getresponse()
    assert answer.status < 300, answer.read()
    found: dict[str, object] = json.loads(answer.read())
    return found


def test_a_first_start_makes_keys_that_only_the_owner_reads(tmp_path: Path) -> None:
    """A new data directory gets two keys in private files, and neither appears in the log."""
    folder = tmp_path / "data"

    with ready(folder) as (started, connection, headers):
        assert call(connection, "GET", "/api/v1/jobs", headers)["items"] == []
        for path in (folder, *folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path

    for name, prefix in (("admin.key", "pak_"), ("enrol.key", "wak_")):
        token = (folder / name).read_text().strip()
        assert token.startswith(prefix)
        assert token not in started.said


def test_a_second_start_finds_everything_again(tmp_path: Path) -> None:
    """Keys and jobs are there after a restart, and a kill in between changes nothing."""
    folder = tmp_path / "data"
    with ready(folder) as (started, connection, headers):
        job = {"kind": "delay", "params": {"ms": 0}}
        job_id = call(connection, "POST", "/api/v1/jobs", headers, job)["id"]
        started.signal(signal.SIGKILL)
        started.wait()

    with ready(folder) as (_, connection, again):
        assert again == headers
        assert call(connection, "GET", f"/api/v1/jobs/{job_id}", again)["state"] == "queued"


def test_a_lost_key_is_replaced_and_revoked(tmp_path: Path) -> None:
    """Who removes the file gets a new key at the next start; the lost one opens nothing."""
    folder = tmp_path / "data"
    with ready(folder) as (started, connection, lost):
        job = {"kind": "delay", "params": {"ms": 0}}
        job_id = call(connection, "POST", "/api/v1/jobs", lost, job)["id"]
        started.stop()
    enrol = (folder / "enrol.key").read_text()
    (folder / "admin.key").unlink()

    with ready(folder) as (started, connection, found):
        assert found != lost
        assert "key.replaced" in started.stderr
        assert call(connection, "GET", f"/api/v1/jobs/{job_id}", found)["state"] == "queued"
        connection.request("GET", "/api/v1/jobs", headers=lost)
        assert connection.getresponse().status == 401
    assert stat.S_IMODE((folder / "admin.key").stat().st_mode) == 0o600
    assert (folder / "enrol.key").read_text() == enrol
    assert not (folder / "admin.new").exists()


def test_two_servers_do_not_share_a_directory(tmp_path: Path) -> None:
    """A second server on the same data ends with 5 and names the first one's pid."""
    with (
        ready(tmp_path / "data") as (first, _, _),
        server(tmp_path / "data", free_address()) as second,
    ):
        assert second.wait() == 5
        assert str(first.pid) in second.stderr


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """A server that cannot listen says on which address, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with server(tmp_path / "data", f"127.0.0.1:{port}") as started:
            assert started.wait() == 73
            assert f"127.0.0.1:{port}" in started.stderr
            assert "--listen" in started.stderr


def test_plain_http_stays_on_this_machine(tmp_path: Path) -> None:
    """An address that others can reach is refused with 78, unless that is asked for by name."""
    port = free_address().rsplit(":", 1)[1]

    with server(tmp_path / "one", f"0.0.0.0:{port}") as refused:
        assert refused.wait() == 78
        assert "--insecure-http" in refused.stderr
    with server(tmp_path / "two", f"0.0.0.0:{port}", insecure="yes") as allowed:
        allowed.wait_for("server.started")
        assert "server.insecure" in allowed.said


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "::1:8700"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, listen: str) -> None:
    """What is not host:port is a mistake in the configuration, with an example."""
    with server(tmp_path / "data", listen) as started:
        assert started.wait() == 78
        assert "127.0.0.1:8700" in started.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_quick_although_a_stream_is_open(tmp_path: Path, number: signal.Signals) -> None:
    """A signal ends an open stream and the server, in order and at once."""
    with ready(tmp_path / "data") as (started, connection, headers):
        job = {"kind": "delay", "params": {"ms": 0}}
        job_id = call(connection, "POST", "/api/v1/jobs", headers, job)["id"]
        connection.request("GET", f"/api/v1/jobs/{job_id}/output/stream", headers=headers)
        stream = connection.getresponse()
        assert b"retry" in stream.readline()

        began = time.monotonic()
        started.signal(number)
        rest = stream.read()  # complete: the last chunk of the answer was sent
        code = started.wait()

        assert time.monotonic() - began < SOON_S
        assert code == 0
        assert b"eof" not in rest
        assert "server.stopped" in started.said


def test_a_stop_is_quick_although_a_poll_waits(tmp_path: Path) -> None:
    """A long poll is answered with what is known when the server stops."""
    with ready(tmp_path / "data") as (started, connection, headers):
        job = {"kind": "delay", "params": {"ms": 0}}
        job_id = call(connection, "POST", "/api/v1/jobs", headers, job)["id"]
        waiting = {**headers, "Prefer": "wait=30"}
        connection.request("GET", f"/api/v1/jobs/{job_id}", headers=waiting)
        after = http.client.HTTPConnection(connection.host, connection.port, timeout=10)
        call(after, "GET", "/health", {})  # what was sent before this has been read by now
        after.close()

        began = time.monotonic()
        started.signal(signal.SIGTERM)
        answer = connection.getresponse()

        assert json.loads(answer.read())["state"] == "queued"
        assert started.wait() == 0
        assert time.monotonic() - began < SOON_S


def test_a_request_that_a_stop_cuts_off_is_told_to_come_again(tmp_path: Path) -> None:
    """Whoever asked while the disk was slow learns that nobody knows, and is done justice later."""
    hits = tmp_path / "hits"
    hits.mkdir()
    slow = {"ORCHESTRATOR_FAILPOINTS_DIR": str(hits)}
    slow["ORCHESTRATOR_FAILPOINTS"] = f"submit.before_commit=delay:1:{2 * SOON_S}"
    body = json.dumps({"kind": "delay", "params": {"ms": 1}})
    with ready(tmp_path / "data", **slow) as (started, connection, headers):
        sent = {**headers, "Content-Type": "application/json", "Idempotency-Key": "one"}
        connection.request("POST", "/api/v1/jobs", body, sent)
        wait_until((hits / "submit.before_commit=delay").exists)
        started.signal(signal.SIGTERM)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        code = started.wait()

    assert (answer.status, told["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert code == 0
    with ready(tmp_path / "data") as (_, connection, headers):
        found = call(connection, "POST", "/api/v1/jobs", sent, json.loads(body))
        assert call(connection, "GET", "/api/v1/jobs", headers)["items"] == [found]


def test_a_parent_orders_the_stop_over_the_lifeline(tmp_path: Path) -> None:
    """The parent is told that the server is ready; the server stops at its word, or its end."""
    for ending in ("order", "end"):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.settimeout(30)
            listen = free_address()
            command = [*python("-c", START), str(tmp_path / ending), listen]
            fd = theirs.fileno()
            os.set_inheritable(fd, True)
            pid = os.posix_spawn(
                command[0],
                [*command, str(fd), "no"],
                clean_environment(PYTHONPATH=ROOT),
            )
            theirs.close()
            told = json.loads(ours.recv(4096))
            assert told == {"state": "ready", "url": f"http://{listen}"}

            if ending == "order":
                ours.send(b'{"do": "stop"}')
            else:
                ours.close()
            _, status = os.waitpid(pid, 0)

            assert os.waitstatus_to_exitcode(status) == 0


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    """A server that is older than its database refuses it and does not touch a byte."""
    folder = tmp_path / "data"
    with ready(folder):
        pass
    database = folder / "orchestrator.db"
    with sqlite3.connect(database) as raw:
        raw.execute("INSERT INTO migration VALUES (9999, 'future', 'x', 0)")
    raw.close()
    before = database.read_bytes()

    with server(folder, free_address()) as started:
        assert started.wait() == 78
        assert "newer" in started.stderr

    assert database.read_bytes() == before
