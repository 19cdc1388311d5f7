"""A worker finds a spool that another version left: what ended is told, what was cut off too."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.kernel import host
from orchestrator.protocol.frames import FrameType, decode, encode
from orchestrator.protocol.words import Outcome, Reason
from tests.fixtures.kept import grown_spool, read_json, versions
from tests.support.fake_attempt import FakeAttempt
from tests.support.workers import Workplace, workplace
from worker.shim import layout

Change = Callable[[Path], None]


def _as_it_is(spool: Path) -> None:
    """Change nothing."""
    del spool


@pytest.fixture(params=versions(), ids=lambda path: path.name)
def version(request: pytest.FixtureRequest) -> Path:
    """Return the folder of each version."""
    folder: Path = request.param
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """Give a worker's folders and a server."""
    with workplace(tmp_path / "home") as found:
        yield found


def _moved_in(place: Workplace, version: Path) -> Path:
    """Put a kept spool where the worker's own would be, as if it had been made there."""
    spool = place.state / "spool"
    shutil.copytree(version / "spool", spool)
    for folder in (place.state, spool):
        folder.chmod(0o700)
    identity = read_json(spool / "id") | {"path": str(spool), "machine": host.machine_id()}
    (spool / "id").write_text(json.dumps(identity))
    server = place.server
    server.spool_id = identity["id"]
    for job in read_json(version / "spool.json").values():
        server.attempts[job, 1] = FakeAttempt(job, 1, "the session before", 1)
    return spool


@pytest.mark.parametrize("change", [_as_it_is, grown_spool], ids=["as it is", "with more in it"])
def test_what_another_version_left_is_told(place: Workplace, version: Path, change: Change) -> None:
    """What ended is told whole, what was cut off as lost; nothing settled is told again."""
    jobs = read_json(version / "spool.json")
    change(_moved_in(place, version))

    place.start()

    ended = place.server.end(jobs["ended"])
    assert (ended.outcome, ended.exit_code) == (Outcome.FAILED, 3)
    assert place.server.attempts[jobs["ended"], 1].stream() == b"before\nafter\n"
    cut = place.server.end(jobs["cut"])
    assert (cut.outcome, cut.reason) == (Outcome.LOST, Reason.WORKER_LOST)
    assert place.server.attempts[jobs["cut"], 1].stream() == b"before\n"
    assert place.server.session is not None
    assert {one.job_id for one in place.server.session.held} == set(jobs.values())


def test_the_end_that_a_newer_shim_has_a_word_for_is_told_all_the_same(
    place: Workplace, version: Path
) -> None:
    """Its code and its message are what we know; nobody stumbles over the word."""
    jobs = read_json(version / "spool.json")
    spool = _moved_in(place, version)
    for segment in spool.glob("seg-*"):
        frames = [
            encode(
                frame.type,
                frame.time_us,
                frame.data.replace(b'"cause":"exited"', b'"cause":"melted"')
                if frame.type == FrameType.EXIT
                else frame.data,
            )
            for frame in decode(segment.read_bytes())
        ]
        segment.write_bytes(b"".join(frames))

    place.start()

    ended = place.server.end(jobs["ended"])
    assert (ended.outcome, ended.exit_code) == (Outcome.FAILED, 3)


def test_a_spool_in_a_newer_format_is_refused_untouched(place: Workplace, version: Path) -> None:
    """It says which format, which it reads, and what to start; nothing in it changes."""
    spool = _moved_in(place, version)
    for segment in spool.glob("seg-*"):
        first, *rest = decode(segment.read_bytes())
        header = json.loads(first.data) | {"format": layout.FORMAT + 1}
        frames = [encode(first.type, first.time_us, json.dumps(header).encode())]
        frames += [encode(frame.type, frame.time_us, frame.data) for frame in rest]
        segment.write_bytes(b"".join(frames))
    before = {path.name: path.read_bytes() for path in spool.glob("seg-*")}

    worker = place.launch()

    assert worker.wait() == 78
    assert f"has format {layout.FORMAT + 1}" in worker.stderr
    assert f"reads {layout.FORMAT} at most" in worker.stderr
    assert "start the newer version again; nothing was changed" in worker.stderr
    assert {path.name: path.read_bytes() for path in spool.glob("seg-*")} == before
