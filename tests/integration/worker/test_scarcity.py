"""A machine that is short of something: what runs goes on, and what cannot be is not taken."""

import resource

import pytest

from orchestrator.kernel import descriptors
from orchestrator.protocol.words import Execution, Outcome
from tests.integration.shim.test_disk_full import MIB, fill, small_disk
from tests.support.fake_attempt import FakeAttempt
from tests.support.fake_http import Problem
from tests.support.waiting import wait_until
from tests.support.workers import Workplace
from worker.spool.spool import ASIDE

GATE = "while [ ! -e gate ]; do sleep 0.05; done"


def settled(place: Workplace, jobs: list[str]) -> list[FakeAttempt]:
    """Return the attempts of these jobs, once each of them runs, is over, or was given back."""
    wait_until(
        lambda: all(
            (attempt := place.server.attempts.get((job, 1))) and (attempt.started or attempt.over)
            for job in jobs
        ),
        what="all were taken, or given back",
    )
    return [place.server.attempts[job, 1] for job in jobs]


@pytest.mark.timeout(60)
def test_a_worker_with_few_descriptors_takes_what_it_can(place: Workplace) -> None:
    """It keeps what runs, gives back what is too much, tells it once, and asks for less."""
    place.slots, place.limits = 40, "ulimit -n 64"
    place.start()

    first = settled(place, [place.server.sh(GATE) for _ in range(40)])
    running = [attempt for attempt in first if attempt.started]
    (place.directory / "gate").touch()
    wait_until(lambda: all(attempt.over for attempt in first))
    second = settled(place, [place.server.sh("exit 0") for _ in range(100)])
    wait_until(lambda: all(attempt.over for attempt in second))

    assert 5 < len(running) < 40
    assert {a.ended.outcome for a in running if a.ended} == {Outcome.SUCCEEDED}
    # A try for one more, now and then, and longer and longer after the last.
    assert sum(attempt.released for attempt in second) < 10
    assert place.worker.stderr.count("slots.limited") == 1
    assert place.worker.returncode is None


def test_a_machine_that_starts_no_shim_is_not_asked_in_vain(place: Workplace) -> None:
    """Without any shim a worker pauses, longer each time, and says so once."""
    place.slots = 8
    spool = place.state / "spool"
    place.start()
    log = spool / "shims.log"
    log.unlink(missing_ok=True)
    log.mkdir()  # no shim can begin where it cannot leave its last words

    jobs = [place.server.sh("exit 4") for _ in range(30)]
    wait_until(lambda: sum(a.released for a in list(place.server.attempts.values())) > 8)
    log.rmdir()

    wait_until(lambda: all((job, 1) in place.server.attempts for job in jobs), timeout_s=15)
    wait_until(lambda: all(a.over for a in list(place.server.attempts.values())))
    ends = [a.ended.exit_code for a in list(place.server.attempts.values()) if a.ended]
    assert len(ends) > 15
    assert set(ends) == {4}
    assert place.worker.stderr.count("slots.limited") == 1
    together = [place.server.sh(GATE) for _ in range(8)]
    wait_until(lambda: "slots.restored" in place.worker.stderr)
    (place.directory / "gate").touch()
    for job in together:
        assert place.server.end(job).exit_code == 0


def test_what_nobody_needs_goes_before_a_job_is_refused(place: Workplace) -> None:
    """What was put aside for people makes room, and jobs are taken as if nothing had been."""
    with small_disk(place.state, 64 * MIB):
        aside = place.state / "spool" / ASIDE
        aside.mkdir(parents=True)
        for folder in (aside.parent, aside):
            folder.chmod(0o700)
        (aside / "old").write_bytes(bytes(32 * MIB))
        place.start("--min-free", "40")

        assert place.server.end(place.server.sh("exit 3")).exit_code == 3

        assert list(aside.iterdir()) == []
        assert f'"bytes": {32 * MIB}' in place.worker.stderr
        assert "slots.limited" not in place.worker.stderr
        place.end()  # before its disk goes


def test_a_full_disk_costs_no_end_and_takes_no_job(place: Workplace) -> None:
    """What ran is reported with its own code; nothing more is claimed before there is room."""
    with small_disk(place.state, 24 * MIB):
        place.start("--min-free", "4")
        job = place.server.sh(GATE + "; exit 5")
        place.server.running(job)
        fill(place.state / "filling")
        wait_until(lambda: "slots.limited" in place.worker.stderr)
        assert "bring it back" not in place.worker.stderr
        (place.directory / "gate").touch()

        assert place.server.end(job).exit_code == 5
        # The question that was open when the disk filled up is the last.
        once = {"execution": Execution.AT_MOST_ONCE}
        [last] = settled(place, [place.server.sh("exit 6", **once)])
        assert last.released
        later = place.server.sh("exit 7")
        heard = len(place.server.named("heartbeat"))
        wait_until(lambda: len(place.server.named("heartbeat")) > heard + 1)
        assert (later, 1) not in place.server.attempts

        (place.state / "filling").unlink()

        assert place.server.end(later).exit_code == 7
        place.end()


@pytest.mark.timeout(60)
def test_a_full_spool_takes_no_job_until_the_server_has_it(place: Workplace) -> None:
    """What waits fills the spool: nothing more is claimed, and all of it is again afterwards."""
    place.server.fault("output", *[Problem(503, "overloaded", (("Retry-After", "1"),))] * 10_000)
    place.start("--spool-max", "32")
    flood = place.server.sh("head -c 40000000 /dev/zero")
    wait_until(lambda: "slots.limited" in place.worker.stderr, timeout_s=20)
    assert "bring it back" in place.worker.stderr
    # The question that was open then is the last.
    settled(place, [place.server.sh("exit 6")])

    later = place.server.sh("exit 7")
    heard = len(place.server.named("heartbeat"))
    wait_until(lambda: len(place.server.named("heartbeat")) > heard + 1)
    assert (later, 1) not in place.server.attempts

    place.server.faults.clear()

    assert place.server.end(later).exit_code == 7
    assert place.server.end(flood).exit_code == 0
    wait_until(lambda: "slots.restored" in place.worker.stderr)


@pytest.mark.timeout(60)
def test_what_the_server_has_fills_no_spool(place: Workplace) -> None:
    """As many jobs as there are slots print as long as they like: no byte is lost for another."""
    place.start("--spool-max", "32")
    page = "head -c 500000 /dev/zero; sleep 0.1"
    script = f"{GATE}; for i in $(seq 24); do {page}; done"
    together = [place.server.sh(script) for _ in range(4)]
    for job in together:
        place.server.running(job)
    (place.directory / "gate").touch()

    for job in together:
        ended = place.server.attempts[job, 1].end(timeout_s=30)
        assert (ended.exit_code, ended.message) == (0, None)
        assert place.server.attempts[job, 1].stream() == bytes(12_000_000)

    # What all have left at once may wait for a moment, and no longer.
    said = place.worker
    wait_until(lambda: said.stderr.count("slots.limited") == said.stderr.count("slots.restored"))
    assert place.server.end(place.server.sh("exit 3")).exit_code == 3


def test_as_many_files_may_be_open_as_the_machine_allows(place: Workplace) -> None:
    """A low soft limit is raised for the worker, and for none of its jobs."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    place.limits = "ulimit -S -n 256"
    place.start()

    job = place.server.sh("ulimit -S -n")

    place.server.end(job)
    assert place.server.attempts[job, 1].stream() == b"256\n"
    limits = resource.prlimit(place.worker.pid, resource.RLIMIT_NOFILE)
    assert limits == (min(8192, hard), hard)
    assert descriptors.left() > 0
