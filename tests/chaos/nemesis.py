"""The one who does harm: kills, stops, bad weather and partitions, from a seed, written down.

What it does next comes from a deck that is shuffled again and again, so that nobody is spared. Each
harm that has an end (a stop, a storm) is ended by itself, and `heal` ends all.
"""

import contextlib
import heapq
import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.proxy import Proxy
from tests.chaos.records import Blow, Journal, now
from tests.chaos.site import Host, Site
from tests.chaos.weather import DRIZZLE, FAIR, Fault, Way, Weather

TARGETS: Final = ("worker", "nursery", "launcher", "supervisor", "server")
DECK: Final = (
    *[f"kill {target}" for target in TARGETS] * 4,
    "kill shim",
    "stop worker",
    "stop server",
    "drain supervisor",
    "weather link",
    "weather door",
    "weather link",
    "partition link",
)
STORM_RATE: Final = 0.5
"""Share of requests that meet a fault in bad weather."""


@dataclass
class Nemesis:
    """Does harm until told to stop."""

    site: Site
    journal: Journal
    draw: random.Random
    stop: threading.Event
    pause_s: float = 0.8
    """Between two blows, on average."""
    longest_s: float = 6.0
    """How long a stop or a storm lasts, at most."""
    deck: tuple[str, ...] = DECK
    blows: list[Blow] = field(default_factory=list)
    _left: list[str] = field(default_factory=list)
    _later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def run(self) -> None:
        """Strike again and again."""
        for link in self.site.links():
            link.change(DRIZZLE)
        while not self.stop.wait(self.draw.uniform(0, 2 * self.pause_s)):
            self._end_what_is_due(now())
            if not self._left:
                self._left = self.draw.sample(self.deck, len(self.deck))
            what, _, target = self._left.pop().partition(" ")
            strike: Callable[[str, Host], None] = getattr(self, f"_{what}")
            strike(target, self._machine(what))

    def heal(self) -> None:
        """End all that has an end."""
        self._end_what_is_due(float("inf"))
        for link in self.site.links():
            link.change(FAIR)

    def _end_what_is_due(self, moment: float) -> None:
        while self._later and self._later[0][0] <= moment:
            heapq.heappop(self._later)[2]()

    def _afterwards(self, end: Callable[[], None]) -> float:
        lasts_s = self.draw.uniform(0.2, self.longest_s)
        heapq.heappush(self._later, (now() + lasts_s, len(self.blows), end))
        return lasts_s

    def _note(self, what: str, target: str, host: str = "", pid: int = 0, **more: Any) -> None:
        self._record(Blow(now(), what, target, host, pid, more))

    def _record(self, blow: Blow) -> None:
        self.blows.append(blow)
        self.journal.add(blow)

    def _victim(self, target: str, host: Host) -> tuple[int, str]:
        """Return somebody who has that role, and where."""
        if target == "server":
            return self.site.server.pid, ""
        pids = host.pids(target)
        return (self.draw.choice(pids), host.name) if pids else (0, host.name)

    def _machine(self, what: str) -> Host:
        """Return some machine; who kills looks for one that works, so that it hits somebody."""
        hosts = self.draw.sample(self.site.hosts, len(self.site.hosts))
        if what == "kill":
            return next((host for host in hosts if host.is_busy()), hosts[0])
        return hosts[0]

    def _kill(self, target: str, host: Host) -> None:
        pid, where = self._victim(target, host)
        # What follows from a blow is seen before this thread gets its turn again.
        at = now()
        if pid and _sent(pid, signal.SIGKILL):
            self._record(Blow(at, "kill", target, where, pid, {}))

    def _stop(self, target: str, host: Host) -> None:
        pid, where = self._victim(target, host)
        if not pid or not _sent(pid, signal.SIGSTOP):
            return

        def go_on() -> None:
            if _sent(pid, signal.SIGCONT):
                self._note("cont", target, where, pid)

        self._note("stop", target, where, pid, seconds=self._afterwards(go_on))

    def _drain(self, target: str, host: Host) -> None:
        """Ask a machine to stop; when it has not by then, ask for more haste."""
        keeper, pid = host.keeper, host.keeper.pid
        if not keeper.signal(signal.SIGTERM):
            return

        def urge() -> None:
            if keeper.pid == pid and keeper.signal(signal.SIGTERM):
                self._note("urge", target, host.name, pid)

        self._note("drain", target, host.name, pid, seconds=self._afterwards(urge))

    def _crash(self, target: str, _host: Host) -> None:
        self._note("crash", target)
        self.site.database.crash()

    def _cut(self, target: str, _host: Host) -> None:
        self._note("cut", target)
        self.site.database.cut()

    def _weather(self, target: str, host: Host) -> None:
        """Let one or a few kinds of fault meet the requests of a link."""
        kinds = self.draw.sample(list(Fault), self.draw.randint(1, 3))
        rates = {kind: STORM_RATE / len(kinds) for kind in kinds}
        self._change(target, host, Weather(rates, longest_s=self.longest_s))

    def _partition(self, target: str, host: Host) -> None:
        """Let nothing through, or only one way."""
        ways = self.draw.choice([{Way.UP}, {Way.DOWN}, set(Way)])
        self._change(target, host, Weather(blocked=frozenset(ways)))

    def _change(self, target: str, host: Host, weather: Weather) -> None:
        link: Proxy = self.site.door if target == "door" else host.link
        where = "" if target == "door" else host.name
        # What waited on the way arrives late, or never, because the connection is given up.
        reset = self.draw.random() < 0.5

        def calm() -> None:
            link.change(DRIZZLE, reset=reset)
            self._note("calm", "link", where, reset=reset)

        link.change(weather)
        told: dict[str, Any] = {"rates": dict(weather.rates), "blocked": sorted(weather.blocked)}
        what = "partition" if weather.blocked else "weather"
        self._note(what, "link", where, seconds=self._afterwards(calm), **told)


def _sent(pid: int, number: signal.Signals) -> bool:
    """Signal a process; tell whether it was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
