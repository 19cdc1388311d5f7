"""One line says how a machine stands, and a service is ready when everybody has answered."""

from orchestrator.supervisor.logic.standing import Standing, WorkerState
from orchestrator.supervisor.logic.summary import summary

READY = Standing(WorkerState.READY)
BUSY = Standing(WorkerState.BUSY)
STARTING = Standing(WorkerState.STARTING, "its process is being started")
CONNECTING = Standing(WorkerState.CONNECTING)
UNREACHED = Standing(WorkerState.CONNECTING, "no answer from https://c.example.com")
REFUSED = Standing(WorkerState.AUTH_FAILED, "its token is not known")
DISABLED = Standing(WorkerState.DISABLED)


def _told(*workers: Standing, jobs: int = 0, server_is_up: bool = True) -> tuple[str, bool]:
    named = [(f"w{number}", stands) for number, stands in enumerate(workers)]
    found = summary(named, jobs=jobs, server_is_up=server_is_up)
    return found.text, found.answered


def test_who_works_is_counted() -> None:
    """Ready and busy workers are well; nobody counts those that are switched off."""
    assert _told(READY, BUSY, DISABLED, jobs=2) == ("2/2 ready, 2 jobs", True)
    assert _told(BUSY, jobs=1) == ("1/1 ready, 1 job", True)
    assert _told() == ("0/0 ready, 0 jobs", True)


def test_one_that_has_not_answered_is_waited_for() -> None:
    """A worker that starts or connects may be ready in a moment."""
    assert _told(READY, CONNECTING) == ("1/2 ready, 0 jobs; w1: connecting", False)
    assert _told(STARTING)[1] is False


def test_one_with_a_reason_holds_up_nobody() -> None:
    """What a person has to mend, or what takes who knows how long, is named instead."""
    assert _told(READY, REFUSED) == ("1/2 ready, 0 jobs; w1: its token is not known", True)
    assert _told(UNREACHED)[1] is True


def test_one_whose_canary_fails_holds_up_no_service_and_proves_no_version() -> None:
    """Its reason is told, so nobody waits for it; whether jobs run here is another question."""
    suspect = Standing(WorkerState.SUSPECT, "its canary job failed: no echo")

    found = summary([("web", suspect), ("api", READY)], jobs=0, server_is_up=True)

    assert (found.answered, found.suspect) == (True, True)
    assert "web: its canary job failed" in found.text
    assert not summary([("api", READY)], jobs=0, server_is_up=True).suspect


def test_a_reason_comes_before_what_only_takes_time() -> None:
    """Of several, the one with a reason is named, and how many more there are."""
    text, answered = _told(STARTING, REFUSED, REFUSED)

    assert text == "0/3 ready, 0 jobs; w1: its token is not known (and 2 more)"
    assert not answered


def test_a_server_that_is_to_be_here_is_waited_for() -> None:
    """Without its server a machine has not answered."""
    assert _told(server_is_up=False) == ("0/0 ready, 0 jobs; the server is starting", False)


def test_a_broken_file_is_told_beside_how_all_is() -> None:
    """Workers go on with the last good file, and who looks sees that it is not the one on disk."""
    found = summary([("web", READY)], jobs=0, server_is_up=True, wrong="1 problem, first: x:1:2: y")

    assert found.text == "1/1 ready, 0 jobs; configuration: 1 problem, first: x:1:2: y"
    assert found.answered
