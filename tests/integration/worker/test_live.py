"""What a supervisor changes about a worker that works: at once, or from its next job on."""

import sys
from pathlib import Path
from typing import Any

from orchestrator.protocol.limits import MIB
from orchestrator.protocol.wire import ClaimRequest, HeartbeatRequest
from orchestrator.protocol.words import Outcome
from tests.integration.worker.parent import Parent, working
from tests.support.fake_http import Problem
from tests.support.fake_server import FakeServer
from tests.support.waiting import wait_until
from tests.support.workers import Workplace
from worker.capacity import SPOOL_MAX_BYTES

WAIT = "while [ ! -e gate ]; do sleep 0.01; done"


def _update(parent: Parent, **settings: object) -> None:
    """Change settings, and wait until they hold."""
    before = len(parent.events("settings.updated"))
    parent.say(do="update", settings=settings)
    wait_until(lambda: len(parent.events("settings.updated")) > before, what="they were taken")


def _written(path: Path, words: str) -> None:
    wait_until(lambda: path.exists() and words in path.read_text(), what=f"{words} in {path}")


def _offered(server: FakeServer) -> dict[str, Any]:
    calls = [call.request for call in server.named("heartbeat")]
    last = calls[-1]
    assert isinstance(last, HeartbeatRequest)
    return {} if last.offer is None else last.offer.model_dump()


def _asks_nothing(server: FakeServer) -> None:
    """Wait until the server knows that the last question was taken back."""
    [*_, last] = server.named("claim")
    assert isinstance(last.request, ClaimRequest)
    number = last.request.number
    wait_until(lambda: server.claim_seen >= number, what="the question was taken back")


def test_it_tells_how_it_stands(place: Workplace) -> None:
    """Ready, then busy with a job by its name, then ready again; and what waits for the server."""
    with working(place, slots=2) as parent:
        ready = parent.stands(lambda it: it["state"] == "ready", "it is ready")
        assert (ready["slots"], ready["allowed"], ready["running_count"]) == (2, 2, 0)
        assert ready["running"] == []
        assert ready["contact_age_s"] is not None

        job = place.server.sh(WAIT, name="a long one")
        busy = parent.stands(lambda it: it["running"] and it["running"][0]["started_at"], "busy")
        assert busy["state"] == "busy"
        assert busy["running"][0]["job"] == job
        assert (busy["running"][0]["attempt"], busy["running"][0]["name"]) == (1, "a long one")

        (place.directory / "gate").touch()
        parent.stands(lambda it: it["state"] == "ready", "it is ready again")


def test_it_counts_how_tries_end(place: Workplace) -> None:
    """By their outcome and kind, with what they had left behind and had to be killed."""
    with working(place, slots=2) as parent:
        for script in ("true", "sleep 600 & exit 3"):
            place.server.end(place.server.sh(script))

        told = parent.stands(
            lambda it: (it["ended"], it["leftovers"]) == ({"succeeded": 1, "failed": 1}, 1),
            "both were counted",
        )
        assert told["ended_kinds"] == {"command": 2}
        assert told["running_kinds"] == {}


def test_more_slots_are_used_at_once(place: Workplace) -> None:
    """The second job starts beside the first, in the same session; fewer interrupt neither."""
    with working(place, slots=1) as parent:
        first, second = place.server.sh(WAIT), place.server.sh(WAIT)
        place.server.running(first)

        _update(parent, slots=2)
        place.server.running(second)
        wait_until(lambda: _offered(place.server)["slots"] == 2, what="the server heard of it")

        _update(parent, slots=1)
        third = place.server.sh("true")
        parent.stands(
            lambda it: (it["slots"], it["running_count"]) == (1, 2), "it has one slot, and two jobs"
        )
        (place.directory / "gate").touch()
        for job in (first, second, third):
            assert place.server.end(job).outcome is Outcome.SUCCEEDED
        assert len(place.server.named("sessions")) == 1


def test_new_tags_and_kinds_reach_the_server(place: Workplace) -> None:
    """They come with the next heartbeat, which is now; a kind that is not here is not offered."""
    with working(place) as parent:
        _update(parent, tags=["gpu"], kinds=["delay", "dance"])

        wait_until(lambda: _offered(place.server).get("tags") == ["gpu"], what="they were heard")
        assert _offered(place.server)["kinds"] == ["delay"]
        assert len(place.server.named("sessions")) == 1


def test_its_own_log_goes_where_it_is_told(place: Workplace) -> None:
    """Another folder, another name, another size: from the next line on, and nothing is lost."""
    with working(place, name="web") as parent:
        parent.stands(lambda it: it["state"] == "ready", "it is ready")
        own = place.state / "log/worker.log"
        assert "session.opened" in own.read_text()

        folder = place.directory / "logs"
        _update(parent, log={"directory": str(folder), "level": "info"})
        _written(folder / "web.log", "settings.updated")
        assert "settings.updated" not in own.read_text()

        _update(parent, name="shop")
        _written(folder / "shop.log", "settings.updated")

        (place.directory / "file").touch()
        _update(parent, log={"directory": str(place.directory / "file/logs")})
        assert parent.events("log.not_kept")
        place.server.end(place.server.sh("true"))


def test_it_writes_down_what_it_is_told_to(place: Workplace) -> None:
    """Only errors, then everything again; as lines for people, if somebody wants them."""
    with working(place) as parent:
        parent.stands(lambda it: it["state"] == "ready", "it is ready")
        parent.say(do="update", settings={"log": {"level": "error"}})
        place.server.end(place.server.sh("true"))
        assert not parent.events("attempt.ended")

        _update(parent, log={})
        place.server.end(place.server.sh("true"))
        wait_until(lambda: parent.events("attempt.ended"), what="it was written down")


def test_a_paused_worker_takes_nothing(place: Workplace) -> None:
    """Its open question is withdrawn, what runs goes on, and it is told why; until it is over."""
    with working(place, slots=2) as parent:
        running = place.server.sh(WAIT)
        place.server.running(running)

        _update(parent, paused={"reason": "the disk is strange"})
        paused = parent.stands(lambda it: it["state"] == "paused", "it is paused")
        assert (paused["reason"], paused["running_count"]) == ("the disk is strange", 1)
        _asks_nothing(place.server)
        wait_until(lambda: _offered(place.server)["slots"] == 0, what="the server knows of it")
        claims = len(place.server.named("claim"))
        waiting = place.server.sh("exit 5")
        (place.directory / "gate").touch()
        place.server.end(running)
        assert len(place.server.named("claim")) == claims
        assert waiting not in {job for job, _ in place.server.attempts}

        _update(parent, paused=None)
        assert place.server.end(waiting).exit_code == 5


def test_a_worker_may_begin_paused(place: Workplace) -> None:
    """A pause outlives its worker: the next process asks for nothing either."""
    with working(place, paused={"reason": "still"}) as parent:
        parent.stands(lambda it: it["state"] == "paused", "it is paused")

        assert place.server.named("claim") == []


def test_a_smaller_share_takes_an_open_question_back(place: Workplace) -> None:
    """It asks for as many as it may have now; what runs is not interrupted by a share of none."""
    with working(place, slots=3) as parent:
        wait_until(lambda: place.server.named("claim"), what="it asks")
        parent.say(do="allow", slots=1)
        parent.stands(lambda it: it["allowed"] == 1, "it has a share of one")
        wait_until(lambda: place.server.claim_seen > 0, what="the old question was taken back")

        first, second = place.server.sh(WAIT), place.server.sh("exit 6")
        place.server.running(first)
        assert second not in {job for job, _ in place.server.attempts}
        parent.say(do="allow", slots=0)
        parent.stands(lambda it: it["allowed"] == 0, "it has none")
        (place.directory / "gate").touch()
        assert place.server.end(first).outcome is Outcome.SUCCEEDED
        assert second not in {job for job, _ in place.server.attempts}

        parent.say(do="allow", slots=None)
        assert place.server.end(second).exit_code == 6


def test_what_a_withdrawn_question_brought_goes_back(place: Workplace) -> None:
    """A grant that crosses a smaller share is nobody's: the next heartbeat gives it back."""
    with working(place, slots=2) as parent:
        wait_until(lambda: place.server.named("claim"), what="it asks")
        # The answer is lost in the very moment, as one that crosses the order would be.
        place.server.answering.clear()
        job = place.server.sh("true")
        attempt = place.server.attempt(job)
        parent.say(do="allow", slots=0)

        wait_until(lambda: attempt.released, what="it was given back")
        place.server.answering.set()
        parent.stands(lambda it: it["allowed"] == 0, "it has no share")
        assert attempt.started is None


def test_the_next_job_finds_another_environment(place: Workplace) -> None:
    """What runs keeps its own; ours never comes along, and our marks are never another's."""
    print_all = "env; echo end"
    with working(place, env={"A": "1", "ORCHESTRATOR_JOB_ID": "mine"}) as parent:
        attempt = place.server.attempt(job := place.server.sh(print_all))
        place.server.end(job)
        assert b"A=1\n" in attempt.stream()
        assert f"ORCHESTRATOR_JOB_ID={job}\n".encode() in attempt.stream()
        _update(parent, env={"A": "2"})
        attempt = place.server.attempt(job := place.server.sh(print_all, env={"B": "3"}))
        place.server.end(job)
        assert b"A=2\n" in attempt.stream()
        assert b"B=3\n" in attempt.stream()


def test_what_is_passed_on_may_be_named(place: Workplace) -> None:
    """A pattern lets ordinary variables through and no secret; a name says that one is meant."""
    place.env |= {"SHOP_SIZE": "7", "SHOP_TOKEN": "a", "DEPLOY_KEY": "b", "ORCHESTRATOR_X": "c"}
    with working(place) as parent:
        _update(parent, env_pass=["SHOP_*", "DEPLOY_KEY", "ORCHESTRATOR_X", "*_X"])

        attempt = place.server.attempt(job := place.server.sh("env; echo end"))
        place.server.end(job)

        seen = dict(line.split("=", 1) for line in attempt.stream().decode().split() if "=" in line)
        assert (seen["SHOP_SIZE"], seen["DEPLOY_KEY"]) == ("7", "b")
        assert not seen.keys() & {"SHOP_TOKEN", "ORCHESTRATOR_X"}


def test_the_next_job_has_other_limits(place: Workplace) -> None:
    """Its time, its memory and its grace are the worker's, where its own are not less."""
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    with working(place, slots=2) as parent:
        running = place.server.sh(WAIT)
        place.server.running(running)
        _update(parent, limits={"timeout_s": 0.5, "pids": 10}, kill_grace_s=0.2)

        ended = place.server.end(place.server.sh(stubborn, timeout_s=60, grace_s=None))
        assert ended.reason == "timeout_run"
        assert ended.signal == 9
        assert parent.events("limits.not_enforced")[0]["limits"] == "pids"
        (place.directory / "gate").touch()
        assert place.server.end(running).outcome is Outcome.SUCCEEDED

        _update(parent, limits={"memory_bytes": 32 * MIB})
        eat = [
            sys.executable,
            "-S",
            "-c",
            "import signal; held = bytearray(b'x') * (99 << 20); signal.pause()",
        ]
        ended = place.server.end(place.server.submit(argv=[*eat]))
        assert (ended.outcome, ended.reason) == (Outcome.FAILED, "oom")
        assert (ended.message or "").startswith("memory limit 32.0 MiB exceeded (peak ")


def test_the_disk_is_guarded_as_it_is_said_now(place: Workplace) -> None:
    """More than there is to be kept free holds the worker at once; less lets it work again."""
    with working(place) as parent:
        _update(parent, min_free_bytes=2**60)
        held = parent.stands(lambda it: it["state"] == "held", "it is held")
        _asks_nothing(place.server)
        assert "are kept free" in held["reason"]
        job = place.server.sh("exit 9")
        assert job not in {known for known, _ in place.server.attempts}

        _update(parent, min_free_bytes=None)
        assert place.server.end(job).exit_code == 9


def test_what_is_not_said_any_more_is_as_it_always_is(place: Workplace) -> None:
    """A limit of the spool that was taken out of the file does not hold on."""
    with working(place) as parent:
        for size in (64 * MIB, None, SPOOL_MAX_BYTES):
            _update(parent, spool_max_bytes=size)
        parent.say(do="update", settings={"spool_max_bytes": 0})
        wait_until(lambda: parent.events("settings.refused"), what="nothing is too little")

        changed = [event.get("changed") for event in parent.events("settings.updated")]
        assert changed == ["spool_max_bytes", "spool_max_bytes", None]


def test_settings_that_cannot_be_are_refused_whole(place: Workplace) -> None:
    """The old ones hold, and the log says which one was wrong, without what was given."""
    with working(place) as parent:
        parent.say(do="update", settings={"slots": 2, "env": {"A": 7}})
        wait_until(lambda: parent.events("settings.refused"), what="they were refused")
        parent.say(do="dance")
        wait_until(lambda: parent.events("order.unknown"), what="that was not understood")

        assert "env" in parent.events("settings.refused")[0]["reason"]
        assert parent.stands(lambda it: it["state"] == "ready", "it works on")["slots"] == 1
        assert place.server.end(place.server.sh("exit 7")).exit_code == 7


def test_another_process_under_the_same_token_is_told(place: Workplace) -> None:
    """It waits until that one has gone, says so meanwhile, and then works by itself."""
    place.server.fault("sessions", *[Problem(409, "session_superseded")] * 3)
    with working(place) as parent:
        assert "superseded" in [news["state"] for news in parent.news()]
        parent.stands(lambda it: it["state"] == "ready", "it is ready")


def test_another_clock_is_shown_and_nothing_else(place: Workplace) -> None:
    """A worker whose clock is wrong says by how much, and works."""
    place.server.ahead_s = 3 * 3600.0
    with working(place) as parent:
        standing = parent.stands(lambda it: it["state"] == "ready", "it is ready")

        assert standing["reason"] == "the clock is 3 h behind the server's"
        assert parent.events("clock.wrong")[0]["ahead_s"] == -10800
        assert place.server.end(place.server.sh("exit 8")).exit_code == 8
        place.server.ahead_s = 0.0
        parent.stands(lambda it: it["reason"] is None, "the clock is right")


def test_a_server_that_is_away_is_told_with_the_next_try(place: Workplace) -> None:
    """Connecting, and why, and when it is tried again; then ready by itself."""
    with working(place) as parent:
        parent.stands(lambda it: it["state"] == "ready", "it is ready")
        place.server.stop()

        away = parent.stands(lambda it: it["state"] == "connecting" and it["reason"], "it is away")
        assert "cannot reach the server" in away["reason"] or "was lost" in away["reason"]
        place.server.start()
        parent.stands(lambda it: it["state"] == "ready", "it is back")


def test_a_server_that_has_too_much_to_do_is_obeyed_and_told(place: Workplace) -> None:
    """A claim that is put off shows as held, with the reason, and is not repeated before."""
    late = Problem(429, "overloaded", (("Retry-After", "2"),))
    place.server.fault("claim", late)
    with working(place) as parent:
        held = parent.stands(lambda it: it["state"] == "held", "it is put off")
        assert held["reason"]
        assert 0 < held["retry_in_s"] <= 2
        parent.stands(lambda it: it["state"] == "ready", "it asks again")

        first, second = place.server.named("claim")[:2]
        assert second.at - first.at >= 1.9
