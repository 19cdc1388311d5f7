"""A small job of the worker's own, the whole way, before those of others; nobody hears of it."""

import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.protocol.wire import SessionRequest
from orchestrator.protocol.words import Outcome
from tests.integration.shim.workshop import come_true, order, workshop
from tests.integration.worker.parent import Parent, parented, working
from tests.support.fake_server import FakeServer
from tests.support.waiting import wait_until
from tests.support.workers import Workplace
from worker.canary import sung

WAIT = "while [ ! -e gate ]; do sleep 0.01; done"
NOWHERE = {"PATH": "/nowhere"}


def _update(parent: Parent, **settings: object) -> None:
    before = len(parent.events("settings.updated"))
    parent.say(do="update", settings=settings)
    wait_until(lambda: len(parent.events("settings.updated")) > before, what="they were taken")


def _token(server: FakeServer) -> dict[str, object]:
    return {"do": "identify", "token": server.token}


def _echo(place: Workplace, script: str) -> dict[str, str]:
    """Return an environment in which `echo` is that script."""
    folder = place.home / "programs"
    folder.mkdir(exist_ok=True)
    echo = folder / "echo"
    echo.write_text(f"#!/bin/sh\n{script}\n")
    echo.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def _failed(stands: dict[str, Any]) -> bool:
    """Tell whether it is known to have failed; before, a worker is suspect as well."""
    return stands["state"] == "suspect" and "failed" in stands["reason"]


def test_it_runs_before_the_worker_is_ready(place: Workplace) -> None:
    """It is seen in the log alone: the server hears of no such job, and nothing is left of it."""
    with working(place, canary=True) as parent:
        wait_until(lambda: parent.events("canary.passed"), what="it sang")
        parent.stands(lambda it: it["state"] == "ready", "it is ready")
        assert place.server.end(place.server.sh("true")).outcome is Outcome.SUCCEEDED

        assert {job for job, _ in place.server.attempts if job == "canary"} == set()
        assert all("canary" not in str(call.request) for call in place.server.named("report"))
        segments = place.state / "spool"
        wait_until(
            lambda: not any(b"canary" in path.read_bytes() for path in segments.glob("s*")),
            what="nothing is left of it",
        )


def test_a_worker_whose_canary_fails_takes_nothing(place: Workplace) -> None:
    """It says why, asks for nothing and is not ready; and goes on as soon as it is mended."""
    with parented(place, _token(place.server), canary=True, env=NOWHERE) as parent:
        job = place.server.sh("true")
        stands = parent.stands(_failed, "it is suspect")
        assert stands["reason"].startswith("its canary job failed: ")
        assert "echo" in stands["reason"]
        wait_until(lambda: parent.events("canary.failed"), what="the log tells it")
        assert "no job could run here" in stands["hint"]
        wait_until(lambda: place.server.named("heartbeat"), what="it has a session")
        assert not place.server.named("claim")
        assert 'news {"state": "ready"}' not in parent.program.stdout

        _update(parent, env={})
        parent.program.wait_for('news {"state": "ready"}')
        assert place.server.end(job).outcome is Outcome.SUCCEEDED


def test_output_that_does_not_come_back_is_a_failure(place: Workplace) -> None:
    """An exit code of 0 is not enough."""
    env = _echo(place, "true")
    with parented(place, _token(place.server), canary=True, env=env) as parent:
        stands = parent.stands(_failed, "it is suspect")
        assert stands["reason"] == 'its canary job failed: its output did not come back: ""'

        _echo(place, "echo broken >&2; exit 3")
        _update(parent, env={**env, "MODE": "2"})
        parent.stands(
            lambda it: it["reason"] == "its canary job failed: it ended with exit code 3: broken",
            "why it ended",
        )


def test_a_change_of_what_jobs_get_is_tried_first(place: Workplace) -> None:
    """What runs goes on, also where every slot is taken; nothing new is taken until it works."""
    with working(place, canary=True, slots=1) as parent:
        running = place.server.sh(WAIT)
        place.server.running(running)

        _update(parent, env=NOWHERE)
        stands = parent.stands(_failed, "it is suspect")
        assert stands["running_count"] == 1
        waiting = place.server.sh("exit 5")
        (place.directory / "gate").touch()
        assert place.server.end(running).outcome is Outcome.SUCCEEDED
        assert waiting not in {job for job, _ in place.server.attempts}

        _update(parent, env={})
        assert place.server.end(waiting).exit_code == 5
        _update(parent, env=NOWHERE, canary=False)
        parent.stands(lambda it: it["state"] == "ready", "nobody asks for it any more")


async def test_one_whose_end_is_not_heard_of_has_a_reason(tmp_path: Path) -> None:
    """Whoever watches it counts nothing any more: it is ended with all of it, and that is said."""
    async with workshop(tmp_path) as shop:
        wanted = order("sh", "-c", "touch began; sleep 600", cwd=str(tmp_path), timeout_s=600.0)

        why = await sung(shop.pool, wanted, 1.0)

        assert why == "its end was not heard of within 1 s, so its shim was killed"
        assert (tmp_path / "began").exists()
        await come_true(lambda: not shop.shims, "its shim is gone")


@pytest.mark.parametrize("who", ["worker", "parent"])
def test_one_that_was_cut_off_is_forgotten(place: Workplace, who: str) -> None:
    """A worker that dies while it runs tells the server nothing of it at its next start."""
    began = Path(place.home / "began")
    env = _echo(place, f"touch {shlex.quote(str(began))}; exec sleep 600")
    with parented(place, _token(place.server), canary=True, env=env) as killed:
        wait_until(began.exists, what="it runs")
        killed.program.family.look()
        [pid] = re.findall(r"^pid (\d+)$", killed.program.stdout, re.MULTILINE)
        os.kill(int(pid) if who == "worker" else killed.program.pid, signal.SIGKILL)
        wait_until(lambda: killed.program.returncode is not None)

        before = len(place.server.named("sessions"))
        with working(place, canary=True) as parent:
            [opened] = place.server.named("sessions")[before:]
            assert isinstance(opened.request, SessionRequest)
            assert opened.request.held == []
            assert place.server.end(place.server.sh("true")).outcome is Outcome.SUCCEEDED
            assert parent.events("canary.passed")
