"""The command line and the real server: only a worker is played, over the real wire."""

import json
import os
import zipfile
from pathlib import Path

import anyio
import pytest

from orchestrator.protocol.frames import FrameType
from tests.integration.cli.commands import CommandLine
from tests.integration.cli.real import RealServer, hand_worker, real_server

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("real")]
UNKNOWN = "job_" + "0" * 26


def _submitted(cli: CommandLine, *words: str) -> str:
    done = cli("jobs", "submit", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def test_a_unique_job_is_there_once(cli: CommandLine) -> None:
    """The one that is there is named; a refusal and a contradiction say what to do."""
    words = ("--tag", "nobody", "--unique-key", "once")
    job_id = _submitted(cli, *words, "--", "true")

    again = cli("jobs", "submit", *words, "--unique-window", "1h", "--", "true")
    refused = cli("jobs", "submit", *words, "--on-conflict", "refuse", "--", "true")
    states = ("--unique-scope", "queued", "--unique-scope", "held")
    replaced = _submitted(cli, *words, *states, "--on-conflict", "replace", "--", "true")
    alone = cli("jobs", "submit", "--on-conflict", "refuse", "--", "true")

    assert again.stdout.decode().strip() == job_id
    assert f"{job_id} is there already, and queued" in again.stderr.decode()
    assert (refused.returncode, job_id in refused.stderr.decode()) == (1, True)
    assert json.loads(cli("jobs", "show", job_id, "--json").stdout)["state"] == "cancelled"
    assert replaced != job_id
    assert (alone.returncode, b"--on-conflict needs --unique-key" in alone.stderr) == (2, True)


async def _read_exactly(pipe: object, count: int) -> bytes:
    return await anyio.to_thread.run_sync(lambda: pipe.read(count))  # type: ignore[attr-defined]


def test_a_job_is_submitted_listed_shown_and_cancelled(cli: CommandLine) -> None:
    """Everything that needs no worker."""
    words = ("--tag", "nobody", "--name", "greeting", "--label", "team=web", "--env", "A=1")
    job_id = _submitted(cli, *words, "--retries", "2", "--timeout", "90", "--", "echo", "hello")

    listed = json.loads(cli("jobs", "list", "--name", "greeting", "--json").stdout)
    shown = json.loads(cli("jobs", "show", job_id, "--json").stdout)
    table = cli("jobs", "list", "--state", "queued", "--limit", "1").stdout.decode()
    text = cli("jobs", "show", job_id).stdout.decode()
    cancelled = cli("jobs", "cancel", job_id, "--comment", "changed my mind")
    waited = cli("jobs", "wait", job_id, "--json")

    assert [job["id"] for job in listed["items"]] == [job_id]
    assert listed["next_cursor"] is None
    assert shown["spec"]["params"] == {"argv": ["echo", "hello"]}
    assert shown["spec"]["retry"]["max_attempts"] == 3
    assert shown["pending_reason"] in {"no_worker_online", "no_worker_matches"}
    assert job_id in table
    assert "echo hello" in text
    assert cancelled.returncode == 0
    assert json.loads(waited.stdout)["state"] == "cancelled"
    assert waited.returncode == 1


def test_a_long_list_is_joined_from_its_pages(cli: CommandLine) -> None:
    """More than a page, exactly as many as asked for, and a cursor to go on."""
    ids = [_submitted(cli, "--tag", "nobody", "--name", "many", "--", "true") for _ in range(5)]

    first = json.loads(cli("jobs", "list", "--name", "many", "--limit", "3", "--json").stdout)
    words = ("--name", "many", "--cursor", first["next_cursor"], "--json")
    rest = json.loads(cli("jobs", "list", *words).stdout)

    seen = [job["id"] for job in first["items"] + rest["items"]]
    assert seen == ids[::-1]
    assert rest["next_cursor"] is None


def test_the_same_key_is_the_same_job(cli: CommandLine) -> None:
    """Repeating a submit with its key answers with the first job; another request is refused."""
    words = ("--tag", "nobody", "--idempotency-key", f"key-{os.getpid()}")

    first, second = (_submitted(cli, *words, "--", "echo", "once") for _ in range(2))
    other = cli("jobs", "submit", *words, "--", "echo", "twice")

    assert first == second
    assert other.returncode == 2


def test_what_is_not_there_and_who_is_not_known(cli: CommandLine) -> None:
    """An unknown job is 1, an unknown key is 77; both say what to do."""
    unknown = [cli("jobs", verb, UNKNOWN) for verb in ("show", "logs", "cancel", "wait")]
    followed = cli("jobs", "logs", "-f", UNKNOWN)
    stranger = cli("jobs", "list", env={"ORCHESTRATOR_API_KEY": "pak_wrong"})

    for done in (*unknown, followed):
        assert (done.returncode, UNKNOWN in done.stderr.decode()) == (1, True)
    assert stranger.returncode == 77
    assert b"ORCHESTRATOR_API_KEY" in stranger.stderr


async def test_a_followed_job_is_seen_byte_for_byte_and_ends_with_its_code(
    real: RealServer, cli: CommandLine
) -> None:
    """Both streams while they are written, bytes that are no text, and the command's exit code."""
    async with hand_worker(real) as worker:
        follower = cli.start("jobs", "submit", "--follow", "--", "sh", "-c", "exit 7")
        playing = await worker.claim()
        await playing.started()
        await playing.wrote(FrameType.OUT, b"working")
        assert await _read_exactly(follower.stdout, 7) == b"working"

        await playing.wrote(FrameType.ERR, b"\x1b[31moops\xff\0\r\n")
        await playing.wrote(FrameType.OUT, b" done \xf0\x9f")
        await playing.wrote(FrameType.OUT, b"\x8e\x89\n")
        await playing.exited(7)
        out, err = await anyio.to_thread.run_sync(follower.communicate)

    again = await anyio.to_thread.run_sync(cli, "jobs", "logs", "-f", playing.grant.job_id)
    paged = await anyio.to_thread.run_sync(cli, "jobs", "logs", playing.grant.job_id)
    assert out == " done 🎉\n".encode()
    words, _, oops = err.partition(b"\n\x1b")
    assert words.startswith(b"orchestrator: ")
    assert playing.grant.job_id.encode() in words
    assert oops == b"[31moops\xff\0\r\n"
    assert follower.returncode == again.returncode == 7
    assert again.stdout == paged.stdout == b"working" + out
    assert again.stderr == paged.stderr == b"\x1b" + oops


async def test_a_follower_survives_the_death_of_the_server(tmp_path: Path) -> None:
    """Kill -9 in the middle: after the restart it goes on without a gap or a repeat."""
    with real_server(tmp_path) as server:
        cli = CommandLine(tmp_path, server.env)
        async with hand_worker(server) as worker:
            follower = cli.start("jobs", "submit", "--follow", "--", "true")
            playing = await worker.claim()
            await playing.started()
            await playing.wrote(FrameType.OUT, b"one\n")
            assert await _read_exactly(follower.stdout, 4) == b"one\n"

            server.kill()
            await anyio.to_thread.run_sync(server.start)

            await playing.wrote(FrameType.OUT, b"two\n")
            await playing.exited(0)
            out, _ = await anyio.to_thread.run_sync(follower.communicate)

    assert out == b"two\n"
    assert follower.returncode == 0


async def test_much_output_arrives_whole_by_every_way(real: RealServer, cli: CommandLine) -> None:
    """Three MiB in pieces of every size are the same followed, paged and as JSON."""
    data = os.urandom(3 * 1024 * 1024)
    async with hand_worker(real) as worker:
        job_id = await anyio.to_thread.run_sync(_submitted, cli, "--", "true")
        playing = await worker.claim()
        await playing.started()
        for start in range(0, len(data), 65_536):
            await playing.wrote(FrameType.OUT, data[start : start + 65_536])
        await playing.exited(0)

    followed = await anyio.to_thread.run_sync(cli, "jobs", "logs", "-f", job_id)
    paged = await anyio.to_thread.run_sync(cli, "jobs", "logs", job_id)
    listed = await anyio.to_thread.run_sync(cli, "jobs", "logs", job_id, "--json")

    assert followed.stdout == data
    assert paged.stdout == data
    assert json.loads(listed.stdout)["eof"] is True


async def test_an_upload_reaches_the_worker_as_it_was(real: RealServer, cli: CommandLine) -> None:
    """The folder is stored by its content, and the worker of the job may fetch it."""
    project = cli.folder / "project"
    project.mkdir()
    (project / "data").write_bytes(os.urandom(500_000))
    async with hand_worker(real) as worker:
        await anyio.to_thread.run_sync(
            _submitted, cli, "--upload", str(project), "--", "make", "test"
        )
        playing = await worker.claim()
        [given] = playing.grant.inputs
        digest = await worker.download(given.file, playing, cli.folder / "in.zip")
        await playing.started()
        await playing.exited(0)

    assert digest == given.file
    fetched = zipfile.ZipFile(cli.folder / "in.zip")
    assert fetched.read("data") == (project / "data").read_bytes()


async def test_workers_are_listed_with_what_they_have(real: RealServer, cli: CommandLine) -> None:
    """A worker with a session is online, and its slots and kinds are shown."""
    async with hand_worker(real):
        listed = json.loads(
            (await anyio.to_thread.run_sync(cli, "workers", "list", "--json")).stdout
        )
        table = (await anyio.to_thread.run_sync(cli, "workers", "list")).stdout.decode()

    [worker] = listed["items"]
    assert (worker["name"], worker["online"], worker["slots"]) == ("hand", True, 1)
    assert "hand" in table
    assert "online" in table


def test_a_second_server_on_the_same_data_is_refused(real: RealServer, cli: CommandLine) -> None:
    """It ends with 5 and names the process that is in the way."""
    data = real.folder / "data"

    done = cli("server", "run", f"--data-dir={data}", "--listen=127.0.0.1:0")

    assert real.process is not None
    assert done.returncode == 5
    assert str(real.process.pid) in done.stderr.decode()


def test_a_server_that_is_asked_to_end_ends_well(tmp_path: Path) -> None:
    """SIGTERM is an orderly end."""
    with real_server(tmp_path) as server:
        assert server.stop() == 0
