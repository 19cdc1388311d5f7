"""`orchestrator add`, `remove`, `set` and `unset`, as people call them."""

import stat
from pathlib import Path

import pytest

from tests.integration.cli.commands import CommandLine
from tests.support.configs import ConfigFolder, token


@pytest.fixture
def config(tmp_path: Path) -> ConfigFolder:
    """Give a private folder with a configuration of one worker."""
    home = tmp_path / "config"
    home.mkdir()
    config = ConfigFolder(home)
    config.private("workers.yaml", "# mine\nversion: 1\nworkers:\n" + config.worker(1))
    return config


def test_what_changes_is_shown_and_saved(cli: CommandLine, config: ConfigFolder) -> None:
    """The difference on standard output, what was done on standard error."""
    env = {"ORCHESTRATOR_CONFIG": str(config.path)}
    before = config.path.read_text()

    looked = cli("set", "w1.concurrency", "2", "--dry-run", env=env)
    assert config.path.read_text() == before
    done = cli("set", "w1.concurrency", "2", env=env)

    assert looked.stdout == done.stdout
    assert "+    concurrency: 2\n" in done.stdout.decode()
    assert token(1) not in done.stdout.decode()
    assert done.stderr.decode() == f"orchestrator: saved {config.path}\n"
    assert config.path.read_text() == before + "    concurrency: 2\n"
    assert stat.S_IMODE(config.path.stat().st_mode) == 0o600
    again = cli("set", "w1.concurrency", "2", env=env)
    assert (again.stdout, b"nothing changes" in again.stderr) == (b"", True)
    assert cli("unset", "w1.concurrency", env=env).returncode == 0
    assert config.path.read_text() == before


def test_a_worker_comes_with_its_token_and_goes(cli: CommandLine, config: ConfigFolder) -> None:
    """The token is read, kept in a file of its own, and never an argument."""
    before = config.path.read_text()
    words = ["--directory", "web", "--server-url", "https://control.example.com", "--concurrency=2"]
    path = ["--config", str(config.path)]

    typed = cli("add", "shop", *words, *path, "--token", token(2))
    assert (typed.returncode, b"--token-stdin" in typed.stderr) == (2, True)
    bad = cli("add", "shop", *words, *path, "--token-stdin", stdin=b"nonsense\n")
    assert (bad.returncode, (config.home / "tokens/shop").exists()) == (78, False)
    added = cli("add", "shop", *words, *path, "--token-stdin", stdin=f"{token(2)}\n".encode())

    assert added.returncode == 0, added.stderr
    assert (config.home / "tokens/shop").read_text() == f"{token(2)}\n"
    assert "    token: ${file:tokens/shop}\n" in config.path.read_text()
    assert cli("check", str(config.path)).returncode == 0
    assert cli("remove", "shop", *path).returncode == 0
    assert config.path.read_text() == before


def test_what_would_break_it_is_refused(cli: CommandLine, config: ConfigFolder) -> None:
    """With the line as it would be, and 78; the file is as it was."""
    before = config.path.read_text()

    done = cli("set", "w1.concurency", "2", "--config", str(config.path))

    assert done.returncode == 78
    told = done.stderr.decode()
    assert "workers.yaml:8:5: unknown key 'concurency' in worker 'w1'" in told
    assert "is unchanged" in told
    assert config.path.read_text() == before
