"""Which server is called: files and variables, and what is said when there are none."""

import json
from pathlib import Path

import pytest

from orchestrator.client.connection import Connection, find
from orchestrator.kernel.errors import ConfigInvalid, OrchestratorError, ServerUnreachable

HERE = "http://127.0.0.1:8700"
KEY = "pak_local"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the connection file that a local server left, with its key."""
    key = tmp_path / "admin.key"
    key.write_text(f"{KEY}\n")
    key.chmod(0o600)
    path = tmp_path / "connection.json"
    path.write_text(json.dumps({"url": HERE, "api_key_file": str(key)}))
    path.chmod(0o600)
    return path


def _env(url: str = "", key: str = "") -> dict[str, str]:
    return {"ORCHESTRATOR_URL": url, "ORCHESTRATOR_API_KEY": key}


def test_the_local_server_is_found_without_any_words(file: Path) -> None:
    """Nothing typed by hand on the machine that runs it."""
    assert find({}, file) == Connection(HERE, KEY)


def test_the_environment_comes_first(file: Path, tmp_path: Path) -> None:
    """Both variables together need no file at all."""
    given = _env("https://control.example.com", "pak_other")

    assert find(given, file) == Connection("https://control.example.com", "pak_other")
    assert find(given, tmp_path / "none") == Connection("https://control.example.com", "pak_other")


def test_one_variable_is_completed_by_the_local_server(file: Path) -> None:
    """Another key for the local server, or its own address said out loud."""
    assert find(_env(key="pak_other"), file) == Connection(HERE, "pak_other")
    assert find(_env(url=f"{HERE}/"), file) == Connection(HERE, KEY)


def test_the_local_key_is_never_sent_elsewhere(file: Path) -> None:
    """An address of somebody else without a key is refused, and says which key is missing."""
    with pytest.raises(ConfigInvalid, match="no key for it") as refused:
        find(_env(url="http://user:hunter2@elsewhere:8700"), file)

    assert "ORCHESTRATOR_API_KEY" in (refused.value.hint or "")
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    ("env", "kind", "words"),
    [
        (_env(), ServerUnreachable, "no server is known"),
        (_env(url=HERE), ConfigInvalid, "ORCHESTRATOR_API_KEY is not"),
        (_env(key=KEY), ConfigInvalid, "ORCHESTRATOR_URL is not"),
    ],
)
def test_without_a_server_it_says_how_to_get_one(
    tmp_path: Path, env: dict[str, str], kind: type[OrchestratorError], words: str
) -> None:
    """The refusal names what is missing, how to start a server, and how to name one."""
    with pytest.raises(kind, match=words) as refused:
        find(env, tmp_path / "none")

    hint = refused.value.hint or ""
    assert "orchestrator run --local" in hint
    assert "ORCHESTRATOR_URL" in hint
    assert KEY not in refused.value.message + hint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": "x"}', "null"])
def test_a_damaged_connection_file_is_named(file: Path, text: str) -> None:
    """The refusal says which file, and how it is made again."""
    file.write_text(text)

    with pytest.raises(ConfigInvalid, match=r"connection\.json") as refused:
        find({}, file)

    assert "run --local" in (refused.value.hint or "")


def test_a_key_that_is_gone_is_named(file: Path) -> None:
    """The data directory was removed, and the connection file was not."""
    (file.parent / "admin.key").unlink()

    with pytest.raises(ConfigInvalid, match=r"admin\.key is gone"):
        find({}, file)


@pytest.mark.parametrize("name", ["admin.key", "connection.json"])
def test_a_file_that_others_can_read_is_refused(file: Path, name: str) -> None:
    """A key that others may have read, or an address that others may have written, is not used."""
    (file.parent / name).chmod(0o644)

    with pytest.raises(ConfigInvalid, match="open to other users") as refused:
        find({}, file)

    assert "chmod 600" in (refused.value.hint or "")


def test_what_is_no_file_is_not_read(file: Path) -> None:
    """A folder in the key's place is told, not waited for."""
    key = file.parent / "admin.key"
    key.unlink()
    key.mkdir()

    with pytest.raises(ConfigInvalid, match=r"admin\.key"):
        find({}, file)


def test_a_connection_does_not_show_its_key(file: Path) -> None:
    """A connection can be printed."""
    assert KEY not in repr(find({}, file))
