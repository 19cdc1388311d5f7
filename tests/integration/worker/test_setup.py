"""How `worker dev` comes to know its server and its token, and what it refuses to believe."""

import os
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.kernel.files import Lock
from orchestrator.protocol.tokens import WorkerToken, make_token
from tests.support.conversation import Conversation
from tests.support.processes import clean_environment, family_of, program, python
from tests.support.workers import Workplace

OTHER = str(
    WorkerToken("machine_" + "1" * 26, "worker_" + "1" * 26, make_token("secret", b"x" * 32))
)


@dataclass
class _Desk:
    """`worker` in a place's folder."""

    place: Workplace

    def start(self, *arguments: str, **more: Any) -> "subprocess.Popen[bytes]":
        """Start it."""
        command = python("-m", "worker", *arguments)
        return subprocess.Popen(command, cwd=self.place.directory, env=_env(self.place), **more)


def _env(place: Workplace, **more: str) -> dict[str, str]:
    return clean_environment(place.home, PYTHONPATH=str(Path.cwd()), **more)


def _fails(place: Workplace, **more: str) -> str:
    """Return what it says before it gives up."""
    with program(
        *python("-m", "worker", "dev"), env=_env(place, **more), cwd=place.directory
    ) as it:
        assert it.wait(timeout_s=15) in {5, 78}
        return it.stderr


def _written(place: Workplace, *lines: str) -> Path:
    path = place.directory / ".env"
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["", "# x", "WORKER_TOKN=1"], ".env:3: there is no setting WORKER_TOKN"),
        (["WORKER_TOKN=1"], "did you mean WORKER_TOKEN?"),
        (["WORKER_DANCE=1"], "there are WORKER_CONCURRENCY"),
        (["A=1", "WORKER_TOKEN: x y"], ".env:2: this is no NAME=VALUE"),
        (
            ["SERVER_URL=http://127.0.0.1:9", "WORKER_TOKEN=changeme"],
            "WORKER_TOKEN is no worker token",
        ),
        (["SERVER_URL=http://127.0.0.1:9"], "WORKER_TOKEN is not set"),
        (["SERVER_URL=http://127.0.0.1:9", "WORKER_TOKEN_FILE=nowhere"], "cannot be read from"),
    ],
)
def test_what_is_wrong_with_the_file_is_told_with_its_place(
    place: Workplace, lines: list[str], told: str
) -> None:
    """And a key of the project's is none of ours."""
    _written(place, "DATABASE_URL=x", *lines)
    said = _fails(place)

    assert told.replace(":3:", ":4:").replace(":2:", ":3:") in said
    assert "changeme" not in said


def test_all_keys_of_the_file_do_something(place: Workplace) -> None:
    """A token in a file of its own, a name, tags, kinds, slots, a folder, a state."""
    place.write_token(place.server.token)
    (place.directory / "sub").mkdir()
    _written(
        place,
        f"SERVER_URL={place.server.url}",
        "WORKER_TOKEN_FILE=../token",
        "WORKER_TAGS=a, b",
        "WORKER_KINDS=command",
        "WORKER_CONCURRENCY=3",
        "WORKING_DIRECTORY=sub",
        f"WORKER_STATE_DIR={place.home / 'elsewhere'}",
    )
    with program(*python("-m", "worker", "dev"), env=_env(place), cwd=place.directory) as worker:
        worker.wait_for("worker.ready")
        attempt = place.server.attempt(job := place.server.sh("pwd"))
        place.server.end(job)
        worker.signal(signal.SIGINT)
        assert worker.wait() == 0

    asked = place.server.session
    assert asked is not None
    assert (asked.tags, asked.kinds, asked.slots) == (["a", "b"], ["command"], 3)
    assert attempt.stream() == f"{place.directory / 'sub'}\n".encode()
    assert (place.home / "elsewhere" / "state").is_dir()


def test_a_worker_that_is_kept_already_is_refused(place: Workplace) -> None:
    """With the pid of who has it, before anything is started."""
    _written(place, f"SERVER_URL={place.server.url}", f"WORKER_TOKEN={place.server.token}")
    worker_id = place.server.token.split(":")[1]
    spool = place.home / "state/orchestrator/workers" / worker_id / "spool"
    spool.mkdir(parents=True)

    with Lock(spool / "lock").take("a test"):
        said = _fails(place)

    assert f"{worker_id} runs already" in said
    assert f"(pid {os.getpid()})" in said
    assert place.server.named("sessions") == []


def test_answers_are_tried_before_they_are_saved(place: Workplace) -> None:
    """A token that the server does not know is asked for again, and nothing of it stays."""
    path = place.directory / ".env"
    path.write_text("# mine\nA=1")
    path.chmod(0o644)
    before = path.stat().st_ino
    (place.directory / ".git").mkdir()
    (place.directory / ".gitignore").write_text("*.pyc")

    with Conversation(_Desk(place), "dev") as person:
        person.answer("SERVER_URL", "ftp://nowhere")
        person.expect("must begin with http")
        person.answer("SERVER_URL", place.server.url)
        person.answer("WORKER_TOKEN (machine_…), or a key to enrol the worker with", "changeme")
        person.expect("no worker token")
        person.answer("WORKER_TOKEN", OTHER)
        person.expect("does not know this token")
        assert path.read_text() == "# mine\nA=1"
        person.answer("WORKER_TOKEN", place.server.token)
        person.answer("Add it to .gitignore?", "y")
        person.expect("worker.ready")
        person.interrupt()
        assert person.end() == 0
        assert OTHER not in person.seen
        assert place.server.token not in person.seen

    url, token = place.server.url, place.server.token
    assert path.read_text() == f"# mine\nA=1\nSERVER_URL={url}\nWORKER_TOKEN={token}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_ino == before, "it was added to, not written anew"
    assert (place.directory / ".gitignore").read_text() == "*.pyc\n.env\n"


def test_one_worker_of_the_configuration_runs_alone(place: Workplace) -> None:
    """`worker run --name` takes its entry as it stands, and the token shows nowhere."""
    config = place.home / "workers.yaml"
    config.write_text(
        "version: 1\nworkers:\n"
        f"  - name: web\n    token: {place.server.token}\n    server_url: {place.server.url}\n"
        f"    working_directory: {place.directory}\n    tags: [shop]\n    concurrency: 2\n"
        "    env: {A: one}\n"
    )
    config.chmod(0o600)
    run = python("-m", "worker", "run", "--config", str(config), "--name")
    with program(*run, "web", env=_env(place), cwd=place.home) as worker:
        worker.wait_for("worker.ready")
        assert place.server.session is not None
        assert (place.server.session.tags, place.server.session.slots) == (["shop"], 2)
        attempt = place.server.attempt(job := place.server.sh("echo $A; pwd"))
        place.server.end(job)
        assert attempt.stream() == f"one\n{place.directory}\n".encode()
        worker.family.look()
        lines = [Path(f"/proc/{one.pid}/cmdline").read_bytes() for one in family_of(worker.pid)]
        assert not any(place.server.token.encode() in line for line in lines)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert place.server.token not in worker.said

    with program(*run, "wab", env=_env(place), cwd=place.home) as worker:
        assert worker.wait() == 78
        assert "has no worker 'wab'" in worker.stderr
        assert "did you mean web?" in worker.stderr


def test_a_worker_needs_to_be_said(place: Workplace) -> None:
    """Half of the options is not enough."""
    command = python("-m", "worker", "run", "--state-dir", str(place.state))
    with program(*command, env=_env(place), cwd=place.home) as worker:
        assert worker.wait() == 2
        assert "--name of one in workers.yaml" in worker.stderr
