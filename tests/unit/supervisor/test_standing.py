"""How a worker stands, for people."""

import math
from typing import Any

import pytest

from orchestrator.supervisor.logic.child import Child, ChildState, Wanted
from orchestrator.supervisor.logic.patience import ChildPolicy
from orchestrator.supervisor.logic.standing import Facts, Standing, WorkerState, standing

C = ChildState
W = WorkerState


def _of(
    state: ChildState,
    *,
    said: dict[str, object] | None = None,
    code: int | None = None,
    act_at: float = math.inf,
    **more: Any,
) -> Standing:
    child = Child(ChildPolicy(), state=state, last_code=code, act_at=act_at)
    return standing(Facts(child=child, said=said or {}, said_at=100.0, **more))


@pytest.mark.parametrize("state", list(ChildState))
def test_every_state_of_a_child_has_a_word(state: ChildState) -> None:
    """Nobody is left without an answer."""
    assert isinstance(_of(state).state, WorkerState)


def test_one_that_is_down_as_wanted_has_stopped() -> None:
    """The others of that state are about to be started."""
    down = Child(ChildPolicy(), wanted=Wanted.DRAIN)

    assert standing(Facts(child=down, leaving="removed")) == Standing(W.STOPPED, "removed")
    assert _of(C.DOWN).state is W.STARTING


@pytest.mark.parametrize(
    "word", ["connecting", "ready", "busy", "paused", "held", "refused", "superseded"]
)
def test_a_process_speaks_for_itself(word: str) -> None:
    """Its word, its reason and its next step are handed on."""
    said: dict[str, object] = {"state": word, "reason": "because", "hint": None, "retry_in_s": 5.0}

    assert _of(C.READY, said=said) == Standing(W(word), "because", "tries again", 105.0)
    assert _of(C.STARTING, said=said).state is W(word)


def test_a_hint_is_the_next_step() -> None:
    """What a person can do comes before what happens by itself."""
    said: dict[str, object] = {"state": "held", "reason": "disk", "hint": "make room"}

    assert _of(C.READY, said=said) == Standing(W.HELD, "disk", "make room", None)


def test_a_process_that_says_nothing_is_judged_by_its_readiness() -> None:
    """It may be an older one."""
    assert _of(C.READY).state is W.READY
    assert _of(C.STARTING).state is W.CONNECTING


def test_an_unknown_word_is_not_an_error() -> None:
    """A newer worker may know more states."""
    assert _of(C.READY, said={"state": "dreaming", "reason": 5}) == Standing(W.HELD)


@pytest.mark.parametrize(("running", "state"), [(2, W.DRAINING), (0, W.DRAINED)])
def test_a_worker_that_somebody_drains_is_drained_when_nothing_runs(
    running: int, state: WorkerState
) -> None:
    """It is a pause with an end that is seen; its process stays."""
    said: dict[str, object] = {"state": "paused", "running_count": running}

    found = _of(C.READY, said=said, drained_by="for maintenance")

    assert (found.state, found.reason) == (state, "for maintenance")


def test_one_that_leaves_says_why_and_what_it_waits_for() -> None:
    """With the moment at which patience ends."""
    said: dict[str, object] = {"state": "busy", "running_count": 2}

    draining = _of(C.DRAINING, said=said, leaving="removed from the file", act_at=700.0)

    assert draining == Standing(
        W.DRAINING,
        "removed from the file, 2 jobs running",
        "interrupts what still runs",
        700.0,
    )
    assert _of(C.DRAINING, said={"running_count": 1}).reason == "1 job running"
    for state in (C.STOPPING, C.LEAVING, C.KILLED):
        assert _of(state).state is W.STOPPING


@pytest.mark.parametrize(
    ("code", "state"), [(77, W.AUTH_FAILED), (78, W.CONFIG_ERROR), (73, W.BACKOFF)]
)
def test_a_parked_worker_says_what_it_waits_for(code: int, state: WorkerState) -> None:
    """Somebody has to do something, and it looks by itself now and then."""
    found = _of(C.PARKED, code=code, act_at=900.0, ended="it ended with code …")

    assert (found.state, found.reason, found.next_at) == (state, "it ended with code …", 900.0)
    assert found.next_action


def test_last_words_of_trouble_are_the_reason() -> None:
    """They say more than a number; what a healthy worker said last explains nothing."""
    trouble: dict[str, object] = {"state": "refused", "reason": "the token was withdrawn"}
    fine: dict[str, object] = {"state": "ready", "reason": "all is well"}

    assert _of(C.PARKED, code=77, said=trouble, ended="code 77").reason == "the token was withdrawn"
    assert _of(C.BACKOFF, said=fine, ended="killed by SIGKILL").reason == "killed by SIGKILL"
