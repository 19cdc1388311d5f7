"""`orchestrator add`, `remove`, `set` and `unset`, as people call them."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.integration.cli.commands import TIMEOUT_S, CommandLine
from tests.support.configs import ConfigFolder, token
from tests.support.needs import needs_root
from tests.support.processes import plain_user


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


def _adding(config: ConfigFolder, name: str = "shop") -> tuple[str, ...]:
    server = ("--server-url", "https://control.example.com")
    return ("add", name, "--directory=web", *server, f"--config={config.path}", "--token-stdin")


def test_what_a_token_would_come_to_is_shown_before(cli: CommandLine, config: ConfigFolder) -> None:
    """It is judged as if it were kept already, and is not kept."""
    before = config.path.read_text()

    done = cli(*_adding(config), "--dry-run", stdin=token(2).encode())
    twin = cli(*_adding(config), "--dry-run", stdin=token(1).encode())
    broken = cli(*_adding(config), "--dry-run", stdin=b"nonsense: [\n")

    assert done.returncode == 0, done.stderr
    assert "+    token: ${file:tokens/shop}\n" in done.stdout.decode()
    assert (twin.returncode, b"the token of another worker" in twin.stderr) == (78, True)
    assert (broken.returncode, b"no worker's token" in broken.stderr) == (78, True)
    assert token(2) not in done.stdout.decode() + done.stderr.decode()
    assert config.path.read_text() == before
    assert not (config.home / "tokens").exists()


@pytest.mark.parametrize("name", ["../shop", "/shop", "Shop", ".."])
def test_what_is_no_name_leads_nowhere(cli: CommandLine, config: ConfigFolder, name: str) -> None:
    """It is refused before anything is looked for, or kept, under it."""
    done = cli(*_adding(config, name), stdin=token(2).encode())

    assert (done.returncode, b"this is no name of a worker" in done.stderr) == (78, True)
    assert {one.name for one in config.home.iterdir()} == {"web", "workers.yaml"}


def test_a_token_stays_that_the_saved_file_refers_to(
    cli: CommandLine, config: ConfigFolder
) -> None:
    """Whatever goes wrong after the file was replaced, here that nobody hears that it was."""
    with Path("/dev/full").open("wb") as full:
        adding = cli.start(
            *_adding(config), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=full
        )
        adding.communicate(token(2).encode(), timeout=TIMEOUT_S)

    assert "    token: ${file:tokens/shop}\n" in config.path.read_text()
    assert (config.home / "tokens/shop").read_text() == f"{token(2)}\n"


def test_a_token_goes_if_the_file_was_not_replaced(cli: CommandLine, config: ConfigFolder) -> None:
    """Nobody refers to it, and the next try keeps it anew."""
    before = config.path.read_text()

    with Path("/dev/full").open("wb") as full:
        adding = cli.start(
            *_adding(config), stdin=subprocess.PIPE, stdout=full, stderr=subprocess.PIPE
        )
        adding.communicate(token(2).encode(), timeout=TIMEOUT_S)

    assert adding.returncode != 0
    assert config.path.read_text() == before
    assert list((config.home / "tokens").iterdir()) == []


@needs_root("can give a file to any group")
def test_what_cannot_be_given_back_is_edited_by_hand(
    cli: CommandLine, config: ConfigFolder
) -> None:
    """A new file would not be of the group through which somebody reads the old one."""
    before = config.path.read_text()
    os.chown(config.path, -1, 4242)
    cli.program = (*plain_user(), *cli.program)

    done = cli("set", "w1.concurrency", "2", "--config", str(config.path))

    assert (done.returncode, b"edit the file yourself" in done.stderr) == (1, True)
    assert config.path.read_text() == before
    assert {one.name for one in config.home.iterdir()} == {"web", "workers.yaml"}
