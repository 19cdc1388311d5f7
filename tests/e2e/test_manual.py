"""What ORCHESTRATOR.md tells people to type works, word for word."""

import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.support import documents
from tests.support.installation import PROGRAM, Installation, free_port
from tests.support.processes import clean_environment, program
from tests.support.waiting import wait_until

MANUAL = "ORCHESTRATOR.md"


def _recipe(house: Installation, title: str) -> str:
    """Return the recipe of a section, with this installation's places."""
    [recipe] = documents.fenced(documents.section(MANUAL, title), "sh")
    recipe = recipe.replace("~/.local/share", str(house.home / "data"))
    return recipe.replace("http://127.0.0.1:8700", house.url)


def _shell(house: Installation, recipe: str) -> str:
    """Return what a shell prints for it, in the project's folder."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", recipe],
        cwd=house.project,
        env=house.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_recipes_of_the_api_work(house: Installation) -> None:
    """Health, submit, wait, list, watch, resume, read, upload and cancel are as told."""
    with zipfile.ZipFile(house.project / "project.zip", "w") as archive:
        archive.writestr("Makefile", "test:\n\t@echo tested\n")

    printed = _shell(house, _recipe(house, "API"))

    assert '{"status":"ok"}' in printed
    assert '"text":"hello\\n"' in printed.replace(" ", "")
    assert printed.count("event: eof") == 2
    assert "hello\n" in printed
    uploaded = house.json("jobs", "list", "--limit", "1")["items"][0]
    house.wait_state(uploaded["id"], "succeeded")
    assert house.cli("jobs", "logs", uploaded["id"]).stdout == b"tested\n"


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the sqlite3 program")
def test_the_database_can_be_looked_into(house: Installation) -> None:
    """While the server runs, the recipes read its database, which is in WAL mode."""
    house.wait_state(house.submit("--", "true"), "succeeded")

    printed = _shell(house, _recipe(house, "Files and directories"))

    assert printed.startswith("wal\n")
    assert "succeeded" in printed


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_a_worker_of_another_machine_joins(house: Installation) -> None:
    """With the enrolment key it gets a token, and with that it is given jobs."""
    worker = [sys.executable, "-c", "from worker.cli import main; main()"]
    *enrol, run = _recipe(house, "Another machine").strip().splitlines()
    _shell(house, "\n".join(enrol))

    with program(*worker, *shlex.split(run.replace("$URL", house.url))[1:], cwd=house.project):
        job_id = house.submit("--tag", "build", "--", "echo", "from oak")
        job = house.wait_state(job_id, "succeeded")

    assert job["worker"] == "oak"


def test_a_first_job_is_as_told(house: Installation) -> None:
    """The commands of the first section run as they stand there."""
    (house.project / "report.sh").write_text("#!/bin/sh\necho $MODE\n")
    (house.project / "report.sh").chmod(0o755)
    (house.project / "some.csv").write_text("1\n2\n")
    typed = documents.fenced(documents.section(MANUAL, "A first job"), "")[0]
    lines = [line for line in typed.splitlines() if "jobs submit" in line]
    orchestrator = " ".join(PROGRAM)

    ends = [
        subprocess.run(
            ["sh", "-c", line.replace("orchestrator ", f"{orchestrator} ", 1)],
            cwd=house.project,
            env=house.env,
            capture_output=True,
            timeout=60,
            check=False,
        )
        for line in lines
    ]

    assert [end.returncode for end in ends] == [3, 0, 0, 0]
    assert (ends[0].stdout, ends[3].stdout) == (b"hello\n", b"5\n")
    for end in (ends[1], ends[2]):
        house.wait_state(end.stdout.decode().strip(), "succeeded")


def test_health_needs_no_key_and_tells_nothing(house: Installation) -> None:
    """Whether the server lives is told to anybody; nothing else is."""
    for path in ("/health", "/api/health", "/ready"):
        with urllib.request.urlopen(house.url + path, timeout=10) as answer:
            assert answer.status == 200
            assert len(json.load(answer)) == 1


def test_the_server_listens_where_it_is_told(tmp_path: Path) -> None:
    """Other machines reach it only when that was said, together with what it means."""
    port = free_port()
    listen = ("server", "run", "--data-dir", str(tmp_path / "data"), "--listen", f"0.0.0.0:{port}")
    with program(*PROGRAM, *listen) as shy:
        assert shy.wait() == 78
        assert "--insecure-http" in shy.stderr

    with program(*PROGRAM, *listen, "--insecure-http"):
        wait_until(lambda: _answers(f"http://127.0.0.2:{port}/health"), what="it answers")


@pytest.mark.parametrize("program_of", ["run", "server"])
def test_an_open_address_is_refused_by_whoever_has_the_option(program_of: str) -> None:
    """The option that the refusal names is one of the command that was typed."""
    listen = ("--listen", f"0.0.0.0:{free_port()}")
    words = ("run", "--local") if program_of == "run" else ("server", "run")
    told = subprocess.run([*PROGRAM, *words, "--help"], capture_output=True, check=True)
    assert b"--insecure-http" in told.stdout
    with tempfile.TemporaryDirectory() as home:
        env = clean_environment(Path(home))
        with program(*PROGRAM, *words, *listen, env=env) as shy:
            assert shy.wait() == 78
            assert "--insecure-http" in shy.stderr


def test_a_restart_of_the_server_refuses_nobody(house: Installation) -> None:
    """Whoever asks while it is down waits for the answer."""
    [pid] = house.children("server\0run")
    os.kill(pid, signal.SIGKILL)

    for _ in range(50):
        with (
            contextlib.suppress(ConnectionResetError, http.client.RemoteDisconnected),
            urllib.request.urlopen(f"{house.url}/health", timeout=30) as answer,
        ):
            assert answer.status == 200

    assert house.children("server\0run") != [pid]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
