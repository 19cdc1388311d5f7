"""`orchestrator init`: a first configuration, by asking, from an older system, or as a template."""

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.commands import CommandLine
from tests.integration.cli.real import RealServer
from tests.support.configs import token
from tests.support.conversation import Conversation
from tests.support.fake_api import FakeApi, problem

SUGGESTION = re.compile(r"^#(?! \S)", re.MULTILINE)
"""What stands before a line that may be used; words for people begin with one space."""
ASKED = "/api/worker/v1/files/" + "0" * 64
pytestmark = pytest.mark.timeout(60)  # a program is started for every question of some tests


@pytest.fixture
def home(cli: CommandLine) -> CommandLine:
    """Give a command line of somebody who has no configuration yet."""
    return CommandLine(
        cli.folder, {"XDG_CONFIG_HOME": str(cli.folder / "config"), "LANG": "C.UTF-8"}
    )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_terminal_a_template_is_written(home: CommandLine) -> None:
    """Everything in it is a comment, it is private, and three steps say what to do."""
    path = home.folder / "config/orchestrator/workers.yaml"

    done = home("init")

    assert done.returncode == 0
    assert _mode(path) == 0o600
    assert _mode(path.parent) == 0o700
    told = done.stderr.decode()
    assert f"wrote a template to {path}" in told
    assert [line.strip()[:2] for line in told.splitlines()[1:]] == ["1.", "2.", "3."]
    schema = json.loads((path.parent / "workers.schema.json").read_text())
    assert path.read_text().startswith("# yaml-language-server: $schema=./workers.schema.json\n")
    assert schema["title"]
    assert home("check").stdout.startswith(f"{path}:1:1: there is nothing to run".encode())


def test_a_first_run_writes_a_template_and_ends(home: CommandLine) -> None:
    """Nothing is started (78), three steps say what to do; a second run says what is missing."""
    path = home.folder / "config/orchestrator/workers.yaml"

    first = home("run")
    second = home("run")

    assert (first.returncode, second.returncode) == (78, 78)
    assert f"there is no configuration yet ({path})" in first.stderr.decode()
    assert b"  3. orchestrator check" in first.stderr
    assert _mode(path) == 0o600
    assert f"{path}:1:1: there is nothing to run in this file" in second.stderr.decode()


def test_the_template_works_when_its_comments_are_taken_away(home: CommandLine) -> None:
    """Every line that is a suggestion is a right one."""
    home("init")
    path = home.folder / "config/orchestrator/workers.yaml"
    path.write_text(SUGGESTION.sub("", path.read_text()))
    (path.parent / "tokens").mkdir()
    (path.parent / "tokens/web").write_text(token(1))
    (path.parent / "tokens/web").chmod(0o600)
    project = Path(home.environment()["HOME"]) / "Projects/web"
    project.mkdir(parents=True)

    done = home("check")

    assert done.stdout.decode() == f"{path}: nothing is wrong; 1 worker\n"


def test_nothing_is_replaced(home: CommandLine) -> None:
    """A file that is there stays as it is, also where it leads nowhere."""
    home("init", "mine.yaml")
    before = (home.folder / "mine.yaml").read_text()
    (home.folder / "link.yaml").symlink_to("nowhere")

    again = home("init", "mine.yaml")
    link = home("init", "link.yaml")

    assert (again.returncode, link.returncode) == (1, 1)
    assert b"mine.yaml is already there" in again.stderr
    assert (home.folder / "mine.yaml").read_text() == before
    assert not (home.folder / "nowhere").exists()
    assert not list(home.folder.glob(".*yaml*"))


def test_a_folder_that_cannot_be_written_is_told(home: CommandLine) -> None:
    """What is in the way has its name in the message."""
    (home.folder / "file").write_text("")

    done = home("init", "file/workers.yaml")

    assert done.returncode == 73
    assert b"is not a folder" in done.stderr


def test_an_older_file_is_converted(home: CommandLine) -> None:
    """Tokens go into files of their own, names come from the directories, and the result works."""
    (home.folder / "web").mkdir()
    (home.folder / "Büro 3").mkdir()
    old = home.folder / "workers.json"
    entries = [
        {"token": token(1), "working_directory": "web", "convex_url": "https://x.example.com"},
        {
            "token": token(2),
            "working_directory": str(home.folder / "Büro 3"),
            "server_url": "https://y",
        },
    ]
    old.write_text(json.dumps({"workers": entries}))
    old.chmod(0o600)
    before = old.read_bytes()

    done = home("init", "--import", "workers.json", "new/workers.yaml")

    assert (done.returncode, done.stdout) == (0, b""), done
    new = home.folder / "new"
    assert "secret_" not in (new / "workers.yaml").read_text()
    assert (new / "tokens/web").read_text() == token(1) + "\n"
    assert _mode(new / "tokens/b-ro-3") == 0o600
    assert old.read_bytes() == before
    checked = json.loads(home("check", "--json", "new/workers.yaml").stdout)
    assert [worker["name"] for worker in checked["workers"]] == ["web", "b-ro-3"]
    assert checked["problems"] == []


def test_a_placeholder_is_told_after_a_conversion(home: CommandLine) -> None:
    """What could not become a token file is in the new file, with its line and what to do."""
    entries = [{"token": "machine_abc:worker_def:secret_xyz", "working_directory": ".",
                "convex_url": "https://x.example.com"}]  # fmt: skip
    (home.folder / "workers.json").write_text(json.dumps({"workers": entries}))

    done = home("init", "--import", "workers.json")

    path = home.folder / "config/orchestrator/workers.yaml"
    assert done.returncode == 78
    assert f"{path}:5:12: this token is a placeholder" in done.stdout.decode()
    assert b"mend this, look again" in done.stderr


def test_a_dotenv_is_converted(home: CommandLine) -> None:
    """The file of `worker dev` becomes one worker for the folder in which it is."""
    env = home.folder / ".env"
    env.write_text(
        f"CONVEX_URL=https://x.example.com\nWORKER_TOKEN={token(1)}\nAGENT_ID=Oak One\n"
        "WORKER_TAGS=a, b\nWORKER_CONCURRENCY=3\nPOLL_INTERVAL=5\n"
    )
    env.chmod(0o600)

    done = home("init", "--import", ".env")

    assert done.returncode == 0, done
    text = (home.folder / "config/orchestrator/workers.yaml").read_text()
    assert "  - name: oak-one\n" in text
    assert f"working_directory: {home.folder}\n" in text
    assert 'tags: ["a", "b"]\n    concurrency: 3\n' in text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "workers.json:1:2: this is not JSON"),
        ("[]", "has no list of workers in it"),
        ('{"workers": []}', "has no list of workers in it"),
        ('{"workers": [1]}', "worker 1 is not an object"),
        ('{"workers": [{"tokn": "x"}]}', "worker 1 has an unknown key 'tokn'"),
        ('{"workers": [{"token": 5}]}', "token of worker 1 is no text"),
        ('{"workers": [{}], "workers": []}', "is here a second time"),
        ("", "workers.json:1:1: empty"),
    ],
)
def test_what_cannot_be_converted_is_told(home: CommandLine, content: str, told: str) -> None:
    """Nothing is written, and what is wrong with the older file is said."""
    (home.folder / "workers.json").write_text(content)

    done = home("init", "--import", "workers.json")

    assert done.returncode == 78
    assert told in done.stderr.decode()
    assert not (home.folder / "config").exists()


def test_a_person_is_asked_and_the_answers_are_tried(
    home: CommandLine, fake: FakeApi, tmp_path: Path
) -> None:
    """A wrong directory, address or token is asked for again; what is written works."""
    fake.on(
        "GET",
        ASKED,
        problem(401, "unauthenticated", "who are you?"),
        problem(404, "not_found", "there is no session"),
    )
    project = tmp_path / "Pro Ject"
    project.mkdir()
    secret = token(1)

    with Conversation(home, "init") as talk:
        talk.answer("Directory", "/no/such/place")
        talk.answer("there is no directory", "~nobody_of_that_name")
        talk.answer("nobody is at home", "x" * 300)
        talk.answer("cannot be looked at", str(project))
        talk.answer("Name of the worker [pro-ject]", "Bad Name")
        talk.answer("such as bad-name", "")
        talk.answer("Address of the server", "ftp://x")
        talk.answer("it must begin with http", fake.url)
        talk.answer("Worker's token", "nonsense")
        talk.answer("this is no worker's token", token(2))
        talk.answer("does not know this token", secret)
        talk.expect("is ready to run")
        assert talk.end() == 0

    assert secret not in talk.seen
    assert token(2) not in talk.seen
    folder = home.folder / "config/orchestrator"
    assert (folder / "tokens/pro-ject").read_text() == secret + "\n"
    checked = json.loads(home("check", "--online", "--json").stdout)
    assert checked["problems"] == []
    assert checked["workers"][0]["online"] == "accepted"
    assert _mode(folder / "workers.yaml") == 0o600


def test_who_leaves_has_written_nothing(home: CommandLine) -> None:
    """Ctrl-C in the middle is 130, and there is no file."""
    with Conversation(home, "init") as talk:
        talk.answer("Directory", "")
        talk.expect("Name of the worker")
        assert talk.leave() == 130

    assert not (home.folder / "config").exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    """Give a real server."""
    folder = tmp_path / "server"
    folder.mkdir()
    real = RealServer(folder)
    real.start()
    yield real
    real.stop()


def test_a_key_enrols_the_worker(home: CommandLine, server: RealServer) -> None:
    """With a key instead of a token the worker is made known, and the server knows its token."""
    with Conversation(home, "init") as talk:
        talk.answer("Directory", "")
        talk.answer("Name", "oak")
        talk.answer("Address", server.url)
        talk.answer("Worker's token", server.key("enrol"))
        talk.expect("is ready to run")
        assert talk.end() == 0

    checked = json.loads(home("check", "--online", "--json").stdout)
    assert [worker["online"] for worker in checked["workers"]] == ["accepted"]
    path = home.folder / "config/orchestrator/tokens/oak"
    path.write_text(token(9) + "\n")
    assert home("check", "--online").returncode == 78
    assert os.environ.get("ORCHESTRATOR_CONFIG") is None


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("version: 1\nwokers: []\n", ("--config", "x.yaml")),
        ("", ("--local", "--listen", "0.0.0.0:1")),
    ],
)
def test_a_start_that_is_refused_leaves_nothing(
    home: CommandLine, text: str, arguments: tuple[str, ...]
) -> None:
    """No folder for data that there is none of; what is wrong is told line by line."""
    before = sorted(home.folder.rglob("*"))
    path = home.folder / "x.yaml"
    path.write_text(text)
    path.chmod(0o600)

    done = home("run", *(str(path) if word == "x.yaml" else word for word in arguments))

    assert done.returncode != 0
    words = [line for line in done.stderr.splitlines() if not line.startswith(b"{")]
    assert b"\\n" not in b"".join(words)
    path.unlink()
    assert sorted(home.folder.rglob("*")) == before
