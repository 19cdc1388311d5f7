"""The table of rules, the names of hosts, guesses and strangers: decided without a socket."""

import pytest

from orchestrator.protocol.words import Scope
from orchestrator.server.access.guesses import TRIES, WINDOW_S, Guesses
from orchestrator.server.access.table import RULES, allows, rules_for
from orchestrator.server.edge import lobby
from orchestrator.server.edge.head import Hosts
from orchestrator.server.edge.lobby import Lobby
from orchestrator.server.edge.refusals import Declined


def test_admin_stands_for_all_scopes_but_the_worker_s() -> None:
    """An administrator may do what people may do, and cannot pose as a worker."""
    admin = frozenset({Scope.ADMIN})

    assert {scope for scope in Scope if not allows(admin, scope)} == {Scope.WORKER}
    assert not any(allows(frozenset(), scope) for scope in Scope)
    assert [s for s in Scope if allows(frozenset({Scope.WORKER}), s)] == [Scope.WORKER]


def test_each_rule_is_found_by_its_path() -> None:
    """Every path of the table leads to its own rules, and near misses lead nowhere."""
    for rule in RULES:
        path = rule.path.replace("{job_id}", "job_x").replace("{sha256}", "ab")
        found = rules_for(path)
        assert found is not None
        assert found[rule.method] is rule
        assert rules_for(f"{path}/") is None
        assert rules_for(f"/{path}") is None
    assert rules_for("/api/v1/jobs//events") is None
    assert rules_for("/api/v1/jobs/a/b") is None


def test_listed_hosts_and_the_own_address_are_ours() -> None:
    """Names from the settings and the address that was called are answered, others are not."""
    hosts = Hosts(["Build.Example"])

    for host in (b"build.example", b"BUILD.example:443", b"10.0.0.7:8700", b"localhost"):
        hosts.check(host, "10.0.0.7")
    hosts.check(b"[fd00::7]:8700", "fd00::7")
    for host in (b"10.0.0.8", b"x.build.example", b"", b"a b", b"build.example:x"):
        with pytest.raises(Declined) as refused:
            hosts.check(host, "10.0.0.7")
        assert refused.value.status == 421


def test_guesses_are_counted_by_address_and_forgotten() -> None:
    """Too many wrong tries stop one address for a while, and no other."""
    guesses = Guesses()
    guesses.check("a", now=100.0)
    for _ in range(TRIES):
        guesses.wrong("a")

    with pytest.raises(Declined) as refused:
        guesses.check("a", now=101.0)
    guesses.check("b", now=101.0)
    guesses.check("a", now=100.0 + WINDOW_S)

    assert refused.value.headers == (("retry-after", "9"),)


class Guest:
    """A connection that notes whether it was shown out."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_out = False

    def show_out(self) -> None:
        """Note it."""
        self.is_out = True


def test_the_oldest_stranger_of_an_address_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fills the lobby pushes out their own oldest connection, not somebody else's."""
    monkeypatch.setattr(lobby, "STRANGERS_PER_ADDRESS", 2)
    room = Lobby()
    other, *own = Guest("b"), *(Guest("a") for _ in range(4))
    for guest in (other, *own[:2]):
        assert room.enter(guest, now=0.0)

    assert room.enter(own[2], now=lobby.PATIENCE_S)
    room.leave(own[1])
    assert room.enter(own[3], now=lobby.PATIENCE_S + 1)

    assert [guest.is_out for guest in (other, *own)] == [False, True, False, False, False]


def test_a_burst_of_honest_clients_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many connections of one instant are no attack, until every place is taken."""
    monkeypatch.setattr(lobby, "STRANGERS", 100)
    room = Lobby()
    crowd = [Guest("a") for _ in range(101)]

    let_in = [room.enter(guest, now=1.0) for guest in crowd]
    for guest in crowd:
        room.leave(guest)
        room.leave(guest)

    assert let_in == [True] * 100 + [False]
    assert room.enter(Guest("a"), now=1.0)
    assert len(room._since) == 1
