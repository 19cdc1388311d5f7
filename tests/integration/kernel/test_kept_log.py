"""A log in files: how long each becomes, how many there are, and how old."""

import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.kernel import kept_log
from orchestrator.kernel.kept_log import Keeping

DAY_S = 86_400.0
BEGAN = 1_767_225_600.0


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if handler not in before:
            root.removeHandler(handler)
            handler.close()


def _keep(path: Path, file_bytes: int = 1000, files: int = 5, keep_s: float = 10 * DAY_S) -> None:
    kept_log.keep(Keeping(path=path, file_bytes=file_bytes, files=files, keep_s=keep_s))


def _say(number: int, *, at: float = BEGAN) -> None:
    """Let something be written down at some moment."""
    record = logging.makeLogRecord(
        {"name": "orchestrator.x", "levelno": logging.INFO, "levelname": "INFO", "msg": "a.thing"}
    )
    record.created = at
    record.__dict__["event_keys"] = {"number": number}
    for handler in logging.getLogger().handlers:
        if getattr(handler, "keeping", None) is not None:
            handler.handle(record)


def _numbers(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_begun_anew_when_it_is_old(tmp_path: Path) -> None:
    """A quiet worker's lines do not stay for years because there are few of them."""
    path = tmp_path / "worker.log"
    _keep(path)

    _say(1)
    _say(2, at=BEGAN + DAY_S)
    _say(3, at=BEGAN + 3 * DAY_S)

    assert _numbers(path) == [3]
    assert _numbers(tmp_path / "worker.log.1") == [1, 2]


def test_how_old_a_file_is_outlives_its_writer(tmp_path: Path) -> None:
    """A worker that is started each day does not keep one file for ever."""
    path = tmp_path / "worker.log"
    _keep(path)
    _say(1)
    _keep(tmp_path / "another.log")
    _keep(path)

    _say(2, at=BEGAN + 3 * DAY_S)

    assert _numbers(path) == [2]


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """With the first line that is written later."""
    path, old = tmp_path / "worker.log", tmp_path / "worker.log.2"
    for file, age_s in ((old, 11 * DAY_S), (tmp_path / "worker.log.1", 9 * DAY_S)):
        file.write_text("{}\n")
        os.utime(file, (BEGAN - age_s, BEGAN - age_s))
    _keep(path)

    _say(1)

    assert _names(tmp_path) == {"worker.log", "worker.log.1"}


def test_fewer_files_are_fewer_at_once(tmp_path: Path) -> None:
    """What is more than is kept now goes; what is not ours stays."""
    path = tmp_path / "worker.log"
    for number in (1, 2, 3, 9):
        (tmp_path / f"worker.log.{number}").write_text("{}\n")
    (tmp_path / "worker.log.old").touch()
    (tmp_path / "web.log.9").touch()
    _keep(path, files=3)
    os.utime(tmp_path / "worker.log.1", (BEGAN, BEGAN))
    os.utime(tmp_path / "worker.log.2", (BEGAN, BEGAN))

    _say(1)

    assert _names(tmp_path) == {
        *("worker.log", "worker.log.1", "worker.log.2", "worker.log.old", "web.log.9")
    }


def test_another_place_is_taken_at_once_and_the_same_one_is_no_news(tmp_path: Path) -> None:
    """Nothing is written twice, and each file is for its owner alone."""
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    _keep(first)
    _keep(first)
    _say(1)
    _keep(second)
    _say(2)

    assert (_numbers(first), _numbers(second)) == ([1], [2])
    assert stat.S_IMODE(second.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_had_changes_nothing(tmp_path: Path) -> None:
    """The old one is written on."""
    first = tmp_path / "first.log"
    _keep(first)
    with pytest.raises(FileNotFoundError):
        _keep(tmp_path / "no-folder/x.log")

    _say(1)

    assert _numbers(first) == [1]
