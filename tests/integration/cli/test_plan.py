"""`orchestrator plan`, and what `orchestrator run` says before it runs anything."""

import json
from pathlib import Path

import pytest

from orchestrator.supervisor.last_good import LastGood
from tests.integration.cli.commands import CommandLine
from tests.support.configs import ConfigFolder


@pytest.fixture
def config(tmp_path: Path) -> ConfigFolder:
    """Give a private folder for a configuration."""
    home = tmp_path / "config"
    home.mkdir()
    return ConfigFolder(home)


@pytest.fixture
def home(cli: CommandLine) -> CommandLine:
    """Give a command line of somebody with a home of their own."""
    folders = {name: str(cli.folder / name) for name in ("config", "state", "data")}
    variables = {f"XDG_{name.upper()}_HOME": folder for name, folder in folders.items()}
    return CommandLine(cli.folder, {**variables, "LANG": "C.UTF-8"})


def _write(config: ConfigFolder, *entries: str) -> str:
    config.private("workers.yaml", "version: 1\nworkers:\n" + "".join(entries))
    return str(config.path)


def _applied(home: CommandLine, config: ConfigFolder) -> None:
    """Let what the file says now be what was applied."""
    state = home.folder / "state/orchestrator"
    state.mkdir(parents=True, mode=0o700)
    LastGood(
        path=config.path, raw=config.path.read_bytes(), digest="d", generation=3, applied_at=1.0
    ).keep(state)


def test_a_plan_is_compared_with_what_was_applied(home: CommandLine, config: ConfigFolder) -> None:
    """In the words in which the log tells a reload; nothing is changed by it."""
    _write(config, config.worker(1), config.worker(2))
    _applied(home, config)
    path = _write(config, config.worker(1, concurrency="2"), config.worker(3))

    done = home("plan", path)

    assert (done.returncode, done.stderr) == (0, b"")
    first, second, third = done.stdout.decode().splitlines()
    assert first.endswith(": concurrency 1→2 (now)")
    assert second.endswith(": added (starts)")
    assert third.endswith(": removed (drains)")
    told = json.loads(home("plan", "--json", path).stdout)
    assert (told["generation"], told["changes"]) == (3, [first, second, third])
    assert LastGood.find(home.folder / "state/orchestrator") is not None


def test_without_anything_applied_everything_is_added(
    home: CommandLine, config: ConfigFolder
) -> None:
    """And a file that says what is applied changes nothing."""
    path = _write(config, config.worker(1))

    assert home("plan", path).stdout.decode().endswith(": added (starts)\n")
    _applied(home, config)
    assert home("plan", path).stdout == b"nothing changes\n"


def test_a_plan_of_a_broken_file_says_what_is_wrong(
    home: CommandLine, config: ConfigFolder
) -> None:
    """It would change nothing; an entry that is wrong leaves its worker as it is."""
    path = _write(config, config.worker(1), config.worker(2, working_directory="gone"))

    partly = home("plan", path)
    config.private("workers.yaml", "version: 1\nworkers: [")
    broken = home("plan", path)

    assert partly.returncode == 0
    assert "there is no directory" in partly.stdout.decode()
    assert "left as it is until its entry is mended" in partly.stdout.decode()
    assert broken.returncode == 78
    assert b"would change nothing" in broken.stderr


def test_a_first_run_writes_a_template(home: CommandLine) -> None:
    """There is nothing to run: it says what was written and what to do, and ends with 78."""
    done = home("run")

    assert done.returncode == 78
    assert "wrote a template to" in done.stderr.decode()
    assert (home.folder / "config/orchestrator/workers.yaml").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--slots", "2"], "--slots belongs to --local"),
        (["run", "--local", "--strict"], "--strict and --local do not go together"),
        (["run", "--local", "--config", "x"], "--config and --local do not go together"),
    ],
)
def test_an_option_that_would_not_be_looked_at_is_refused(
    home: CommandLine, words: list[str], told: str
) -> None:
    """Nobody is left to wonder why it does nothing."""
    done = home(*words)

    assert done.returncode == 2
    assert told in done.stderr.decode()


def test_a_run_of_a_broken_file_says_everything_and_starts_nothing(
    home: CommandLine, config: ConfigFolder
) -> None:
    """With the line, and what to do."""
    path = _write(config, config.worker(1, wrking_directory="x"))

    done = home("run", "--config", path)

    assert done.returncode == 78
    assert "did you mean 'working_directory'" in done.stderr.decode()
    assert "nothing was started" in done.stderr.decode()
