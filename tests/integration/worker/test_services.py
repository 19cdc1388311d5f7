"""The loops of a worker by themselves, at moments that a whole worker meets once in a blue moon."""

import contextlib
import itertools
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import anyio
import pytest

from orchestrator.kernel import host
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import Refused
from orchestrator.protocol.wire import (
    ClaimReply,
    ClaimRequest,
    Grant,
    Host,
    LiveAttempt,
    SessionRequest,
)
from orchestrator.protocol.words import Directive
from tests.support.fake_http import Problem
from tests.support.fake_server import FakeServer, serving
from tests.support.waiting import until, wait_until
from tests.support.workers import Workplace
from worker.contact import Contact
from worker.link import Link
from worker.logic.attempt import Key
from worker.services import heartbeat
from worker.services.claimer import Claimer
from worker.services.heartbeat import Heart
from worker.services.session import SessionKeeper
from worker.settings import read_token
from worker.workspace import MARKER


class LateLink(Link):
    """A link on which something happens in the very turn in which a claim's answer arrives."""

    meanwhile: Callable[[], None]

    async def claim(self, request: ClaimRequest) -> ClaimReply:
        """Return the answer, after that."""
        reply = await super().claim(request)
        self.meanwhile()
        return reply


class Slots:
    """One free slot, and what was put into it."""

    def __init__(self) -> None:
        self.changed = Bell()
        self.taken: list[Grant] = []

    @property
    def free(self) -> int:
        """Return one until something was taken."""
        return 1 - len(self.taken)

    def take(self, grant: Grant) -> None:
        """Take it."""
        self.taken.append(grant)

    def live(self) -> list[LiveAttempt]:
        """Return what was taken."""
        return [LiveAttempt(job_id=one.job_id, attempt=one.attempt) for one in self.taken]

    def order(self, key: Key, directive: Directive) -> bool:
        """Know of no order."""
        raise AssertionError((key, directive))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """Give a fake server."""
    with serving() as server:
        yield server


@pytest.fixture
async def link(server: FakeServer, tmp_path: Path) -> AsyncIterator[LateLink]:
    """Give a link to it."""
    path = tmp_path / "token"
    path.write_text(server.token)
    path.chmod(0o600)
    async with LateLink(server.url, read_token(path)) as link:
        yield link


def _keeper(link: Link) -> SessionKeeper:
    introduction = SessionRequest(
        version="1",
        spool_id="s" * 32,
        slots=1,
        kinds=["delay"],
        host=Host(**asdict(host.facts())),
    )
    return SessionKeeper(link, Contact(lambda: 1.0, Bell()), SystemClock(), introduction)


async def _serve(keeper: SessionKeeper) -> None:
    await keeper.run(list, lambda _: None)


async def test_what_arrives_just_as_a_drain_begins_is_not_taken(
    server: FakeServer, link: LateLink
) -> None:
    """The heartbeat has said that it is not here, so another may run it: it starts once."""
    keeper, slots = _keeper(link), Slots()
    claimer = Claimer(link, keeper, slots)
    told: list[int] = []

    def drain() -> None:
        assert keeper.claims is not None
        claimer.drain(lambda: told.append(keeper.claims.seen if keeper.claims else 0))

    link.meanwhile = drain
    job = server.submit("delay", ms=0)

    async with anyio.create_task_group() as group:
        group.start_soon(_serve, keeper)
        await claimer.run()
        group.cancel_scope.cancel()

    assert (job, 1) in server.attempts
    assert told == [1]
    assert slots.taken == []


async def test_what_arrives_just_as_a_session_ends_is_not_taken(
    server: FakeServer, link: LateLink
) -> None:
    """The next session is told what is here, and that is not among it."""
    keeper, slots = _keeper(link), Slots()

    def end() -> None:
        assert keeper.claims is not None
        keeper.refused(keeper.claims, Refused("ended"))

    link.meanwhile = end
    job = server.submit("delay", ms=0)

    async with anyio.create_task_group() as group:
        group.start_soon(_serve, keeper)
        group.start_soon(Claimer(link, keeper, slots).run)

        async def opened_again() -> bool:
            return len(server.named("sessions")) == 2

        await until(opened_again)
        group.cancel_scope.cancel()

    assert (job, 1) in server.attempts
    assert slots.taken == []


async def test_sessions_that_hardly_live_follow_each_other_ever_slower(
    server: FakeServer, link: LateLink, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody else begins his own as soon as we did: we give way longer each time, and say so."""
    keeper = _keeper(link)
    caplog.set_level(logging.INFO)

    with contextlib.suppress(anyio.get_cancelled_exc_class()):
        async with anyio.create_task_group() as group:
            group.start_soon(_serve, keeper)
            for _ in range(4):
                keeper.refused(await keeper.current(), Refused("ended"))
            await keeper.current()
            group.cancel_scope.cancel()

    opened = [call.at for call in server.named("sessions")]
    pauses = [two - one for one, two in itertools.pairwise(opened)]
    assert [round(pause * 2) / 2 for pause in pauses] == [0.5, 1.0, 2.0, 4.0]
    told = [record.getMessage() for record in caplog.records]
    assert sum("session.contested" in line for line in told) == 1


async def test_the_end_of_a_session_that_lived_is_followed_at_once(
    server: FakeServer, link: LateLink
) -> None:
    """That a server ends a session after its lease is no sign of somebody else."""
    server.lease_s = 0.0
    keeper = _keeper(link)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(_serve, keeper)
            for _ in range(20):
                keeper.refused(await keeper.current(), Refused("ended"))
            group.cancel_scope.cancel()

    assert len(server.named("sessions")) == 20


async def test_a_busy_server_cannot_put_heartbeats_off_for_long(
    server: FakeServer, link: LateLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it asks for: a worker that is silent for long counts as lost."""
    assert heartbeat.LATEST_S <= 10
    monkeypatch.setattr(heartbeat, "LATEST_S", 0.2)
    server.fault("heartbeat", Problem(503, "overloaded", (("Retry-After", "3600"),)))
    keeper = _keeper(link)

    async with anyio.create_task_group() as group:
        group.start_soon(_serve, keeper)
        group.start_soon(Heart(link, keeper, Slots()).run)

        async def beaten_again() -> bool:
            return len(server.named("heartbeat")) > 1

        await until(beaten_again, timeout_s=5)
        group.cancel_scope.cancel()


def test_two_workers_with_one_memory_do_not_storm_the_server(place: Workplace) -> None:
    """A copied state directory: each ends the other's session, less and less often, and says so."""
    place.start()
    place.worker.stop()
    other = Workplace(place.home / "other", place.server)
    shutil.copytree(place.state, other.state)

    begun = len(place.server.named("sessions"))
    place.launch()
    other.launch()
    try:
        wait_until(
            lambda: all("session.contested" in one.worker.stderr for one in (place, other)),
            timeout_s=15,
        )
        assert len(place.server.named("sessions")) - begun < 15
        assert place.worker.stderr.count("session.contested") == 1
    finally:
        other.end()


def test_what_others_left_is_removed_beside_the_session(place: Workplace) -> None:
    """A workspace that takes long to remove keeps no worker from its server."""
    left = place.state / "workspaces" / f"job_{'7' * 26}-1"
    place.start()
    place.worker.stop()
    left.mkdir()
    marker = left / MARKER
    os.mkfifo(marker, 0o600)  # whoever reads it waits

    place.start()
    assert place.server.end(place.server.submit("delay", ms=0)).exit_code is None

    assert left.exists()
    marker.write_text(left.name)
    wait_until(lambda: not left.exists())
