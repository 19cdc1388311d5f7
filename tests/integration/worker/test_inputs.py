"""Inputs: exactly the uploaded bytes in a fresh workspace, or the attempt does not start."""

import io
import os
import stat
import zipfile

import pytest

from orchestrator.protocol.words import Outcome, Reason
from tests.support.fake_http import Problem
from tests.support.fake_server import FakeServer
from tests.support.waiting import wait_until
from tests.support.workers import Workplace
from tests.support.zips import Item, archive

PROGRAM = Item("bin/hello", b"#!/bin/sh\necho hello $1\n", mode=stat.S_IFREG | 0o755)


@pytest.fixture
def server(place: Workplace) -> FakeServer:
    """Give the server of a running worker."""
    place.start()
    return place.server


def _zip(server: FakeServer, *items: Item) -> dict[str, str]:
    return {"file": server.store(archive(*items)), "unpack": "zip"}


def _file(server: FakeServer, name: str, content: bytes) -> dict[str, str]:
    return {"file": server.store(content), "name": name}


def test_a_project_is_unpacked_and_runs(place: Workplace, server: FakeServer) -> None:
    """Several inputs share one workspace; programs are programs; afterwards nothing is left."""
    inputs = [
        _zip(server, PROGRAM, Item("src/a.c", b"int a;")),
        _zip(server, Item("src/b.c", b"int b;")),
        _file(server, "data", b"\0\xff" * 1000),
    ]

    job = server.sh("bin/hello world; ls src; wc -c < data; pwd", inputs=inputs)

    assert server.end(job).outcome is Outcome.SUCCEEDED
    *lines, where = server.attempts[job, 1].stream().decode().splitlines()
    assert lines == ["hello world", "a.c", "b.c", "2000"]
    assert where == str(place.state / "workspaces" / f"{job}-1" / "files")
    assert place.workspaces == []


def test_each_attempt_finds_a_fresh_workspace(server: FakeServer) -> None:
    """The same input twice: the second sees nothing of the first."""
    inputs = [_zip(server, Item("given", b"x"))]

    jobs = [server.sh("ls -A; touch made .hidden", inputs=inputs) for _ in range(2)]

    for job in jobs:
        server.end(job)
        assert server.attempts[job, 1].stream() == b"given\n"


def test_a_workspace_is_private_and_gone_whatever_the_job_made_of_it(
    place: Workplace, server: FakeServer
) -> None:
    """Deep trees, locked folders, links and sockets are removed; what links lead to is not."""
    outside = place.home / "outside"
    outside.mkdir()
    (outside / "keep").touch()
    script = f"""
    stat -c %a . ..
    ln -s {outside} link; mkdir -p a/b; ln -s {outside}/keep a/b/link; mkfifo pipe
    d=deep; i=0; while [ $i -lt 300 ]; do d=$d/deeper; i=$((i+1)); done; mkdir -p $d; touch $d/f
    mkdir locked readonly; touch locked/f readonly/f; chmod 0 locked; chmod 500 readonly
    """
    job = server.sh(script, inputs=[_zip(server, Item("x"))])

    assert server.end(job).outcome is Outcome.SUCCEEDED

    assert server.attempts[job, 1].stream().decode().split() == ["700", "700"]
    assert place.workspaces == []
    assert (outside / "keep").exists()


def test_a_workspace_that_was_swapped_for_a_link_is_left_alone(
    place: Workplace, server: FakeServer
) -> None:
    """A job that puts a link in place of its workspace loses the link and nothing behind it."""
    home = place.home / "somebody"
    home.mkdir()
    (home / "keep").touch()
    script = f'here=$(pwd); cd /; mv "$here" "$here.away"; ln -s {home} "$here"'
    job = server.sh(script, inputs=[_zip(server, Item("x"))])

    server.end(job)

    assert (home / "keep").exists()
    wait_until(lambda: place.workspaces == [])


def test_a_job_cannot_leave_its_workspace_by_its_directory(server: FakeServer) -> None:
    """`cwd` is inside the workspace or refused."""
    inputs = [_zip(server, Item("sub/x"))]

    inside = server.submit(argv=["ls"], cwd="sub", inputs=inputs)
    outside = server.submit(argv=["ls"], cwd="..", inputs=inputs)

    assert server.end(inside).outcome is Outcome.SUCCEEDED
    assert server.end(outside).reason is Reason.SPAWN_ERROR


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([Item("../evil")], "../evil"),
        ([Item("l", b"/etc", mode=0o120777)], "symbolic link"),
        ([Item("zeros", b"\0" * 50_000_000)], "over 200 times"),
    ],
)
def test_an_unsafe_archive_is_refused_again(
    place: Workplace, server: FakeServer, items: list[Item], words: str
) -> None:
    """What the server did not look at is looked at here: named, not run, nothing left."""
    job = server.sh("echo ran", inputs=[_zip(server, *items)])

    end = server.end(job)

    assert (end.outcome, end.reason) == (Outcome.FAILED, Reason.INPUT_UNAVAILABLE)
    assert words in (end.message or "")
    assert server.attempts[job, 1].started is None
    assert place.workspaces == []


def test_inputs_that_clash_are_refused(place: Workplace, server: FakeServer) -> None:
    """Two inputs for one name are a mistake that is named."""
    both = [_file(server, "same", b"1"), _file(server, "same", b"2")]
    zipped = [_file(server, "same", b"1"), _zip(server, Item("same", b"2"))]

    for inputs in (both, zipped):
        end = server.end(server.sh("true", inputs=inputs))
        assert end.reason is Reason.INPUT_UNAVAILABLE
        assert "same" in (end.message or "")
    assert place.workspaces == []


def test_an_input_that_is_gone_is_named(server: FakeServer) -> None:
    """A file that the server does not have any more fails the attempt by its name."""
    inputs = [_file(server, "data", b"x")]
    server.files.clear()

    end = server.end(server.sh("true", inputs=inputs))

    assert end.reason is Reason.INPUT_UNAVAILABLE
    assert inputs[0]["file"] in (end.message or "")


def test_wrong_bytes_are_never_used(server: FakeServer) -> None:
    """What comes is compared with the name that was asked for."""
    inputs = [_file(server, "data", b"right")]
    server.files[inputs[0]["file"]] = b"wrong"

    end = server.end(server.sh("cat data", inputs=inputs))

    assert end.reason is Reason.INPUT_UNAVAILABLE
    assert inputs[0]["file"] in (end.message or "")


@pytest.mark.parametrize("fault", ["hang up", Problem(503, "overloaded"), Problem(500, "broken")])
def test_a_download_that_fails_is_made_again(server: FakeServer, fault: Problem | str) -> None:
    """A server in trouble is waited for; the attempt then has all of its input."""
    server.fault("files", fault, fault)

    job = server.sh("cat data", inputs=[_file(server, "data", b"all of it")])

    assert server.end(job).outcome is Outcome.SUCCEEDED
    assert server.attempts[job, 1].stream() == b"all of it"


def test_a_cancel_while_inputs_are_fetched_starts_nothing(
    place: Workplace, server: FakeServer
) -> None:
    """What was cancelled before its start is given back, and its workspace is gone."""
    server.fault("files", *[Problem(503, "overloaded")] * 1000)
    job = server.sh("echo ran", inputs=[_file(server, "data", b"x")])
    attempt = server.attempt(job)
    wait_until(lambda: server.named("files"))

    server.cancel(job)

    wait_until(lambda: attempt.released)
    assert attempt.started is None
    wait_until(lambda: place.workspaces == [])


def test_a_killed_worker_leaves_no_workspace_behind(place: Workplace, server: FakeServer) -> None:
    """Workspaces of the dead are removed by the next worker, of the living at their end."""
    script = "while [ ! -e gate ]; do sleep 0.01; done; cat data"
    job = server.sh(script, inputs=[_file(server, "data", b"still here")])
    server.running(job)
    orphan = place.state / "workspaces" / f"job_{'z' * 26}-1"
    foreign = place.state / "workspaces" / "precious"
    (orphan / "files" / "deep").mkdir(parents=True)
    (orphan / "marker").write_text(orphan.name)
    foreign.mkdir()
    place.kill()

    place.start()

    wait_until(lambda: not orphan.exists())
    assert foreign.exists()
    (place.state / "workspaces" / f"{job}-1" / "files" / "gate").touch()
    assert server.end(job).outcome is Outcome.SUCCEEDED
    assert server.attempts[job, 1].stream() == b"still here"
    assert place.workspaces == ["precious"]


def test_a_large_project_is_unpacked_whole(server: FakeServer) -> None:
    """A thousand files of a real zip program arrive with their contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as project:
        for number in range(1000):
            project.writestr(f"d{number % 30}/f{number}", os.urandom(500) + b"\n")
    inputs = [{"file": server.store(buffer.getvalue()), "unpack": "zip"}]

    job = server.sh("find . -type f | wc -l; cat d*/f* | wc -c", inputs=inputs)

    server.end(job)
    assert server.attempts[job, 1].stream().split() == [b"1000", b"501000"]
