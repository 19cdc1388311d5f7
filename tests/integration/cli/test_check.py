"""`orchestrator check` and `orchestrator schema`, as people and programs call them."""

import json
from pathlib import Path

import pytest

from orchestrator.supervisor.config.model import File
from tests.integration.cli.commands import CommandLine
from tests.support.configs import ConfigFolder, token
from tests.support.fake_api import Asked, FakeApi, Reply, answer, problem

ASKED = "/api/worker/v1/files/" + "0" * 64


@pytest.fixture
def config(tmp_path: Path) -> ConfigFolder:
    """Give a private folder for a configuration."""
    home = tmp_path / "config"
    home.mkdir()
    return ConfigFolder(home)


def _write(config: ConfigFolder, *entries: str) -> str:
    config.private("workers.yaml", "version: 1\nworkers:\n" + "".join(entries))
    return str(config.path)


def test_a_good_file_is_told_so(cli: CommandLine, config: ConfigFolder) -> None:
    """One line, and 0; a file is also found by the variable."""
    path = _write(config, config.worker(1))

    named = cli("check", path)
    found = cli("check", env={"ORCHESTRATOR_CONFIG": path})

    assert (named.returncode, named.stderr) == (0, b"")
    assert named.stdout.decode() == f"{path}: nothing is wrong; 1 worker\n"
    assert found.stdout == named.stdout


def test_problems_are_told_as_compilers_do(cli: CommandLine, config: ConfigFolder) -> None:
    """Each with its place, its line and a caret; the last line sums up, and the code is 78."""
    path = _write(config, config.worker(1, working_directory="gone"), config.worker(2))

    result = cli("check", path)

    assert result.returncode == 78
    assert result.stdout.decode() == (
        f"{path}:5:24: there is no directory {config.home}/gone\n"
        "        working_directory: gone\n"
        "                           ^\n"
        f"  make it with: mkdir -p {config.home}/gone  – or say 'create_working_directory: true'\n"
        f"{path}: 1 error; 1 worker would run, 1 would wait until this is mended\n"
    )


def test_a_missing_file_is_a_problem(cli: CommandLine, tmp_path: Path) -> None:
    """It is told with its name, and is a mistake of configuration."""
    result = cli("check", str(tmp_path / "none.yaml"))

    assert result.returncode == 78
    assert b"none.yaml is not there" in result.stdout


def test_a_warning_is_no_error(cli: CommandLine, config: ConfigFolder) -> None:
    """What can wait is told, and the code is 0."""
    path = _write(config, config.worker(1, server_url="", convex_url="https://x.example.com"))

    result = cli("check", path)

    assert result.returncode == 0
    assert f"{path}: 1 warning; 1 worker\n" in result.stdout.decode()


def test_programs_read_json(cli: CommandLine, config: ConfigFolder) -> None:
    """Problems have codes and places, workers what would become of them, and nobody a secret."""
    path = _write(
        config,
        config.worker(1, env="{A: planted-secret}"),
        config.worker(2, token=token(2)[:-1], working_directry="x"),
        config.worker(3, token=token(3)[:-1]),
    )

    whole = cli("check", "--json", path)
    _write(config, config.worker(1), config.worker(3, token=token(3)[:-1]))
    document = json.loads(cli("check", "--json", path).stdout)

    assert whole.returncode == 78
    assert json.loads(whole.stdout)["problems"][0]["code"] == "unknown-key"
    assert b"planted" not in whole.stdout
    assert b"secret_" not in whole.stdout.replace(b"secret_\\u2026", b"")
    (wrong,) = document["problems"]
    assert wrong.pop("message").startswith("this is no worker's token")
    assert wrong.pop("hint")
    assert wrong == {
        "file": path,
        "line": 8,
        "column": 12,
        "level": "error",
        "code": "token",
        "see": None,
    }
    assert [(worker["name"], worker["state"]) for worker in document["workers"]] == [
        ("w1", "ok"),
        ("w3", "parked"),
    ]


def test_a_terminal_is_not_written_on(cli: CommandLine, config: ConfigFolder) -> None:
    """A file with control characters in its keys shows them, instead of doing what they say."""
    config.private("workers.yaml", '"ver\\e[2Jsion": 1\n')

    result = cli("check", str(config.path))

    assert b"\x1b" not in result.stdout
    assert b"unknown key" in result.stdout


class _Door:
    """A server that knows some tokens, and remembers what it was asked."""

    def __init__(self, fake: FakeApi, *known: str) -> None:
        self.known = {f"Worker {text}" for text in known}
        fake.on("GET", ASKED, *[self._answer] * 8)

    def _answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") not in self.known:
            return problem(401, "unauthenticated", "who are you?")
        return problem(404, "not_found", "there is no session")


def test_servers_are_asked_for_each_token(
    cli: CommandLine, fake: FakeApi, config: ConfigFolder
) -> None:
    """A token that its server does not know is a problem at its worker; nothing else is asked."""
    _Door(fake, token(1))
    url = {"server_url": fake.url}
    path = _write(config, config.worker(1, **url), config.worker(2, **url))

    result = cli("check", "--online", path)
    document = json.loads(cli("check", "--online", "--json", path).stdout)

    assert result.returncode == 78
    assert f"{path}:7:5: worker 'w2': the server does not know" in result.stdout.decode()
    assert [worker["online"] for worker in document["workers"]] == ["accepted", "refused"]
    assert {(asked.method, asked.path) for asked in fake.asked} == {("GET", ASKED)}


def test_a_server_that_is_gone_is_told_apart(
    cli: CommandLine, fake: FakeApi, config: ConfigFolder
) -> None:
    """Nothing is wrong with the file, so the code is that of an unreachable server."""
    _Door(fake, token(1))
    path = _write(
        config,
        config.worker(1, server_url=fake.url),
        config.worker(2, server_url="http://127.0.0.1:1"),
    )

    result = cli("check", "--online", path)

    assert result.returncode == 69
    assert b"nothing is wrong; 2 workers" in result.stdout
    assert b"worker 'w2'" in result.stderr


def test_what_is_no_orchestrator_accepts_nobody(
    cli: CommandLine, fake: FakeApi, config: ConfigFolder
) -> None:
    """A web server that says yes to everything, or no in its own words, is no server of ours."""
    fake.on("GET", ASKED, lambda _: answer({"hello": 1}))
    path = _write(config, config.worker(1, server_url=fake.url))

    result = cli("check", "--online", path)

    assert result.returncode == 69
    assert b"no orchestrator answers there" in result.stderr


def test_the_schema_describes_every_key(cli: CommandLine) -> None:
    """An editor learns every key with its meaning, and that no other one is allowed."""
    schema = json.loads(cli("schema").stdout)

    assert set(schema["properties"]) == set(File.model_fields)
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        for name, key in part["properties"].items():
            assert key.get("description") or "$ref" in key, name
            assert not isinstance(key.get("default"), float | dict), name
    assert schema["required"] == ["version"]
