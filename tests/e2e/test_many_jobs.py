"""Somebody who has more jobs than he wants to name: finds them, changes them, ends them."""

import json
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until

NOWHERE = ("--tag", "nowhere")


def test_jobs_are_found_changed_and_ended_by_what_they_are(house: Installation) -> None:
    """One filter finds them in a list, counts them before an order, and says what is ordered."""
    mine = [house.submit("--label", "n=1", *NOWHERE, "--", "make", str(n)) for n in range(2)]
    other = house.submit("--label", "n=2", *NOWHERE, "--", "make", "clean")

    listed = house.json("jobs", "list", "-q", "label:n=1 state:queued make")
    assert [job["id"] for job in listed["items"]] == mine[::-1]
    assert house.cli("jobs", "set", mine[0], "--priority", "9").returncode == 0
    assert house.job(mine[0])["priority"] == 9
    wrong = house.cli("jobs", "list", "-q", "stat:queued")
    assert wrong.returncode == 2
    assert b"at character 1: stat is no key" in wrong.stderr
    unheld = house.cli("jobs", "release", other)
    assert unheld.returncode == 1
    assert b"it is queued; only a held job can be let go" in unheld.stderr

    counted = house.cli("jobs", "cancel", "--where", "label:n=1", "--dry-run")
    assert b"2 jobs would be cancelled; nothing was changed" in counted.stderr
    done = house.cli("jobs", "cancel", "--where", "label:n=1", "--yes")
    assert b"2 jobs are cancelled" in done.stderr
    assert {house.job(job_id)["state"] for job_id in mine} == {"cancelled"}
    assert house.job(other)["state"] == "queued"
    assert house.cli("jobs", "delete", mine[0]).returncode == 0
    assert b"there is no job" in house.cli("jobs", "show", mine[0]).stderr


def _asked(house: Installation, path: str, body: Any) -> Any:
    sent = {"Authorization": f"Bearer {house.key}", "Content-Type": "application/json"}
    request = Request(house.url + path, headers=sent, data=json.dumps(body).encode())
    with urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def _read(house: Installation, path: str) -> Any:
    with house.get(path) as answer:
        return json.loads(answer.read())


def _done(database: Path, bulk_id: str) -> int:
    """Return how far an order came, by what is committed."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    try:
        [found] = connection.execute("SELECT done FROM bulk WHERE id = ?", (bulk_id,))
        return int(found[0])
    finally:
        connection.close()


def test_an_order_for_many_outlives_the_server(home: Path) -> None:
    """Kill -9 in the middle of it: the next start goes on, and each job was given it once."""
    spec = {"kind": "command", "params": {"argv": ["true"]}, "requires": {"tags": ["nowhere"]}}
    order = {"q": "kind:command", "action": "hold"}
    with installed(home) as house:
        jobs = _asked(house, "/api/v1/batches", {"items": [spec] * 1000})["job_ids"]
        jobs += _asked(house, "/api/v1/batches", {"items": [spec] * 1000})["job_ids"]
        [database] = home.rglob("orchestrator.db")
        counted = _asked(house, "/api/v1/bulk", {**order, "dry_run": True})
        assert counted["count"] == len(jobs)
        [server] = house.children("server\0run")

        given = _asked(house, "/api/v1/bulk", {**order, "token": counted["token"]})
        wait_until(lambda: _done(database, given["id"]) > 0, timeout_s=30)
        os.kill(server, signal.SIGSTOP)
        assert 0 < _done(database, given["id"]) < len(jobs), "it is in the middle"
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: house.children("server\0run") not in ([], [server]), timeout_s=30)
        wait_until(lambda: house.cli("jobs", "list").returncode == 0, timeout_s=30)
        path = f"/api/v1/bulk/{given['id']}"
        wait_until(lambda: _read(house, path)["finished_at"], timeout_s=30)

        done = _read(house, path)
        assert (done["done"], done["refused"], done["changed"]) == (len(jobs), 0, 0)
        for job_id in jobs[:: len(jobs) // 10]:
            told = [
                event["type"] for event in _read(house, f"/api/v1/jobs/{job_id}/events")["items"]
            ]
            assert told == ["submitted", "held"]
