"""One machine with a file of workers, as a person lives with it: the real programs from outside."""

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from orchestrator.protocol.tokens import make_token
from tests.support.configured import Configured, configured
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LONG = ["sh", "-c", 'touch began-$0; while [ ! -e go ]; do sleep 0.1; done; echo "done $KEY"']
"""A job that says that it began, and ends when it may."""


def _worker(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "tags": [f"for-{name}"], **more}


def _begin(here: Configured, name: str) -> str:
    """Start a long job on one worker, and return its id when it runs."""
    job = here.submit("--tag", f"for-{name}", "--", *LONG, name)
    wait_until((here.project / f"began-{name}").exists, timeout_s=30, what=f"{name} runs its job")
    return job


def _pids(here: Configured) -> dict[str, int]:
    return {event["child"]: event["pid"] for event in here.events("child.ready")}


def test_five_workers_run_and_a_reload_disturbs_none_that_it_does_not_concern(
    tmp_path: Path,
) -> None:
    """Changes of every kind while jobs run: each job ends as it would have, on its first try."""
    with configured(
        tmp_path / "home", *[_worker(name) for name in "abcde"], drain_timeout="1m", max_jobs=8
    ) as here:
        before = _pids(here)
        jobs = {name: _begin(here, name) for name in "abcd"}

        here.save(
            _worker("a"),
            _worker("b", concurrency=2),
            _worker("c", env={"KEY": "for-the-next"}),
            _worker("e"),
            _worker("f"),
            drain_timeout="1m",
            max_jobs=8,
        )
        applied = here.wait_for_event("config.applied")
        here.wait_for_event("child.ready", child="worker:f")
        here.wait_for_event("child.draining", child="worker:d")
        (here.project / "go").touch()

        assert applied["plan"] == (
            "b: concurrency 1→2 (now) · c: env (next job) · f: added (starts) · d: removed (drains)"
        )
        for job in jobs.values():
            shown = here.wait_state(job, "succeeded", "failed")
            assert (shown["state"], shown["attempt"]) == ("succeeded", 1)
        here.wait_for_event("worker.removed", worker="d")
        after = _pids(here)
        assert {name: after[name] for name in before} == before
        assert len(here.events("session.opened")) == 6  # a new one for f, and no other
        last = here.submit("--tag", "for-c", "--", *LONG, "again")
        here.wait_state(last, "succeeded")
        assert b"done for-the-next" in here.cli("jobs", "logs", last).stdout


def test_jobs_outlive_the_death_of_their_supervisor(tmp_path: Path) -> None:
    """It is killed with jobs on two workers; the next start finds both, and nothing ran twice."""
    with configured(tmp_path / "home", _worker("a"), _worker("b"), max_jobs=4) as here:
        jobs = [_begin(here, name) for name in "ab"]

        here.kill()
        here.start()
        (here.project / "go").touch()

        for job in jobs:
            shown = here.wait_state(job, "succeeded", "failed")
            assert (shown["state"], shown["attempt"]) == ("succeeded", 1)


def test_jobs_that_are_kept_on_stop_are_taken_up_again(tmp_path: Path) -> None:
    """One request ends the orchestrator and not the job."""
    with configured(tmp_path / "home", _worker("a"), keep_jobs_on_stop=True) as here:
        job = _begin(here, "a")

        assert here.stop() == 0
        here.start()
        (here.project / "go").touch()

        shown = here.wait_state(job, "succeeded", "failed")
        assert (shown["state"], shown["attempt"]) == ("succeeded", 1)


def test_a_refused_token_is_no_trouble_for_the_others(tmp_path: Path) -> None:
    """It is parked with its reason, and the others go on."""
    ids = f"machine_{'0' * 26}:worker_{'0' * 26}"
    unknown = f"{ids}:{make_token('secret', bytes(32))}"
    home = tmp_path / "home"
    with configured(home, _worker("a")) as here:
        here.save(_worker("a"), _worker("b", token=unknown))

        parked = here.wait_for_event("child.parked", child="worker:b")

        assert (parked["code"], parked["restart_in_s"] > 800) == (77, True)
        assert here.cli("jobs", "submit", "--follow", "--", "true").returncode == 0
        assert unknown.rpartition("_")[2] not in here.log.read_text()


def test_a_machine_never_runs_more_than_its_limit(tmp_path: Path) -> None:
    """Three workers with six slots and work for all of them: two jobs at once, all get done."""
    script = "ls running | wc -l >> beside; touch running/$$; sleep 0.3; rm running/$$"
    workers = [_worker(name, concurrency=2) for name in "abc"]
    with configured(tmp_path / "home", *workers, max_jobs=2) as here:
        (here.project / "running").mkdir()
        (here.project / "beside").touch()
        jobs = [_post(here, name, ["sh", "-c", script]) for name in "abc" * 5]

        wait_until(
            lambda: len((here.project / "beside").read_text().split()) == len(jobs), timeout_s=90
        )
        assert set((here.project / "beside").read_text().split()) == {"0", "1"}
        for job in jobs:
            wait_until(lambda job=job: _state(here, job) == "succeeded")  # type: ignore[misc]


def _state(here: Configured, job: str) -> str:
    with here.get(f"/api/v1/jobs/{job}") as answer:
        return str(json.loads(answer.read())["state"])


def _post(here: Configured, name: str, argv: list[str]) -> str:
    """Submit a job without starting a program for it."""
    requires = {"tags": [f"for-{name}"]}
    body = {"kind": "command", "params": {"argv": argv}, "requires": requires}
    request = Request(
        f"{here.url}/api/v1/jobs",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {here.key}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=30) as answer:
        return str(json.loads(answer.read())["id"])
