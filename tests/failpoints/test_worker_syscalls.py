"""The n-th call of a worker, or of a shim, to its disk fails: nothing is lost, nothing is made up.

The worker is a real one against the fake server. Whatever it does about the fault, after another
start each job has run once at most, and what is told of its end is what it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from orchestrator.kernel.errors import StateUnavailable
from orchestrator.protocol.words import Outcome, Reason
from tests.crash import trace
from tests.failpoints.injection import failing
from tests.support.fake_attempt import FakeAttempt
from tests.support.waiting import wait_until
from tests.support.workers import Workplace, workplace

JOBS = 4
RENAMES = "rename,renameat,renameat2"
WORDS = 200
CODES = {0, StateUnavailable.exit_code}
"""How a worker ends whose disk fails; its tracebacks are looked for, too."""

pytestmark = [
    pytest.mark.skipif(trace.available() is not None, reason=str(trace.available())),
    pytest.mark.timeout(90),
]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """Give a worker's place with one slot, so that one shim does it all."""
    with workplace(tmp_path / "place", slots=1) as place:
        yield place


@dataclass
class Jobs:
    """Some jobs that note each start, say some lines, and end with a code of their own."""

    place: Workplace
    ids: dict[str, int] = field(default_factory=dict)

    def submit(self, count: int = JOBS) -> None:
        """Queue some more."""
        for code in range(len(self.ids), len(self.ids) + count):
            script = f"echo $ORCHESTRATOR_JOB_ID >> starts; seq {WORDS}; exit {code}"
            self.ids[self.place.server.sh(script)] = code

    def are_over(self) -> bool:
        """Tell whether the server knows the end of all, or nobody is there to tell it."""
        attempts = self.place.server.attempts
        known = [attempts.get((job, 1)) for job in self.ids]
        return self.place.worker.returncode is not None or all(
            one is not None and one.over for one in known
        )

    def check(self) -> int:
        """Hold what was told against what was; return how many ended as they should."""
        path = self.place.directory / "starts"
        starts = path.read_text().split() if path.exists() else []
        whole = 0
        for job, code in self.ids.items():
            attempt = self.place.server.attempts[job, 1]
            assert starts.count(job) <= 1
            if attempt.released:
                assert job not in starts, "what ran was given back as unstarted"
            elif _told_itself(attempt):
                self._check_end(attempt, code)
                assert starts.count(job) == 1
                whole += not attempt.lacks_words
        return whole

    def _check_end(self, attempt: FakeAttempt, code: int) -> None:
        end = attempt.end()
        assert end.exit_code == code
        assert end.outcome is (Outcome.FAILED if code else Outcome.SUCCEEDED)
        said = "".join(f"{number}\n" for number in range(1, WORDS + 1)).encode()
        kept = attempt.stream()
        # A command may have ended before somebody finds that there is no room for its last words.
        assert said.startswith(kept) if attempt.lacks_words else said == kept


def _told_itself(attempt: FakeAttempt) -> bool:
    """Tell whether an end is the command's own, and not the fault's."""
    assert attempt.ended is not None
    outcome, reason = attempt.ended.outcome, attempt.ended.reason
    unknown = outcome in {Outcome.LOST, Outcome.INDETERMINATE}
    return not unknown and reason not in {Reason.DISK_FULL, Reason.SPAWN_ERROR}


def _meet(
    place: Workplace, jobs: Jobs, pid: int, fault: tuple[str, str, int], *, follow: bool = True
) -> None:
    """Run jobs while the fault happens, and once more what it has ended."""
    with failing(pid, *fault, follow=follow) as met:
        jobs.submit()
        wait_until(jobs.are_over, timeout_s=25, what="all is over, or the worker has ended")
    assert met, "the fault did not come"
    if place.worker.returncode is not None:
        assert place.worker.returncode in CODES, place.worker
        assert "Traceback" not in place.worker.stderr, place.worker
        place.start()
    wait_until(
        lambda: all(place.server.attempts[job, 1].over for job in jobs.ids),
        timeout_s=25,
        what="after another start all is told",
    )


def _warm(place: Workplace, jobs: Jobs) -> psutil.Process:
    """Start a worker and its first job; return the shim."""
    place.start()
    jobs.submit(1)
    wait_until(jobs.are_over)
    [launcher] = psutil.Process(place.worker.pid).children()
    [shim] = launcher.children()
    return shim


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_worker_whose_ledger_fails(place: Workplace, error: str) -> None:
    """It goes on: what the ledger does not know is only told again after a restart."""
    jobs = Jobs(place)
    _warm(place, jobs)

    _meet(place, jobs, place.worker.pid, ("pwrite64", error, 1))

    assert place.worker.returncode is None
    place.kill()
    place.start()
    jobs.submit(1)
    assert place.server.end(list(jobs.ids)[-1]).exit_code == JOBS + 1
    assert jobs.check() == len(jobs.ids)


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_worker_whose_sync_fails(place: Workplace, call: str) -> None:
    """It ends in a sentence while its server is away; the next one brings the end that it had."""
    place.start()
    server = place.server
    job = server.sh("echo words; while [ ! -e gate ]; do sleep 0.01; done; exit 7")
    attempt = server.running(job)
    wait_until(attempt.stream)
    server.stop()

    with failing(place.worker.pid, call, "EIO", 1) as met:
        (place.directory / "gate").touch()
        wait_until(lambda: place.worker.returncode is not None, what="the worker has ended")

    assert met
    assert place.worker.returncode == StateUnavailable.exit_code, place.worker.stderr
    assert "cannot sync the spool" in place.worker.stderr
    assert "Traceback" not in place.worker.stderr
    server.start()
    place.start()
    assert server.end(job).exit_code == 7
    assert attempt.stream() == b"words\n"


@pytest.mark.parametrize(
    ("call", "error", "number"),
    [
        # The grant, the process, the words, and the end.
        *[("pwrite64", error, number) for error in ("EIO", "ENOSPC") for number in (1, 4, 5, 6)],
        ("openat", "EMFILE", 1),
        ("openat", "EIO", 2),
    ],
)
def test_a_shim_whose_disk_fails(place: Workplace, call: str, error: str, number: int) -> None:
    """One job at most is lost by it, and says so; the others are told as they were."""
    jobs = Jobs(place)
    shim = _warm(place, jobs)

    _meet(place, jobs, shim.pid, (call, error, number), follow=False)

    jobs.submit(1)
    assert place.server.end(list(jobs.ids)[-1]).exit_code == JOBS + 1
    assert jobs.check() >= len(jobs.ids) - 1


@pytest.mark.parametrize(
    ("call", "error"), [("pwrite64", "ENOSPC"), (RENAMES, "EIO"), ("flock", "EIO")]
)
def test_a_shim_that_cannot_begin(place: Workplace, call: str, error: str) -> None:
    """Nothing was started, so nothing is lost: the job is given back, and others run later."""
    jobs = Jobs(place)
    shim = _warm(place, jobs)
    [launcher] = psutil.Process(place.worker.pid).children()
    shim.kill()
    wait_until(lambda: not launcher.children())

    _meet(place, jobs, launcher.pid, (call, error, 1))

    assert "slots.limited" in place.worker.stderr
    jobs.submit(1)
    assert place.server.end(list(jobs.ids)[-1]).exit_code == JOBS + 1
    jobs.check()
