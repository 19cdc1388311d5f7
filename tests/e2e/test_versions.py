"""Two versions at once: upgraded and back again under running jobs, and each with the other's."""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.support.installation import Installation, free_port, homely, installed
from tests.support.processes import program
from tests.support.versions import NEWER, newer_version, this_version
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)
HOST = {
    "hostname": "oak",
    "platform": "linux",
    "arch": "x86_64",
    "cpu_count": 2,
    "memory_bytes": 2**30,
    "python": "3.11.7",
}


class Endless:
    """A job that writes lines until it may end; each is expected once, and in order."""

    def __init__(self, house: Installation, name: str) -> None:
        self._house = house
        self._go = house.project / f"{name}.go"
        script = f"i=0; while [ ! -e {self._go} ]; do i=$((i+1)); echo $i; sleep 0.05; done"
        self._job = house.submit("--name", name, "--", "sh", "-c", script)
        house.wait_state(self._job, "running")

    def finish(self) -> None:
        """Let it end, and expect one try that succeeded."""
        self._go.touch()
        job = self._house.wait_state(self._job, "succeeded", "failed", timeout_s=60)
        lines = self._house.cli("jobs", "logs", self._job).stdout.split()
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
        assert [int(line) for line in lines] == list(range(1, len(lines) + 1))


def _version(house: Installation) -> str:
    """Return which version both the supervisor and its server are."""
    supervisor = json.loads(house.cli("status", "--json").stdout)["version"]
    with house.get("/api/openapi.json") as answer:
        assert json.loads(answer.read())["info"]["version"] == supervisor
    return str(supervisor)


def test_jobs_run_on_through_an_upgrade_and_the_way_back(home: Path) -> None:
    """A shim of each version is taken up by the worker of the other; nothing is told twice."""
    with installed(home, "--slots=4") as house:
        before = _version(house)
        one = Endless(house, "one")

        up = house.cli("upgrade", f"--to={newer_version(home / 'next')}")
        assert up.returncode == 0, up.stderr
        assert _version(house) == NEWER
        two = Endless(house, "two")
        ended = house.submit("--", "sh", "-c", "echo told; exit 4")
        assert house.wait_state(ended, "failed")["exit_code"] == 4

        down = house.cli("upgrade", f"--to={this_version(home / 'before')}")
        assert down.returncode == 0, down.stderr
        assert _version(house) == before
        three = Endless(house, "three")

        for job in (one, two, three):
            job.finish()
        assert house.job(ended)["attempt"] == 1
        assert house.stop() == 0


@pytest.mark.parametrize("newer", ["server", "worker"])
def test_a_worker_and_a_server_of_two_versions_work_together(home: Path, newer: str) -> None:
    """A job travels the whole way, whichever of the two is the newer one."""
    versions = {True: newer_version(home / "next"), False: this_version(home / "now")}
    server_bin = versions[newer == "server"] / "bin/orchestrator"
    worker_bin = versions[newer == "worker"] / "bin/worker"
    port, data = free_port(), home / "server"
    where = (f"--data-dir={data}", f"--listen=127.0.0.1:{port}")
    with program(server_bin, "server", "run", *where, env=homely(home), cwd=home) as server:
        server.wait_for("server.started", timeout_s=60)
        url = f"http://127.0.0.1:{port}"
        request = {"name": "one", "fingerprint": "fingerprint-of-one", "host": HOST}
        token = home / "token"
        answer = _post(url, "/api/worker/v1/enrol", data / "enrol.key", request)
        token.touch(0o600)
        token.write_text(str(answer["token"]))
        (home / "project").mkdir()
        place = (f"--state-dir={home / 'worker'}", f"--directory={home / 'project'}")
        with program(
            *(worker_bin, "run", f"--server-url={url}", f"--token-file={token}", *place),
            env=homely(home),
            cwd=home / "project",
        ) as worker:
            worker.wait_for("session.opened", timeout_s=60)
            job = {"kind": "command", "params": {"argv": ["sh", "-c", "echo hello; exit 3"]}}
            made = _post(url, "/api/v1/jobs", data / "admin.key", job)

            found = wait_until(
                lambda: _finished(url, data / "admin.key", str(made["id"])), timeout_s=30
            )

            assert found is not None
            assert (found["state"], found["exit_code"], found["attempt"]) == ("failed", 3, 1)
            worker.family.look()
            assert worker.stop(timeout_s=30) == 0
        server.family.look()


def _post(url: str, path: str, key: Path, body: Mapping[str, object]) -> dict[str, object]:
    headers = {
        "Authorization": f"Bearer {key.read_text().strip()}",
        "Content-Type": "application/json",
    }
    sent = Request(url + path, data=json.dumps(body).encode(), headers=headers)
    with urlopen(sent, timeout=30) as answer:
        found: dict[str, object] = json.loads(answer.read())
        return found


def _finished(url: str, key: Path, job: str) -> dict[str, object] | None:
    headers = {"Authorization": f"Bearer {key.read_text().strip()}"}
    with urlopen(Request(f"{url}/api/v1/jobs/{job}", headers=headers), timeout=30) as answer:
        found: dict[str, object] = json.loads(answer.read())
        return found if found["finished_at"] else None
