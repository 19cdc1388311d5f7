"""Whose turn it is: weights of queues, turns of keys, ranks within a key, and the gates."""

from collections import Counter
from collections.abc import Sequence

import pytest

from orchestrator.core.gates import QueueRules, Usage
from orchestrator.core.line import Limit, Line, Rate
from orchestrator.core.order import STRIDE, Choice, Head, Waiting, choose, gathered, level
from orchestrator.core.rank import rank
from orchestrator.protocol.words import PendingReason

MINUTE = 60_000_000
NOW = 1000 * MINUTE
PLAIN = {"default": QueueRules()}


def waiting(
    number: int,
    *jobs: tuple[int, str, int],
    key: str = "ada",
    queue: str = "default",
    served_us: int = 0,
    limits: Sequence[Limit] = (),
    rates: Sequence[Rate] = (),
) -> Waiting:
    """Return a line with jobs: the minute of each, its name and its priority."""
    heads = sorted(Head(rank(at * MINUTE, points), name, points) for at, name, points in jobs)
    line = Line(number, queue, key, tuple(limits), tuple(rates))
    return Waiting(line, iter(heads), served_us)


def many(number: int, name: str, count: int, **line: object) -> Waiting:
    """Return a line with many jobs, a minute apart."""
    jobs = [(minute, f"{name}{minute:03}", 0) for minute in range(count)]
    return waiting(number, *jobs, **line)  # type: ignore[arg-type]  # the words of `waiting`


def given(choice: Choice) -> list[str]:
    """Return the names of the jobs that are given out."""
    return [pick.head.job_id for pick in choice.picks]


def chosen(
    *lines: Waiting,
    slots: int = 100,
    queues: dict[str, QueueRules] = PLAIN,
    usage: Usage | None = None,
) -> Choice:
    """Return who is served now."""
    return choose(gathered(lines), queues, usage or Usage(), slots=slots, now_us=NOW)


def test_within_a_key_the_least_rank_comes_first_across_its_lines() -> None:
    """Jobs of one owner come in their order, whatever they require and whichever line that is."""
    choice = chosen(
        waiting(2, (1, "a", 0), (4, "d", 0)), waiting(4, (2, "b", 0)), waiting(6, (9, "c", 7))
    )

    assert given(choice) == ["a", "b", "c", "d"]
    assert (choice.served, choice.passed) == ({}, {})


def test_as_many_are_given_as_there_are_slots() -> None:
    """A claim takes no more than it has room for."""
    assert given(chosen(many(2, "a", 9), slots=3)) == ["a000", "a001", "a002"]


def test_a_flood_of_one_key_does_not_starve_another() -> None:
    """Who came late with one job is served right after the one that is served now."""
    flood = many(2, "a", 50)
    late = waiting(4, (900, "late", 0), key="bob")

    choice = chosen(flood, late, slots=2)

    assert given(choice) == ["a000", "late"]
    assert choice.served == {("default", "ada"): NOW, ("default", "bob"): NOW + 1}


def test_keys_take_turns_from_claim_to_claim() -> None:
    """With one slot at a time the key that was served longest ago is next."""
    served = {"ada": 0, "bob": 0, "cyd": 0}
    names = []
    for turn in range(9):
        lines = [
            waiting(2 * i + 2, (turn, key, 0), key=key, served_us=served[key])
            for i, key in enumerate(served)
        ]
        choice = choose(gathered(lines), PLAIN, Usage(), slots=1, now_us=NOW)  # all in one commit
        names += given(choice)
        served |= {key: at for (_, key), at in choice.served.items()}

    assert Counter(names) == {"ada": 3, "bob": 3, "cyd": 3}
    assert all(len(set(names[i : i + 3])) == 3 for i in range(0, 9, 3))


@pytest.mark.parametrize(("behind", "first"), [(9, "urgent"), (11, "waits")])
def test_priority_makes_up_for_waiting_between_keys(behind: int, first: str) -> None:
    """Ten points of priority are worth ten minutes of another key's waiting, and no more."""
    urgent = waiting(2, (0, "urgent", 10), key="ada", served_us=NOW)
    waits = waiting(4, (0, "waits", 0), key="bob", served_us=NOW - behind * MINUTE)

    assert given(chosen(urgent, waits, slots=1)) == [first]


def test_queues_share_by_weight() -> None:
    """A queue of weight 3 is given three jobs for each of a queue of weight 1."""
    queues = {"big": QueueRules(weight=3), "small": QueueRules(weight=1)}
    lines = (many(2, "b", 90, queue="big"), many(4, "s", 90, queue="small"))

    choice = chosen(*lines, slots=40, queues=queues)

    assert Counter(name[0] for name in given(choice)) == {"b": 30, "s": 10}
    assert set(choice.passed) == {"big", "small"}


def test_weights_hold_from_claim_to_claim() -> None:
    """With one slot at a time the shares are the same, because it is remembered how far each is."""
    queues = {"big": QueueRules(weight=3), "small": QueueRules(weight=1)}
    names = []
    for _ in range(40):
        lines = (many(2, "b", 1, queue="big"), many(4, "s", 1, queue="small"))
        choice = chosen(*lines, slots=1, queues=queues)
        names += given(choice)
        for name, passed in choice.passed.items():
            queues[name] = queues[name]._replace(passed=passed)

    assert abs(Counter(name[0] for name in names)["b"] - 30) <= 1


def test_a_queue_that_was_idle_saves_up_no_turns() -> None:
    """Who comes back is one of those that have work: it is not served alone to make up for it."""
    queues = {"busy": QueueRules(passed=1000 * STRIDE), "back": QueueRules(passed=3 * STRIDE)}

    assert level(queues) == {"busy": 1000 * STRIDE, "back": 999 * STRIDE}
    lines = (many(2, "u", 90, queue="busy"), many(4, "k", 90, queue="back"))
    names = [name[0] for name in given(chosen(*lines, slots=9, queues=queues))]
    assert Counter(names)["u"] >= 4


def test_nobody_waits_behind_a_closed_gate_of_another() -> None:
    """A job whose key is taken is passed over, however urgent it is; it loses no place by that."""
    usage = Usage(holding=Counter({"deploy": 1}))
    blocked = waiting(3, (0, "blocked", 100), limits=[Limit("deploy", 1)])
    free = waiting(4, (900, "free", -100))

    choice = chosen(blocked, free, usage=usage)

    assert given(choice) == ["free"]
    (gate,) = choice.gates
    assert (gate.reason, gate.name) == (PendingReason.CONCURRENCY_KEY, "deploy")


def test_a_key_is_held_by_what_is_given_in_the_same_claim() -> None:
    """Of jobs that share a key no more are given at once than its limit allows, in any line."""
    limits = [Limit("deploy", 2)]
    lines = (many(3, "a", 5, limits=limits), many(5, "b", 5, limits=limits, key="bob"))

    choice = chosen(*lines)

    assert len(choice.picks) == 2


def test_each_job_minds_its_own_limit() -> None:
    """Of two limits of one key each counts for the jobs that came with it."""
    usage = Usage(holding=Counter({"k": 1}))
    strict, loose = [Limit("k", 1)], [Limit("k", 3)]

    choice = chosen(many(3, "s", 5, limits=strict), many(5, "l", 5, limits=loose), usage=usage)

    assert given(choice) == ["l000", "l001"]


def test_a_paused_queue_gives_nothing() -> None:
    """Nothing of a paused queue is given out, and the others go on."""
    queues = {"off": QueueRules(paused=True), "on": QueueRules()}

    choice = chosen(many(2, "x", 3, queue="off"), many(4, "y", 3, queue="on"), queues=queues)

    assert given(choice) == ["y000", "y001", "y002"]
    assert {gate.reason for gate in choice.gates} == {PendingReason.QUEUE_PAUSED}


def test_a_queue_has_no_more_attempts_than_it_may() -> None:
    """What runs counts with what is given."""
    queues = {"q": QueueRules(max_running=3)}
    usage = Usage(running=Counter({"q": 1}))

    choice = chosen(many(2, "x", 9, queue="q"), queues=queues, usage=usage)

    assert len(choice.picks) == 2
    assert choice.gates[0][:4] == (PendingReason.QUEUE_LIMIT, "q", 3, 3)


def test_a_rate_lets_through_what_the_window_has_room_for() -> None:
    """Starts in the window count; the gate says when the oldest of them leaves it."""
    rate = Rate("api", 3, 10 * MINUTE)
    usage = Usage(starts={"api": [NOW - MINUTE, NOW - 11 * MINUTE]})

    choice = chosen(many(3, "x", 9, rates=[rate]), usage=usage)

    assert len(choice.picks) == 2
    (gate,) = choice.gates
    assert (gate.reason, gate.until_us) == (PendingReason.RATE_LIMIT, NOW + 9 * MINUTE)


def test_what_is_behind_a_head_is_looked_at_only_when_it_is_its_turn() -> None:
    """A line is not read further than it is served."""
    seen = []

    def heads() -> object:
        for number in range(9):
            seen.append(number)
            yield Head(number, f"j{number}", 0)

    chosen(Waiting(Line(2), heads()), slots=2)  # type: ignore[arg-type]  # it is an iterator

    assert len(seen) <= 3


def test_nothing_comes_of_nothing() -> None:
    """No line, or only empty ones: nobody is served, and nothing has to be remembered."""
    assert chosen() == Choice()
    assert chosen(waiting(2)) == Choice()
