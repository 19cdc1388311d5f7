"""Who a worker is, it may be told by its supervisor; and its secret may change while it works."""

from orchestrator.protocol.tokens import WorkerToken, make_token
from tests.integration.worker.parent import parented, working
from tests.support.waiting import wait_until
from tests.support.workers import Workplace


def _token(worker: str = "0", secret: bytes = b"n" * 32) -> str:
    return str(WorkerToken("machine_" + "0" * 26, "worker_" + worker * 26, _secret(secret)))


def _secret(seed: bytes) -> str:
    return make_token("secret", seed)


def test_a_worker_without_a_file_is_told_its_token(place: Workplace) -> None:
    """The token comes first, and is in no settings, no argument and no environment."""
    with working(place) as parent:
        assert place.server.end(place.server.sh("exit 3")).exit_code == 3
        assert place.server.token not in parent.program.said


def test_a_worker_that_is_told_something_else_first_says_so(place: Workplace) -> None:
    """It has nobody to be, so it ends with a sentence for whoever keeps it."""
    with parented(place, {"do": "allow", "slots": 1}) as parent:
        parent.program.wait_for("exit 78 None")

        assert parent.news()[-1]["state"] == "failed"
        assert "was told no token" in parent.news()[-1]["reason"]


def test_a_new_secret_is_used_from_the_next_call_on(place: Workplace) -> None:
    """The session goes on, what runs is not touched, and the old secret may be withdrawn."""
    with working(place) as parent:
        job = place.server.sh("while [ ! -e gate ]; do sleep 0.01; done")
        place.server.running(job)
        place.server.tokens.add(_token())

        parent.say(do="identify", token=_token())
        wait_until(lambda: parent.events("token.renewed"), what="the token was taken")
        place.server.token = _token()
        place.server.tokens.clear()
        (place.directory / "gate").touch()

        place.server.end(job)
        wait_until(lambda: place.server.by_token[_token()] >= 3, what="calls with it")
        assert len(place.server.named("sessions")) == 1
        assert _token() not in parent.program.said


def test_the_token_of_another_worker_is_refused(place: Workplace) -> None:
    """A worker is who it is: whoever wants another one starts it."""
    with working(place) as parent:
        parent.say(do="identify", token=_token("1"))
        wait_until(lambda: parent.events("token.refused"), what="the token was refused")
        parent.say(do="identify", token="nonsense")
        wait_until(lambda: len(parent.events("token.refused")) == 2, what="that one too")

        first, second = parent.events("token.refused")
        assert f"worker_{'1' * 26}" in first["reason"]
        assert "no worker token" in second["reason"]
        assert "secret_" not in parent.program.said.replace("secret_…", "")
        assert place.server.end(place.server.sh("exit 4")).exit_code == 4


def test_a_refused_token_is_told_and_ends_the_worker(place: Workplace) -> None:
    """It ends with 77, and its last words say why, for whoever waits for another token."""
    with parented(place, {"do": "identify", "token": _token()}) as parent:
        parent.program.wait_for("exit 77 None")

        assert parent.news()[-1]["state"] == "refused"
        assert parent.news()[-1]["reason"]
