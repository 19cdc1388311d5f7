"""Which files are read at all: regular ones that nobody else could have written or can read."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.supervisor.config.loader import load
from orchestrator.supervisor.config.location import locate
from orchestrator.supervisor.config.places import Folders, PathFault
from tests.support.configs import URL, ConfigFolder, token, words
from tests.support.needs import needs_root

EMBEDDED = "version: 1\nserver: {embedded: true}\n"


def _told(config: ConfigFolder, path: Path) -> str:
    loaded = load(path, config.environ)
    assert loaded.wanted is None
    assert loaded.digest == ""
    return words(loaded)


def test_a_missing_file_is_told_by_its_name(config: ConfigFolder) -> None:
    """That there is no file is a problem like any other, and known by its code."""
    loaded = load(config.path, config.environ)

    assert [problem.code for problem in loaded.problems] == ["missing"]
    assert str(loaded.problems[0]) == f"{config.path}:1:1: {config.path} is not there"
    assert "orchestrator init" in words(loaded)


def test_what_is_no_regular_file_is_refused_at_once(config: ConfigFolder) -> None:
    """A directory, a pipe that nobody writes into and a device end nothing and block nothing."""
    pipe = config.home / "pipe"
    os.mkfifo(pipe, 0o600)

    assert f"{config.home} is a directory" in _told(config, config.home)
    assert f"{pipe} is a pipe" in _told(config, pipe)
    assert "/dev/null is a device" in _told(config, Path("/dev/null"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_file_says_how_to_begin(config: ConfigFolder, content: bytes) -> None:
    """A file without anything in it is told from one with a mistake."""
    told = words(config.load(content))

    assert "1:1: there is nothing in this file" in told
    assert "orchestrator init" in told


def test_a_file_with_a_token_is_for_its_owner_alone(config: ConfigFolder) -> None:
    """Who can read a token is a worker; the command that ends it is told, and the file refused."""
    text = "version: 1\nworkers:\n" + config.worker(1)

    loaded = config.load(text, mode=0o640)

    assert loaded.wanted is None
    assert [(problem.place.line, problem.code) for problem in loaded.problems] == [(4, "mode")]
    assert f"close it with: chmod 600 {config.path}" in words(loaded)
    assert config.load(text, mode=0o400).ok


def test_a_file_with_another_secret_is_for_its_owner_as_well(config: ConfigFolder) -> None:
    """A variable whose name says that it is secret counts like a token, also for all workers."""
    config.private("tokens/web", token(1))
    worker = config.worker(1, token="${file:tokens/web}", env="{A: x, DB_PASSWORD: planted-1}")
    for text in (
        "version: 1\nworkers:\n" + worker,
        "version: 1\nserver: {}\ndefaults: {env: {api_key: planted-1}}\n",
    ):
        loaded = config.load(text, mode=0o644)

        assert [problem.code for problem in loaded.problems] == ["mode"]
        assert "it holds the secret" in words(loaded)
        assert "planted" not in words(loaded)
        assert config.load(text, mode=0o600).ok
    assert "planted-1" in config.load("version: 1\nworkers:\n" + worker).secrets


def test_a_file_without_a_token_may_be_read_by_others(config: ConfigFolder) -> None:
    """References are no secrets, so a configuration that has only them may be shared."""
    config.private("tokens/web", token(1))

    loaded = config.load(
        "version: 1\nworkers:\n" + config.worker(1, token="${file:tokens/web}"), mode=0o644
    )

    assert loaded.ok


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(config: ConfigFolder, mode: int) -> None:
    """Whoever writes the configuration runs programs here, so only its owner may."""
    told = words(config.load(EMBEDDED, mode=mode))

    assert f"other users can write {config.path}" in told
    assert f"chmod 600 {config.path}" in told


def test_a_folder_in_which_everybody_writes_is_refused(config: ConfigFolder) -> None:
    """A file that everybody can replace is as good as one that everybody can write."""
    config.home.chmod(0o777)
    told = words(config.load(EMBEDDED))
    config.home.chmod(0o1777)

    assert f"everybody can replace {config.path}" in told
    assert config.load(EMBEDDED).ok


@needs_root("can give a file away")
def test_a_file_of_somebody_else_is_refused(config: ConfigFolder) -> None:
    """Nobody runs what another user wrote."""
    config.private("workers.yaml", EMBEDDED)
    os.chown(config.path, 12_345, -1)

    told = words(load(config.path, config.environ))

    assert "belongs to user 12345, and this runs as 0" in told
    assert f"chown 0 {config.path}" in told


def test_a_link_to_a_file_elsewhere_is_followed(config: ConfigFolder) -> None:
    """Who keeps settings in another folder links to them; paths stay relative to the link."""
    elsewhere = config.home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    config.private("elsewhere/mine.yaml", "version: 1\nworkers:\n" + config.worker(1))
    config.path.symlink_to(elsewhere / "mine.yaml")

    loaded = load(config.path, config.environ)

    assert loaded.ok
    assert loaded.wanted is not None
    assert loaded.wanted.workers[0].working_directory == config.home / "web"


def test_a_link_into_a_folder_of_everybody_is_refused(config: ConfigFolder) -> None:
    """What counts is where the file is, and not by which name it was reached."""
    elsewhere = config.home / "elsewhere"
    elsewhere.mkdir()
    config.private("elsewhere/mine.yaml", EMBEDDED)
    elsewhere.chmod(0o777)
    config.path.symlink_to(elsewhere / "mine.yaml")

    assert "everybody can replace" in words(load(config.path, config.environ))


def test_the_file_is_looked_for_where_it_is_told(config: ConfigFolder) -> None:
    """What is said on the command line counts most, then the variable, then custom."""
    home = {"HOME": str(config.home)}
    usual = config.home / ".config/orchestrator"

    assert locate(Path("/a/b"), {"ORCHESTRATOR_CONFIG": "/c"}) == Path("/a/b")
    assert locate(None, {**home, "ORCHESTRATOR_CONFIG": "/c/d.yaml"}) == Path("/c/d.yaml")
    assert locate(None, {**home, "XDG_CONFIG_HOME": "/x"}) == Path("/x/orchestrator/workers.yaml")
    assert locate(None, home) == usual / "workers.yaml"


def test_a_user_without_a_home_is_told_what_to_set(
    config: ConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user of a container may have neither an entry nor a variable; absolute paths need none."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000 - 1)
    homeless = Folders(config.home, {})

    assert homeless.path("/srv/web") == Path("/srv/web")
    with pytest.raises(PathFault, match="has no home: set HOME"):
        homeless.path("~/web")
    with pytest.raises(ConfigInvalid, match="has no home: set HOME"):
        locate(None, {})


def test_an_older_file_is_taken_while_it_is_alone(config: ConfigFolder) -> None:
    """A `workers.json` in the usual folder works until there is a `workers.yaml` beside it."""
    usual = config.home / ".config/orchestrator"
    usual.mkdir(parents=True)
    (usual / "workers.json").write_text("{}")

    before = locate(None, {"HOME": str(config.home)})
    (usual / "workers.yaml").write_text("")

    assert before == usual / "workers.json"
    assert locate(None, {"HOME": str(config.home)}) == usual / "workers.yaml"


def test_the_file_of_an_older_system_is_loaded_as_it_is(config: ConfigFolder) -> None:
    """It has no version and an old name for the server; both are warned of, and it runs."""
    config.path = config.home / "workers.json"
    worker = {"token": token(1), "working_directory": "web", "convex_url": URL}

    loaded = config.load(json.dumps({"workers": [worker]}, indent=2))

    assert loaded.ok, words(loaded)
    assert loaded.wanted is not None
    assert loaded.wanted.workers[0].identity.server_url == URL
    assert [problem.code for problem in loaded.problems] == ["no-version", "deprecated"]


def test_json_is_read_with_its_own_rules(config: ConfigFolder) -> None:
    """All escapes of JSON are understood, and what is no JSON is told with its place."""
    config.path = config.home / "workers.json"
    worker = f'{{"token": "{token(1)}", "working_directory": "web", "name": "a"'
    url = URL.replace("/", "\\/")
    text = f'{{"version": 1, "machine": {{"name": "\\ud83d\\ude80"}},\n"workers": [\n{worker},\n'

    loaded = config.load(f'{text}"server_url": "{url}"}}]}}')

    assert loaded.ok, words(loaded)
    assert loaded.wanted is not None
    assert loaded.wanted.name == "\N{ROCKET}"
    assert loaded.wanted.workers[0].identity.server_url == URL
    assert f"{config.path}:4:1: this is not JSON" in words(config.load(text + "server_url: 1}]}"))
