"""Which server is called: files and variables, and what is said when there are none."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.client.connection import Connection, find
from orchestrator.kernel import linux
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
    assert find({}, [file]) == Connection(HERE, KEY)


def test_the_environment_comes_first(file: Path, tmp_path: Path) -> None:
    """Both variables together need no file at all."""
    given = _env("https://control.example.com", "pak_other")

    assert find(given, [file]) == Connection("https://control.example.com", "pak_other")
    assert find(given, [tmp_path / "none"]) == Connection(
        "https://control.example.com", "pak_other"
    )


def test_one_variable_is_completed_by_the_local_server(file: Path) -> None:
    """Another key for the local server, or its own address said out loud."""
    assert find(_env(key="pak_other"), [file]) == Connection(HERE, "pak_other")
    assert find(_env(url=f"{HERE}/"), [file]) == Connection(HERE, KEY)


def test_the_local_key_is_never_sent_elsewhere(file: Path) -> None:
    """An address of somebody else without a key is refused, and says which key is missing."""
    with pytest.raises(ConfigInvalid, match="no key for it") as refused:
        find(_env(url="http://elsewhere:8700"), [file])

    assert "ORCHESTRATOR_API_KEY" in (refused.value.hint or "")


def test_a_password_in_an_address_is_refused_and_not_repeated(file: Path) -> None:
    """It would be sent nowhere, and is not shown."""
    with pytest.raises(ConfigInvalid, match="holds a user name or password") as refused:
        find(_env(url="http://user:hunter2@elsewhere:8700"), [file])

    assert "hunter2" not in refused.value.message + (refused.value.hint or "")


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
        find(env, [tmp_path / "none"])

    hint = refused.value.hint or ""
    assert "orchestrator run --local" in hint
    assert "ORCHESTRATOR_URL" in hint
    assert KEY not in refused.value.message + hint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": "x"}', "null"])
def test_a_damaged_connection_file_is_named(file: Path, text: str) -> None:
    """The refusal says which file, and how it is made again."""
    file.write_text(text)

    with pytest.raises(ConfigInvalid, match=r"connection\.json") as refused:
        find({}, [file])

    assert "run --local" in (refused.value.hint or "")


def test_a_key_that_is_gone_is_named(file: Path) -> None:
    """The data directory was removed, and the connection file was not."""
    (file.parent / "admin.key").unlink()

    with pytest.raises(ConfigInvalid, match=r"admin\.key is gone"):
        find({}, [file])


@pytest.mark.parametrize("name", ["admin.key", "connection.json"])
def test_a_file_that_others_can_read_is_refused(file: Path, name: str) -> None:
    """A key that others may have read, or an address that others may have written, is not used."""
    (file.parent / name).chmod(0o644)

    with pytest.raises(ConfigInvalid, match="open to other users") as refused:
        find({}, [file])

    assert "chmod 600" in (refused.value.hint or "")


def test_what_is_no_file_is_not_read(file: Path) -> None:
    """A folder in the key's place is told, not waited for."""
    key = file.parent / "admin.key"
    key.unlink()
    key.mkdir()

    with pytest.raises(ConfigInvalid, match=r"admin\.key"):
        find({}, [file])


def test_a_connection_does_not_show_its_key(file: Path) -> None:
    """A connection can be printed."""
    assert KEY not in repr(find({}, [file]))


def _another(
    file: Path, name: str, *, pid: int, url: str = "http://127.0.0.1:9000", **more: object
) -> Path:
    """Return the connection file of another data directory."""
    key = file.parent / f"{name}.key"
    key.write_text(f"pak_{name}\n")
    key.chmod(0o600)
    path = file.parent / f"{name}.json"
    known = {"url": url, "api_key_file": str(key), "data_dir": f"/data/{name}", "pid": pid}
    path.write_text(json.dumps(known | more))
    path.chmod(0o600)
    return path


@pytest.fixture
def dead() -> int:
    """Give a pid that nobody has any more."""
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    return process.pid


def test_of_several_data_directories_the_usual_one_is_meant(file: Path) -> None:
    """Another installation that runs beside it takes nothing over."""
    other = _another(file, "other", pid=os.getpid())

    assert find({}, [file, other]) == Connection(HERE, KEY)


def test_the_only_one_that_runs_is_found(file: Path, tmp_path: Path, dead: int) -> None:
    """Whatever its data directory, and whatever ran before."""
    file.unlink()
    stale, other = _another(file, "stale", pid=dead), _another(file, "other", pid=os.getpid())

    found = find({}, [tmp_path / "none", stale, other])

    assert found == Connection("http://127.0.0.1:9000", "pak_other")


def test_a_pid_that_is_used_again_is_no_sign_of_life(file: Path, tmp_path: Path) -> None:
    """A run is its pid, when that began, and since which boot: its file may be older than all."""
    began, boot = linux.start_time(os.getpid()), linux.boot_id()
    assert began is not None
    alive = _another(file, "alive", pid=os.getpid(), started=began, boot=boot)
    reused = _another(file, "reused", pid=os.getpid(), started=began - 1, boot=boot)
    before = _another(file, "before", pid=os.getpid(), started=began, boot="another")

    assert find({}, [tmp_path / "none", before, reused, alive]).credential == "pak_alive"
    with pytest.raises(ServerUnreachable, match="does not run any more"):
        find({}, [tmp_path / "none", before, reused])


def test_a_damaged_file_of_another_run_hides_no_server(file: Path, tmp_path: Path) -> None:
    """It is told only when nothing else is found: it may be the one that is meant."""
    other = _another(file, "other", pid=os.getpid())
    damaged = _another(file, "damaged", pid=os.getpid())
    damaged.write_text("{")

    assert find({}, [file, damaged]).credential == KEY
    assert find(_env(url=HERE), [file, damaged]).credential == KEY
    assert find({}, [tmp_path / "none", damaged, other]).credential == "pak_other"
    with pytest.raises(ConfigInvalid, match=r"damaged\.json"):
        find({}, [tmp_path / "none", damaged])

    file.write_text("{")
    with pytest.raises(ConfigInvalid, match=r"connection\.json"):
        find({}, [file, other])


def test_what_has_ended_is_told_as_such(file: Path, tmp_path: Path, dead: int) -> None:
    """Where it was, which data it had, and how it is started again."""
    stale = _another(file, "stale", pid=dead)

    with pytest.raises(ServerUnreachable, match="does not run any more") as refused:
        find({}, [tmp_path / "none", stale])

    assert "http://127.0.0.1:9000" in refused.value.message
    assert "--data-dir is /data/stale" in (refused.value.hint or "")


def test_of_several_others_one_has_to_be_named(file: Path, tmp_path: Path) -> None:
    """Both are listed, and the address alone is enough to say which."""
    one = _another(file, "one", pid=os.getpid())
    two = _another(file, "two", pid=os.getpid(), url="http://127.0.0.1:9001")
    files = [tmp_path / "none", one, two]

    with pytest.raises(ConfigInvalid, match="several orchestrators") as refused:
        find({}, files)

    assert "/data/one" in refused.value.message
    assert "/data/two" in refused.value.message
    assert find(_env(url="http://127.0.0.1:9001"), files).credential == "pak_two"


@pytest.mark.parametrize("url", ["127.0.0.1:8700", "ftp://here", "http://"])
def test_a_wrong_address_is_told_before_a_missing_key(tmp_path: Path, url: str) -> None:
    """A key would not help."""
    with pytest.raises(ConfigInvalid, match="the server's address"):
        find(_env(url=url), [tmp_path / "none"])
