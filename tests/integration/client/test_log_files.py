"""Logs in files: written by the real handler, read while they are begun anew."""

import logging
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client import log_files
from orchestrator.kernel import kept_log, logs

LOGGER = logging.getLogger("tests.kept")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """Keep the log in a file that is full after a few lines."""
    path = tmp_path / "worker.log"
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    kept_log.keep(kept_log.Keeping(path=path, file_bytes=1000))
    root.setLevel(logging.INFO)
    yield path
    for handler in root.handlers[:]:
        if handler not in before:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


def _say(first: int, last: int) -> None:
    for number in range(first, last):
        logs.event(LOGGER, logging.INFO, "test.said", number=number)


def test_the_oldest_comes_first_through_all_files(kept: Path) -> None:
    """Nothing twice, nothing out of order, and only so much is kept."""
    _say(0, 200)

    numbers = [record["number"] for record in log_files.kept(kept)]

    assert numbers == list(range(numbers[0], 200))
    assert 20 < len(numbers) < 200
    files = list(kept.parent.iterdir())
    assert len(files) == kept_log.FILES
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_comes_is_followed_into_the_next_file(kept: Path) -> None:
    """From the end of what is there; a file that is begun anew is read from its beginning."""
    _say(0, 3)
    found: list[int] = []
    began, enough = threading.Event(), threading.Event()

    def read() -> None:
        records = log_files.follow(kept)
        began.set()
        for record in records:
            found.append(record["number"])
            if record["number"] == 99:
                records.close()  # type: ignore[attr-defined]  # it is a generator
                break
        enough.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert began.wait(5)
    number = 3
    while not enough.wait(0.3) and number <= 99:
        _say(number, number + 4)  # fewer than a file holds: it is seen before it moves on
        number += 4
    assert enough.wait(5)
    assert found == list(range(found[0], 100))


def test_half_a_line_is_not_read_as_one(tmp_path: Path) -> None:
    """Who writes may be in the middle of it; what is no record is left out."""
    path = tmp_path / "worker.log"
    path.write_text('{"number": 1}\nno record\n[]\n{"num')

    assert list(log_files.kept(path)) == [{"number": 1}]


def test_no_file_is_no_record(tmp_path: Path) -> None:
    """A worker that has never run has no log."""
    assert list(log_files.kept(tmp_path / "worker.log")) == []
