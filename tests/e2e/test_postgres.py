"""An installation on PostgreSQL: whatever happens to its database, nothing is lost."""

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_restarts import Counting
from tests.support.installation import Installation, installed
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

PROGRESS = 4
"""Jobs that are acknowledged between two blows."""


class People:
    """Somebody who submits one small job after the other, each until it is acknowledged."""

    def __init__(self, house: Installation) -> None:
        self.acknowledged: list[str] = []
        self._house = house
        self._key = house.key
        self._stop = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Submit during the block."""
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            job_id = self._submit(f"key-{len(self.acknowledged)}")
            if job_id is None:
                self._stop.wait(0.1)
            else:
                self.acknowledged.append(job_id)

    def _submit(self, key: str) -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._house.port, timeout=20)
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        job = {"kind": "command", "params": {"argv": ["echo", key]}}
        try:
            connection.request("POST", "/api/v1/jobs", json.dumps(job), headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        assert answer.status in {200, 201, 503}, told
        return str(told["id"]) if answer.status < 300 else None

    def go_on(self) -> None:
        """Wait until some more jobs were acknowledged."""
        enough = len(self.acknowledged) + PROGRESS
        wait_until(lambda: len(self.acknowledged) >= enough, timeout_s=60)


def kill_server(house: Installation) -> None:
    """Kill the server's process, as the kernel would; its supervisor starts it again."""
    for pid in house.children("server\0run"):
        os.kill(pid, signal.SIGKILL)


def unfinished(house: Installation) -> list[str]:
    """Return the jobs that have not come to an end."""
    jobs = house.json("jobs", "list", "--limit", "500")["items"]
    return [job["id"] for job in jobs if job["finished_at"] is None]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_is_lost_when_the_database_goes_away(home: Path) -> None:
    """Connections cut, server killed, database killed: every acknowledged job ends, once."""
    with PostgresServer(durable=True) as database:
        name = database.new_database()
        variables = {"ORCHESTRATOR_DATABASE": database.url(name)}
        with installed(home, variables=variables) as house:
            counting = Counting(house, "along")
            people = People(house)

            with people.at_work():
                people.go_on()
                database.cut_connections(name)
                people.go_on()
                kill_server(house)
                people.go_on()
                database.stop(signal.SIGQUIT)
                database.start()
                people.go_on()

            counting.finish()
            wait_until(lambda: not unfinished(house), timeout_s=60)
            jobs = house.json("jobs", "list", "--limit", "500")["items"]
            assert {job["id"] for job in jobs} == {*people.acknowledged, counting.job_id}
            assert {(job["state"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
            assert database.ask(name, "SELECT count(*) FROM attempt") == [(len(jobs),)]
            assert not (home / "data/orchestrator/server/orchestrator.db").exists()
