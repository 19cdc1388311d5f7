"""A thousand files: what is valid is loaded, what is not is refused with its line."""

import contextlib
import json
import time
from pathlib import Path

import pytest

from orchestrator.kernel.errors import OrchestratorError, Refused
from orchestrator.supervisor.config import edits
from orchestrator.supervisor.config.loader import Loaded, load
from tests.support.configs import ConfigFolder, words
from tests.support.generated import SPOILS, Made, fuzzed, spoilt, valid

VALID = range(350)
SPOILT = range(350, 800)
FUZZED = range(800, 1000)
BATCH = 25
FRAGMENT = 12


ALLOWED_S = 3.0


def _batches(seeds: range) -> list[range]:
    return [seeds[begin : begin + BATCH] for begin in range(0, len(seeds), BATCH)]


def _folder(home: Path, seed: int) -> ConfigFolder:
    folder = home / str(seed) / "config"
    folder.mkdir(parents=True)
    return ConfigFolder(folder)


def _loaded(folder: ConfigFolder, made: Made) -> Loaded:
    """Load it, hold it to what is true of every file, and return what came of it."""
    begin = time.thread_time()
    loaded = folder.load(made.content)
    # In a process full of other tests a collection of garbage may fall into it.
    assert time.thread_time() - begin < ALLOWED_S
    shown = words(loaded)
    shown += repr(loaded) + json.dumps([problem.as_json() for problem in loaded.problems])
    for secret in made.secrets:
        assert secret[-24:] not in shown
        assert secret[-FRAGMENT:] not in shown
        assert secret[-24:][:FRAGMENT] not in shown
    lines = made.content.count(b"\n") + made.content.count(b"\r") + 1
    assert all(1 <= problem.place.line <= lines for problem in loaded.problems)
    assert loaded.wanted is not None or not loaded.ok
    return loaded


@pytest.mark.parametrize("seeds", _batches(VALID), ids=str)
def test_what_is_valid_is_loaded(seeds: range, tmp_path: Path) -> None:
    """Whatever is built from allowed values is loaded, in every way of writing it."""
    for seed in seeds:
        folder = _folder(tmp_path, seed)
        made = valid(seed, folder)

        loaded = _loaded(folder, made)

        assert loaded.ok, (seed, words(loaded))
        assert loaded.wanted is not None
        assert len(loaded.wanted.workers) == made.workers, seed


@pytest.mark.parametrize("seeds", _batches(SPOILT), ids=str)
def test_a_mistake_is_noticed_in_its_line(seeds: range, tmp_path: Path) -> None:
    """One mistake in a valid file is told with the line in which it is, and by its name."""
    assert len(SPOILT) > 8 * len(SPOILS)
    for seed in seeds:
        folder = _folder(tmp_path, seed)
        made = spoilt(seed, folder)

        loaded = _loaded(folder, made)

        told: set[tuple[int | None, str]] = {
            (problem.place.line, problem.code) for problem in loaded.problems
        }
        told |= {(line, "") for line, _ in told}
        told |= {(made.line, "ok")} if loaded.ok else set()
        assert (made.line, made.code) in told, (seed, made.line, made.code, words(loaded))


@pytest.mark.parametrize("seeds", _batches(FUZZED), ids=str)
def test_nothing_is_fatal(seeds: range, tmp_path: Path) -> None:
    """Whatever is done to a file at random, what is wrong is told, or nothing is."""
    for seed in seeds:
        folder = _folder(tmp_path, seed)

        _loaded(folder, fuzzed(seed, folder))


@pytest.mark.parametrize("seeds", _batches(VALID[:150]), ids=str)
def test_what_is_valid_can_be_edited(seeds: range, tmp_path: Path) -> None:
    """In nearly every way of writing it, and then it says what was wanted; else it is refused."""
    refused = 0
    for seed in seeds:
        folder = _folder(tmp_path, seed)
        made = valid(seed, folder)
        folder.load(made.content)
        before = folder.path.read_bytes()
        try:
            edited = edits.put(folder.path, folder.environ, "machine.disk.min_free", "7GiB")
        except Refused:
            refused += 1
            assert folder.path.read_bytes() == before
            continue
        edited.write()

        wanted = load(folder.path, folder.environ, state_dir=folder.home).wanted
        assert wanted is not None
        assert wanted.min_free_bytes == 7 * 2**30
        told = "\n".join(edited.diff())
        assert not any(secret[-FRAGMENT:] in told for secret in made.secrets)
    assert refused <= len(seeds) // 10


@pytest.mark.parametrize("seeds", _batches(FUZZED), ids=str)
def test_no_file_is_fatal_to_an_edit(seeds: range, tmp_path: Path) -> None:
    """What cannot be edited is refused in words, and stays as it is."""
    for seed in seeds:
        folder = _folder(tmp_path, seed)
        folder.load(fuzzed(seed, folder).content)
        with contextlib.suppress(OrchestratorError):
            edits.put(folder.path, folder.environ, "machine.max_jobs", "3")
