"""A disk that fails, a file that is gone, a lock, few descriptors, a clock that is set."""

import http.client
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import psutil
import pytest

from orchestrator.kernel.clock import SystemClock
from tests.integration.server.site import Site, free_address, problem, running
from tests.integration.server.test_full_disk import ask
from tests.integration.server.test_program import ROOT, START, ready
from tests.integration.server.worker import at_work
from tests.support.builders import command, delay
from tests.support.processes import clean_environment, program, python
from tests.support.waiting import until, wait_until

JOBS = "/api/v1/jobs"
SOON_S = 15.0


def stored_jobs(folder: Path) -> set[str]:
    """Return the ids of all jobs in a database, after looking whether it is whole."""
    with closing(sqlite3.connect(folder / "orchestrator.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {job_id for (job_id,) in raw.execute("SELECT id FROM job")}


def submit_until_nobody_answers(listen: str, headers: dict[str, str]) -> set[object]:
    """Return the ids of the jobs that were acknowledged."""
    answered: set[object] = set()
    with closing(http.client.HTTPConnection(listen, timeout=10)) as connection:
        while True:
            try:
                status, job = ask(connection, JOBS, headers, delay())
            except (http.client.HTTPException, OSError):
                return answered
            assert status == 201, job
            answered.add(job["id"])


@pytest.mark.parametrize("good", [0, 7])
def test_a_sync_that_fails_ends_the_server(tmp_path: Path, good: int) -> None:
    """Whoever was answered finds the job again; who was not, was not told that it is there."""
    folder = tmp_path / "data"
    with ready(folder):
        pass  # from here on a start syncs little
    listen = free_address()
    fault = f"inject=fdatasync,fsync:error=EIO:when={20 + good}+"
    tracing = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", fault]
    argv = [*tracing, *python("-c", START), str(folder), listen, "", "no"]
    with program(*argv, env=clean_environment(PYTHONPATH=ROOT)) as started:
        started.wait_for("server.started")
        headers = {"Authorization": f"Bearer {(folder / 'admin.key').read_text().strip()}"}
        answered = submit_until_nobody_answers(listen, headers)
        assert started.wait() == 70
        assert "store.commit_failed" in started.stderr

    assert answered
    with ready(folder) as (_, connection, headers):
        assert ask(connection, JOBS, headers)[0] == 200
    assert answered <= stored_jobs(folder)


def test_a_directory_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    """The server says that it is not ready, once, does not spin, and goes on when it is back."""
    folder = tmp_path / "data"
    with ready(folder) as (started, connection, headers):
        folder.rename(tmp_path / "aside")
        wait_until(lambda: ask(connection, "/ready", {})[0] == 503, timeout_s=SOON_S)
        assert ask(connection, "/ready", {})[1] == {"ready": False, "problem": "storage_failed"}
        status, refusal = ask(connection, JOBS, headers, delay())
        assert (status, refusal["code"]) == (503, "storage_failed")
        used = psutil.Process(started.pid).cpu_percent(interval=2)

        (tmp_path / "aside").rename(folder)
        wait_until(lambda: ask(connection, "/ready", {})[0] == 200, timeout_s=SOON_S)
        assert ask(connection, JOBS, headers, delay())[0] == 201

    assert used < 5
    assert started.stderr.count("reaper.delayed") == started.stderr.count("reaper.resumed") == 1


async def test_a_lock_of_another_program_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes meanwhile is told to come back, nothing is half done, and reading goes on."""
    await site.services.store.write(lambda tx: tx.tuples("PRAGMA busy_timeout = 100"))
    with closing(sqlite3.connect(site.folder / "orchestrator.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = await site.post(JOBS, delay(), **{"Idempotency-Key": "k"})
        listed = await site.get(JOBS)
        other.execute("ROLLBACK")
    again = await site.post(JOBS, delay(), **{"Idempotency-Key": "k"})

    problem(refused, 503, "store_busy")
    assert listed.json()["items"] == []
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers
    assert len((await site.get(JOBS)).json()["items"]) == 1


def test_without_descriptors_newcomers_are_turned_away(tmp_path: Path) -> None:
    """Connections beyond the descriptors are refused, open ones work, and it recovers."""
    folder, listen = tmp_path / "data", free_address()
    few = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n{START}"
    argv = [*python("-c", few), str(folder), listen, "", "no"]
    with program(*argv, env=clean_environment(PYTHONPATH=ROOT)) as started:
        started.wait_for("server.started")
        headers = {"Authorization": f"Bearer {(folder / 'admin.key').read_text().strip()}"}
        first = http.client.HTTPConnection(listen, timeout=10)
        assert ask(first, JOBS, headers, delay())[0] == 201
        crowd = [http.client.HTTPConnection(listen, timeout=10) for _ in range(100)]
        for connection in crowd:
            connection.connect()

        assert crowd[-1].sock.recv(100).startswith(b"HTTP/1.1 503")
        assert ask(first, JOBS, headers, delay())[0] == 201
        assert ask(first, JOBS, headers)[0] == 200
        for connection in crowd:
            connection.close()

        def answers() -> bool:
            with closing(http.client.HTTPConnection(listen, timeout=10)) as newcomer:
                return ask(newcomer, JOBS, headers)[0] == 200

        wait_until(answers, timeout_s=SOON_S)
        first.close()
        assert started.stop() == 0


class SetClock(SystemClock):
    """The clock of a machine on which somebody sets the time."""

    ahead_s = 0.0

    def now(self) -> float:
        """Return what the wall shows."""
        return super().now() + self.ahead_s


@pytest.mark.parametrize("jump_s", [-3600.0, 10 * 365 * 86_400.0])
async def test_a_clock_that_is_set_costs_nobody_a_lease(tmp_path: Path, jump_s: float) -> None:
    """A running job goes on and ends, and its story keeps its order."""
    clock = SetClock()
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)
    async with running(folder, clock=clock) as site:
        worker = await at_work(site)
        job_id = await site.submit(command())
        await worker.claim()
        await worker.start(job_id)

        clock.ahead_s = jump_s
        later = clock.monotonic() + 7  # a look at the leases, and then some
        await until(lambda: _past(clock, later), timeout_s=SOON_S)
        beat = await worker.post(
            "heartbeat",
            {
                "session_id": worker.session,
                "claim_seen": worker.number,
                "attempts": [{"job_id": job_id, "attempt": 1}],
                "wait_s": 0.1,
            },
        )
        assert beat.json()["orders"] == []
        assert (await site.job(job_id))["state"] == "running"
        await worker.end(job_id)

        assert (await site.job(job_id))["state"] == "succeeded"
        story = (await site.get(f"{JOBS}/{job_id}/events")).json()["items"]
        numbers = [event["seq"] for event in story]
        assert numbers == sorted(numbers)
        assert story[-1]["type"] == "finished"


async def _past(clock: SystemClock, moment: float) -> bool:
    await anyio.lowlevel.checkpoint()
    return clock.monotonic() > moment
