"""A worker's memory that was copied, moved, or brought back: nothing runs twice, nothing untrue."""

import shutil
from pathlib import Path

import psutil

from orchestrator.protocol.words import Outcome, Reason
from tests.support.fake_server import serving
from tests.support.waiting import wait_until
from tests.support.workers import Workplace

WAITS = "echo $$ >> {name}.starts; while [ ! -e {name}.gate ]; do sleep 0.01; done; exit {code}"


class Gated:
    """A job that notes each of its starts, and ends with its code when its gate is opened."""

    def __init__(self, place: Workplace, name: str, code: int) -> None:
        self._place = place
        self._name = name
        self.job = place.server.sh(WAITS.format(name=name, code=code))
        self.attempt = place.server.running(self.job)

    def open(self) -> None:
        """Let it end."""
        (self._place.directory / f"{self._name}.gate").touch()

    @property
    def starts(self) -> list[int]:
        """Return the pid of each start, as the command itself has noted it."""
        path = self._place.directory / f"{self._name}.starts"
        return [int(line) for line in path.read_text().split()]


def _beats(place: Workplace) -> None:
    """Wait until the server has heard all that the worker has to say after its start."""
    heard = len(place.server.named("heartbeat"))
    wait_until(lambda: len(place.server.named("heartbeat")) > heard + 1)


def test_a_copy_leaves_its_original_alone(place: Workplace, tmp_path: Path) -> None:
    """Copied while a job runs, and started beside it: the job goes on, one tells its end."""
    place.start()
    gated = Gated(place, "one", 3)
    with serving() as other_server:
        other = Workplace(tmp_path / "other", other_server)
        shutil.copytree(place.state, other.state)
        try:
            other.start()
            assert "spool.copied" in other.worker.stderr
            assert other_server.spool_id != place.server.spool_id
            assert other_server.session is not None
            assert other_server.session.held == []
            _beats(other)
            assert psutil.pid_exists(gated.starts[0])
            job = other_server.sh("exit 4")
            assert other_server.end(job).exit_code == 4
        finally:
            other.end()
        assert not [call for call in other_server.calls if gated.job in repr(call)]

    gated.open()

    assert place.server.end(gated.job).exit_code == 3
    assert len(gated.starts) == 1


def test_two_copies_of_one_memory_are_two(place: Workplace, tmp_path: Path) -> None:
    """Whichever is started first, each has a name of its own, and the original keeps its own."""
    place.start()
    gated = Gated(place, "one", 3)
    first = place.server.spool_id
    place.kill()
    names = set()
    with serving() as other_server:
        copies = [Workplace(tmp_path / name, other_server) for name in ("a", "b")]
        for copy in copies:
            shutil.copytree(place.state, copy.state)
        for copy in copies:
            copy.start()
            names.add(other_server.spool_id)
            assert other_server.session is not None
            assert other_server.session.held == []
            copy.end()

    place.start()
    gated.open()

    assert place.server.spool_id == first
    assert first not in names
    assert len(names) == 2
    assert place.server.end(gated.job).exit_code == 3
    assert len(gated.starts) == 1


def test_a_memory_that_was_moved_goes_on(place: Workplace) -> None:
    """Its shims write on where they are: the same process, all of its output, one end."""
    place.start()
    size = 9_000_000
    script = f"head -c {size} /dev/zero; while [ ! -e gate ]; do sleep 0.01; done; "
    job = place.server.sh(script + f"head -c {size} /dev/zero; exit 3")
    attempt = place.server.running(job)
    wait_until(lambda: len(attempt.stream()) == size)
    first = place.server.spool_id
    place.kill()
    moved = place.state.rename(place.home / "moved")

    place.arguments = [f"--state-dir={moved}"]
    place.start()
    (place.directory / "gate").touch()

    assert place.server.spool_id == first
    assert place.server.end(job).exit_code == 3
    assert len(attempt.stream()) == 2 * size
    assert (job, 2) not in place.server.attempts


def test_an_old_memory_runs_nothing_again(place: Workplace) -> None:
    """Brought back in place, with a job in it that has ended since: that is told once."""
    place.start()
    gated = Gated(place, "one", 3)
    first = place.server.spool_id
    shutil.copytree(place.state, place.home / "backup")
    gated.open()
    assert place.server.end(gated.job).exit_code == 3
    place.worker.stop()
    shutil.rmtree(place.state)
    (place.home / "backup").rename(place.state)

    place.start()
    _beats(place)

    assert place.server.spool_id == first
    assert gated.attempt.ended is not None
    assert (gated.attempt.ended.exit_code, gated.attempt.ends_heard) == (3, 1)
    assert len(gated.starts) == 1
    assert place.server.end(place.server.sh("exit 4")).exit_code == 4


def test_an_old_memory_does_not_know_how_its_jobs_ended(place: Workplace) -> None:
    """What it holds as running is ended if it still runs, and told as what nobody knows."""
    place.start()
    gated = Gated(place, "one", 3)
    shutil.copytree(place.state, place.home / "backup")
    place.kill()
    shutil.rmtree(place.state)
    (place.home / "backup").rename(place.state)

    place.start()

    end = place.server.end(gated.job)
    assert (end.outcome, end.reason, end.exit_code) == (Outcome.LOST, Reason.WORKER_LOST, None)
    [pid] = gated.starts
    wait_until(lambda: not psutil.pid_exists(pid))
    assert place.server.end(place.server.sh("exit 4")).exit_code == 4
