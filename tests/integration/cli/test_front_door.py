"""Help, versions and mistakes: everything that needs no server."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.cli.commands import PROGRAM, CommandLine
from tests.support.fake_api import JOB_ID, KEY, FakeApi, Reply, answer, job, problem
from tests.support.needs import needs_root

HEAVY = {"httpx", "rich", "pydantic", "fastapi", "anyio", "asyncio", "uvicorn"}
LOOK = """
import json, sys
from orchestrator.cli import main
code = main(sys.argv[1:])
sys.stderr.write(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
GENEROUS_S = 1.0
"""Ten times what it takes, because a test machine does other things as well."""


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("jobs", "--help"),
        ("jobs", "submit", "--help"),
        ("jobs", "logs", "-h"),
        ("run", "--help"),
        ("server", "run", "--help"),
        ("workers", "list", "--help"),
    ],
)
def test_help_is_quick_because_it_imports_little(words: tuple[str, ...], tmp_path: Path) -> None:
    """Help and version load neither the HTTP client nor anything else that takes time."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *words], capture_output=True, check=True, cwd=tmp_path
    )

    code, modules = json.loads(done.stderr)
    assert code == 0
    assert HEAVY & set(modules) == set()
    assert done.stdout


def test_help_is_there_at_once(tmp_path: Path) -> None:
    """The best of three is far below what a person notices."""

    def taken() -> float:
        begun = time.monotonic()
        subprocess.run([*PROGRAM, "--help"], check=True, capture_output=True, cwd=tmp_path)
        return time.monotonic() - begun

    assert min(taken() for _ in range(3)) < GENEROUS_S


def test_the_version_is_one_line(cli: CommandLine) -> None:
    """Name and number, on standard output."""
    done = cli("--version")

    assert done.stdout.startswith(b"orchestrator 0.")
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("frobnicate",), "No such command 'frobnicate'"),
        (("jobs", "lis"), "Did you mean 'list'"),
        (("jobs", "show"), "Missing argument 'ID'"),
        (("jobs", "show", "x"), "'x' is no job id"),
        (("jobs", "list", "--state", "done"), "--state"),
        (("jobs", "list", "--limit", "0"), "--limit"),
        (("jobs", "submit"), "nothing to run"),
        (("jobs", "submit", "--env", "NOVALUE", "--", "true"), "NOVALUE=VALUE"),
        (("jobs", "submit", "--env", "=x", "--", "true"), "--env"),
        (("jobs", "submit", "--label", "x", "--", "true"), "--label"),
        (("jobs", "submit", "--timeout", "soon", "--", "true"), "'soon' is no duration"),
        (("jobs", "submit", "--retries", "100", "--", "true"), "--retries"),
        (("jobs", "submit", "--priority", "x", "--", "true"), "--priority"),
        (("jobs", "submit", "--priority", "101", "--", "true"), "--priority: 101"),
        (("jobs", "submit", "--wait", "--follow", "--", "true"), "exclude each other"),
        (("jobs", "submit", "--expires-at", "now", "--", "true"), "now is over before anything"),
        (("jobs", "submit", "--expires-at", "1/2", "--", "true"), "'1/2' is no moment"),
        (
            ("jobs", "submit", "--expires-at", "2h", "--start-within", "1h", "--", "true"),
            "--start-within and --expires-at exclude each other",
        ),
        (("jobs", "submit", "--exclude", "x", "--", "true"), "needs --upload"),
        (("jobs", "submit", "--upload", "/no/such", "--", "true"), "/no/such does not exist"),
        (("jobs", "submit", "--stdin", "/no/such", "--", "true"), "'/no/such' cannot be read"),
        (("jobs", "submit", "--idempotency-key", "a b", "--", "true"), "--idempotency-key"),
        (("jobs", "submit", "--kind", "delay", "--params", "{"), "--params is not JSON"),
        (("run", "--local", "--config", "x.yaml"), "--local"),
        (("run", "--local", "--listen", "8700"), "'8700' is no address"),
        (("run", "--local", "--slots", "0"), "--slots"),
        (("run", "--local", "--directory", "/no/such"), "--directory"),
        (("server", "run", "--listen", "x"), "'x' is no address"),
    ],
)
def test_a_mistake_ends_with_2_and_says_what_to_do(
    cli: CommandLine, fake: FakeApi, words: tuple[str, ...], said: str
) -> None:
    """The option, the value and the way out; no traceback, no data, no call to any server."""
    done = cli(*words)

    told = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in told
    assert told.startswith("orchestrator: ")
    assert "Traceback" not in told
    assert fake.asked == []


def test_no_server_at_all_is_69_and_says_how_to_start_one(tmp_path: Path) -> None:
    """Neither variables nor a local server: the first words a new user may read."""
    done = CommandLine(tmp_path)("jobs", "list")

    assert done.returncode == 69
    assert b"orchestrator run --local" in done.stderr
    assert b"ORCHESTRATOR_URL" in done.stderr


@pytest.mark.parametrize("words", [("jobs", "list"), ("jobs", "submit", "--", "true")])
def test_a_server_that_is_gone_is_69_and_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The address that was tried is in the message."""
    env = {"ORCHESTRATOR_URL": "http://127.0.0.1:9", "ORCHESTRATOR_API_KEY": KEY}

    done = CommandLine(tmp_path, env)(*words)

    assert done.returncode == 69
    assert b"127.0.0.1:9" in done.stderr
    assert KEY.encode() not in done.stderr


@pytest.mark.parametrize(
    ("refusal", "code", "said"),
    [
        (problem(401, "unauthenticated", "no such key"), 77, "ORCHESTRATOR_API_KEY"),
        (problem(403, "forbidden", "not yours"), 77, "not yours"),
        (problem(404, "not_found", "there is no such job"), 1, "no such job"),
        (problem(409, "conflict", "not now"), 1, "not now"),
        (problem(422, "request_invalid", "is wrong", hint="do this"), 2, "do this"),
        (problem(500, "internal", "a fault", request_id="r1"), 70, "request r1"),
        (problem(503, "store_busy", "the store is busy"), 75, "busy"),
    ],
)
def test_a_refusal_has_the_code_of_its_kind(
    cli: CommandLine, fake: FakeApi, refusal: object, code: int, said: str
) -> None:
    """What the server says is shown, and the number tells a script what to do."""
    fake.on("GET", f"/api/v1/jobs/{JOB_ID}", refusal)  # type: ignore[arg-type] # a Reply

    done = cli("jobs", "show", JOB_ID)

    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr.decode()


def test_an_address_of_another_program_is_69_and_named(cli: CommandLine, fake: FakeApi) -> None:
    """Whatever that one answers: no orchestrator is there, and it is said how to name one."""
    page = Reply(200, b"<html>hello</html>", headers={"Content-Type": "text/html"})
    fake.on("GET", "/api/v1/jobs", page)

    done = cli("jobs", "list")

    assert done.returncode == 69
    assert b"no orchestrator answers there" in done.stderr
    assert b"ORCHESTRATOR_URL" in done.stderr


def test_a_refused_key_is_told_by_where_it_came_from(cli: CommandLine, fake: FakeApi) -> None:
    """Nobody typed a header, so nobody is told to send one."""
    refused = problem(401, "unauthenticated", "no such key", hint="send Authorization: Bearer KEY")
    fake.on("GET", "/api/v1/jobs", refused)

    done = cli("jobs", "list")

    assert b"the key came from ORCHESTRATOR_API_KEY" in done.stderr
    assert b"Bearer" not in done.stderr


def test_a_reader_who_goes_away_ends_it_quietly(cli: CommandLine, fake: FakeApi) -> None:
    """`jobs list | head` leaves no traceback."""
    items = [job(name="x" * 150) for _ in range(500)]
    fake.on("GET", "/api/v1/jobs", answer({"items": items, "next_cursor": None}))

    with cli.start("jobs", "list", "--limit", "500") as lister:
        assert lister.stdout is not None
        assert lister.stderr is not None
        lister.stdout.read(1)
        lister.stdout.close()
        said = lister.stderr.read()

    assert said == b""
    assert lister.returncode == 141


def test_a_closed_output_is_no_fault(cli: CommandLine, fake: FakeApi) -> None:
    """A program without any standard output still does its work."""
    fake.on("GET", "/api/v1/jobs", answer({"items": [job()], "next_cursor": None}))
    closing = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *PROGRAM, "jobs", "list", "--json"]

    done = subprocess.run(closing, env=cli.environment(), cwd=cli.folder, check=False)

    assert done.returncode == 0


@needs_root("is warned")
def test_root_is_warned_before_anything_runs(cli: CommandLine) -> None:
    """`orchestrator run` as root says what that means, and how to avoid it."""
    done = cli("run", "--local", "--data-dir", "/dev/null/x")

    said = done.stderr.decode()
    assert said.count("every job will run as root") == 1
    assert "user of its own" in said
    assert done.returncode != 0


def test_a_bare_name_shows_the_manual() -> None:
    """Who only says the program's name, or a noun, reads its help on lines of their own."""
    for words in ([], ["jobs"]):
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            capture_output=True,
            timeout=30,
            check=False,
        )

        assert done.returncode == 2
        assert b"\nCommands:\n" in done.stderr
