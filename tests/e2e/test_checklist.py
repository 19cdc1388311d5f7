"""The thirteen points that somebody goes through by hand before he trusts a machine with workers.

Each is done with the real programs against one real server: first one worker for a folder, by its
`.env`, then many by a file. `docs/machine.md` lists them.
"""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.client import inquiry
from orchestrator.client.inquiry import Verdict
from orchestrator.protocol.tokens import make_token
from tests.support.conversation import Conversation, Shell
from tests.support.installation import Installation, free_port, homely
from tests.support.processes import Program, program, python
from tests.support.waiting import wait_until

HOST = {
    "hostname": "oak",
    "platform": "linux",
    "arch": "x86_64",
    "cpu_count": 2,
    "memory_bytes": 2**30,
    "python": "3.11",
}
FORMAT = "machine_…:worker_…:secret_…"


class Desk:
    """A person's own home, with a token of the server for each worker that is asked for."""

    def __init__(self, house: Installation, home: Path) -> None:
        self.house, self.home = house, home
        self.project = home / "project"
        self.project.mkdir(parents=True)
        self.env = homely(home)

    def token(self, name: str) -> str:
        """Enrol a worker."""
        key = (self.house.home / "data/orchestrator/server/enrol.key").read_text().strip()
        body = {"name": name, "fingerprint": f"{name} of {self.home.name}", "host": HOST}
        request = urllib.request.Request(
            f"{self.house.url}/api/worker/v1/enrol",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["token"])

    def dotenv(self, *lines: str) -> Path:
        """Write the project's `.env`."""
        path = self.project / ".env"
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o600)
        return path

    def entry(self, name: str, **more: Any) -> dict[str, Any]:
        """Return the entry of a worker whose folder is there."""
        folder = self.home / f"of-{name}"
        folder.mkdir(exist_ok=True)
        return {
            "name": name,
            "token": more.pop("token", None) or self.token(name),
            "server_url": self.house.url,
            "working_directory": str(folder),
            "tags": [f"{self.home.name}-{name}"],
            **more,
        }

    def file(self, *workers: dict[str, Any]) -> Path:
        """Write the machine's file."""
        path = self.home / "config/orchestrator/workers.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"version": 1, "workers": list(workers)}))
        path.chmod(0o600)
        return path

    @contextmanager
    def worker_dev(self) -> Iterator[Program]:
        """Run `worker dev` in the project."""
        with program(*python("-m", "worker", "dev"), env=self.env, cwd=self.project) as running:
            yield running

    @contextmanager
    def orchestrator(self) -> Iterator[Program]:
        """Run the orchestrator with the file in its usual place."""
        words = python("-m", "orchestrator", "run")
        with program(*words, env=self.env, cwd=self.project) as running:
            yield running

    def runs(self, name: str, *argv: str) -> str:
        """Return what a command says that this worker ran."""
        tag = f"--tag={self.home.name}-{name}"
        done = self.house.cli("jobs", "submit", tag, "--follow", "--", *argv)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()


@pytest.fixture
def desk(house: Installation, tmp_path: Path) -> Desk:
    """Give a home of its own."""
    return Desk(house, tmp_path / f"home-{os.urandom(4).hex()}")


def test_point_1_a_worker_for_the_folder_at_hand(desk: Desk) -> None:
    """Two lines in `.env`, and `worker dev` runs jobs in this very folder."""
    tag = f"{desk.home.name}-one"
    desk.dotenv(
        f"SERVER_URL={desk.house.url}", f"WORKER_TOKEN={desk.token('one')}", f"WORKER_TAGS={tag}"
    )
    with desk.worker_dev() as worker:
        worker.wait_for("worker.ready", timeout_s=30)

        assert desk.runs("one", "pwd") == str(desk.project)


def test_point_2_what_is_missing_is_asked_for(desk: Desk) -> None:
    """On a terminal it asks, tries the answers, and keeps them for the next time."""
    token = desk.token("one")
    shell = Shell(desk.project, desk.env)
    with Conversation(shell, *python("-m", "worker", "dev"), patience_s=30) as worker:
        worker.answer("SERVER_URL", desk.house.url)
        worker.answer("WORKER_TOKEN", token)
        worker.expect("worker.ready")
        worker.interrupt()
        worker.end()

    assert f"WORKER_TOKEN={token}\n" in (desk.project / ".env").read_text()
    assert token not in worker.seen


def test_point_3_a_bad_token_is_told_with_the_format(desk: Desk) -> None:
    """Neither is it tried, nor shown: what a token looks like is."""
    desk.dotenv(f"SERVER_URL={desk.house.url}", "WORKER_TOKEN=abc-secret-123")
    with desk.worker_dev() as worker:
        assert worker.wait(timeout_s=30) == 78

        assert FORMAT in worker.stderr
        assert "abc-secret-123" not in worker.said


def test_point_4_a_server_that_is_not_there_is_told(desk: Desk) -> None:
    """Which address, why not, and that it goes on trying."""
    nobody = f"http://127.0.0.1:{free_port()}"
    desk.dotenv(f"SERVER_URL={nobody}", f"WORKER_TOKEN={desk.token('one')}")
    with desk.worker_dev() as worker:
        worker.wait_for("server.lost", timeout_s=30)

        assert f"cannot reach the server at {nobody}: connection refused" in worker.stderr
        assert "trying again" in worker.stderr
        assert worker.returncode is None


def test_point_5_a_first_run_writes_a_template(desk: Desk) -> None:
    """Without a file and a terminal: where it is, what to do next, and the code that says so."""
    with desk.orchestrator() as first:
        assert first.wait(timeout_s=30) == 78

    file = desk.home / "config/orchestrator/workers.yaml"
    assert str(file) in first.said
    assert "orchestrator check" in first.said
    assert file.stat().st_mode & 0o777 == 0o600
    assert "working_directory" in file.read_text()


def test_point_6_a_file_that_does_not_parse_is_told_with_its_place(desk: Desk) -> None:
    """Bad JSON of the older kind, and bad YAML: line and column of the mistake."""
    folder = desk.home / "config/orchestrator"
    folder.mkdir(parents=True)
    for name, text in (
        ("workers.json", '{"workers": [\n  {"token": "a",,}\n]}'),
        ("workers.yaml", "version: 1\nworkers:\n  - name: 'web\n"),
    ):
        for old in folder.iterdir():
            old.unlink()
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
        with desk.orchestrator() as broken:
            assert broken.wait(timeout_s=30) == 78

        line = 2 if name.endswith("json") else 3
        assert f"{name}:{line}:" in broken.stderr
        assert "Traceback" not in broken.said


def test_point_7_every_wrong_field_is_told_at_once(desk: Desk) -> None:
    """A missing directory, a misspelt key, a bad number: each with its line."""
    entry = desk.entry("web")
    del entry["working_directory"]
    file = desk.file(entry | {"working_directry": "."}, desk.entry("api", concurrency="many"))
    with desk.orchestrator() as wrong:
        assert wrong.wait(timeout_s=30) == 78

    assert wrong.stderr.count(f"{file}:") >= 2
    assert "did you mean 'working_directory'" in wrong.stderr
    assert "concurrency" in wrong.stderr


def test_point_8_many_workers_run_at_the_same_time(desk: Desk) -> None:
    """Each with its own token and directory; a job of each runs while the others' do."""
    names = ["web", "api", "docs"]
    desk.file(*[desk.entry(name) for name in names])
    with desk.orchestrator() as machine:
        machine.wait_for("Running 3 workers", timeout_s=60)

        for name in names:
            assert desk.runs(name, "pwd") == str(desk.home / f"of-{name}")


def test_point_9_paths_are_expanded(desk: Desk) -> None:
    """`~` is the person's home, and what is relative is so to the file, not to where one stands."""
    near = desk.home / "config/orchestrator/near"
    near.mkdir(parents=True)
    desk.file(
        desk.entry("web", working_directory="~/project"),
        desk.entry("api", working_directory="near"),
    )
    with desk.orchestrator() as machine:
        machine.wait_for("Running 2 workers", timeout_s=60)

        assert desk.runs("web", "pwd") == str(desk.project)
        assert desk.runs("api", "pwd") == str(near)


def test_point_10_one_that_fails_does_not_stop_the_others(desk: Desk) -> None:
    """A refused token and a missing directory are logged; the third works."""
    ids = desk.token("web").rpartition(":")[0]
    desk.file(
        desk.entry("web", token=f"{ids}:{make_token('secret', bytes(32))}"),
        desk.entry("api", working_directory=str(desk.home / "missing")),
        desk.entry("docs"),
    )
    with desk.orchestrator() as machine:
        machine.wait_for("child.parked", timeout_s=60)

        assert desk.runs("docs", "echo", "works") == "works"
        assert "there is no directory" in machine.stderr
        assert machine.returncode is None


def test_point_11_it_ends_with_an_error_when_all_fail(desk: Desk) -> None:
    """Nothing can work before somebody mends something: the code says what."""
    tokens = [f"{desk.token(name).rpartition(':')[0]}:" for name in ("web", "api")]
    wrong = make_token("secret", bytes(32))
    desk.file(
        *[
            desk.entry(name, token=ids + wrong)
            for name, ids in zip(("web", "api"), tokens, strict=True)
        ]
    )
    with desk.orchestrator() as machine:
        assert machine.wait(timeout_s=60) == 77


def test_point_12_it_stops_in_order(desk: Desk) -> None:
    """One Ctrl-C: what runs is finished and told, it says what it waits for, and the code is 0."""
    desk.file(desk.entry("web"))
    go = desk.home / "of-web/go"
    with desk.orchestrator() as machine:
        machine.wait_for("Running 1 worker", timeout_s=60)
        tag = f"--tag={desk.home.name}-web"
        script = f"while [ ! -e {go} ]; do sleep 0.05; done; echo finished"
        job = desk.house.submit(tag, "--", "sh", "-c", script)
        desk.house.wait_state(job, "running")

        machine.signal(signal.SIGINT)
        machine.wait_for("1 job", timeout_s=30)
        assert machine.returncode is None
        go.touch()

        assert machine.wait(timeout_s=30) == 0
    assert desk.house.job(job)["state"] == "succeeded"
    assert desk.house.cli("jobs", "logs", job).stdout == b"finished\n"


def test_a_token_is_renewed_while_a_job_runs(desk: Desk) -> None:
    """The worker's process, its session and its job go on; the old token is void in time."""
    kept = desk.home / "config/orchestrator/tokens/one"
    kept.parent.mkdir(parents=True, mode=0o700)
    kept.parent.parent.chmod(0o700)
    old = desk.token("one")
    kept.write_text(old)
    kept.chmod(0o600)
    desk.file(desk.entry("one", token="${file:tokens/one}"))
    with desk.orchestrator() as machine:
        machine.wait_for("child.ready", timeout_s=30)
        gate = desk.home / "gate"
        tag = f"--tag={desk.home.name}-one"
        job = desk.house.submit(tag, "--", "sh", "-c", f"until [ -e {gate} ]; do sleep 0.1; done")
        desk.house.wait_state(job, "running")

        words = python("-m", "orchestrator", "token", "renew", "one", "--overlap=3s")
        done = subprocess.run(words, env=desk.env, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert f"one has a new token, in {kept}" in done.stderr
        new = kept.read_text().strip()
        assert new != old
        assert new not in done.stdout + done.stderr
        wait_until(
            lambda: inquiry.ask(desk.house.url, old).verdict is Verdict.REFUSED, timeout_s=30
        )
        gate.touch()
        desk.house.wait_state(job, "succeeded")
        assert desk.house.job(job)["attempt"] == 1
        assert desk.runs("one", "echo", "on") == "on"
        assert machine.said.count("child.started") == 1
        machine.signal(signal.SIGINT)
        assert machine.wait() == 0
        assert new not in machine.said


def test_point_13_what_worked_before_still_works_and_can_be_moved(desk: Desk) -> None:
    """A `.env` of before becomes an entry of the file, and its worker runs from there."""
    tag = f"{desk.home.name}-old"
    dotenv = desk.dotenv(
        f"CONVEX_URL={desk.house.url}",
        f"WORKER_TOKEN={desk.token('old')}",
        "WORKER_NAME=old",
        f"WORKER_TAGS={tag}",
    )
    words = python("-m", "orchestrator", "init", "--import", str(dotenv))
    done = subprocess.run(
        words, cwd=desk.project, env=desk.env, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr

    with desk.orchestrator() as machine:
        machine.wait_for("Running 1 worker", timeout_s=60)

        assert desk.runs("old", "pwd") == str(desk.project)
