"""`orchestrator bug-report` without an orchestrator: what is in it, and what must not be."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from tests.integration.cli.commands import CommandLine
from tests.support.configs import ConfigFolder, token
from tests.support.needs import needs_root
from tests.support.reports import Report

SECRET = "planted-one-4711"
OTHER = "planted-two-4712"
PASSWORD = "planted-six-4714"
ENVIRONMENT = {
    "GITHUB_TOKEN": "planted-three-4713",
    "ORCHESTRATOR_DATABASE": f"postgresql://o:{PASSWORD}@db/o",
}
PLANTED = (
    SECRET,
    OTHER,
    PASSWORD,
    ENVIRONMENT["GITHUB_TOKEN"],
    "planted-four",
    "planted-five",
    "planted-key",
)


class Reporter:
    """A person whose orchestrator does not run any more."""

    def __init__(self, cli: CommandLine, config: ConfigFolder) -> None:
        self.cli = cli
        self.config = config
        self.state = cli.folder / "state/orchestrator"
        self.log = self.state / "workers/worker_0/log/worker.log"
        self.log.parent.mkdir(parents=True, mode=0o700)
        self.target = cli.folder / "report.tar.gz"

    def said_by_a_worker(self, **keys: str) -> None:
        """Write a line into a worker's log."""
        record = {"time": "2026-01-01T00:00:00.000Z", "level": "info", "event": "x.y", **keys}
        with self.log.open("a") as log:
            log.write(json.dumps(record) + "\n")

    def report(self, *words: str) -> Report:
        """Return a report, made by the command."""
        self.target.unlink(missing_ok=True)
        done = self.run(*words)
        assert done == (0, done[1], done[2]), done
        return Report(self.target)

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run the command."""
        told = ("bug-report", str(self.config.path), f"--output={self.target}", *words)
        done = self.cli(*told, env=ENVIRONMENT)
        return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def person(cli: CommandLine, tmp_path: Path) -> Reporter:
    """Give a person whose configuration, log and folders hold secrets of every kind."""
    home = tmp_path / "conf"
    home.mkdir()
    config = ConfigFolder(home)
    config.private("tokens/w2", token(2))
    env = f"{{DB_PASSWORD: {SECRET}, MODE: planted-four, F: '${{file:other}}'}}"
    config.private("other", OTHER)
    config.private(
        "workers.yaml",
        "version: 1\nworkers:  # planted-five\n"
        + config.worker(1, env=env)
        + config.worker(2, token="${file:tokens/w2}"),
    )
    made = Reporter(cli, config)
    server = cli.folder / "data/orchestrator/server"
    server.mkdir(parents=True, mode=0o700)
    (server / "admin.key").write_text("planted-key-of-nobody\n")
    made.said_by_a_worker(why=f"asked with {SECRET} and {token(1)}", token=token(2))
    made.said_by_a_worker(why=f"{OTHER}, {ENVIRONMENT['GITHUB_TOKEN']}, {PASSWORD}")
    return made


def test_a_report_is_for_its_owner_and_tells_what_is_in_it(person: Reporter) -> None:
    """Configuration, problems, versions, the doctor's words and logs; each is named."""
    code, out, err = person.run()

    report = Report(person.target)
    assert code == 0
    assert set(report.parts) == {
        "about.txt",
        "configuration.json",
        "doctor.json",
        "logs/worker_0.jsonl",
        "problems.json",
        "versions.json",
    }
    assert all(name in out for name in report.parts if name != "about.txt")
    assert "look at it before you send it" in err
    assert (stat.S_IMODE(person.target.stat().st_mode), report.modes) == (0o600, {0o600})
    assert {each["check"] for each in report.json("doctor.json")} > {"configuration", "disk"}
    assert report.json("versions.json")["packages"]["anyio"]


def test_no_secret_is_in_it(person: Reporter) -> None:
    """Of the file, of files that it refers to, of comments, of the environment, of our folders."""
    report = person.report()

    for secret in (*PLANTED, token(1), token(2), token(1)[-20:]):
        assert secret not in report.text, secret
    content = report.json("configuration.json")["content"]
    assert content["workers"][0]["name"] == "w1"
    assert content["workers"][0]["env"] == {"DB_PASSWORD": "…", "MODE": "…", "F": "${file:other}"}
    assert "asked with … and …" in report.parts["logs/worker_0.jsonl"]


def test_a_secret_in_another_form_is_found_and_nothing_is_written(person: Reporter) -> None:
    """It is said in which part, and never what; without that part there is a report."""
    encoded = base64.b64encode(f"user:{SECRET}".encode()).decode()
    person.said_by_a_worker(header=f"was {encoded}")

    code, out, err = person.run()

    assert (code, out) == (1, "")
    assert "there is a secret in logs/worker_0.jsonl" in err
    assert encoded not in err
    assert not list(person.cli.folder.glob("*.tar.gz*"))
    report = person.report("--without", "logs/worker_0.jsonl")
    assert "logs/worker_0.jsonl" not in report.parts
    assert encoded not in report.text


def test_a_file_that_cannot_be_read_is_not_shown(person: Reporter) -> None:
    """Nobody knows which of its words are secret; what is wrong with it is told with its line."""
    text = person.config.path.read_text()
    person.config.private("workers.yaml", text + "  bad: [\n")

    report = person.report()

    for secret in (SECRET, OTHER, token(1), "planted-four", "planted-five"):
        assert secret not in report.text
    assert "cannot be read as YAML" in report.json("configuration.json")["content"]
    assert report.json("problems.json")[0]["line"] > 1


def test_a_file_that_is_refused_has_secrets_all_the_same(person: Reporter) -> None:
    """Its values are not known to be open, so a log that has them does not show them either."""
    text = person.config.path.read_text()
    person.config.private("workers.yaml", text.replace("version: 1", "version: 1\nsurprise: 2"))

    report = person.report()

    for secret in (SECRET, OTHER, token(1), token(2), "planted-four"):
        assert secret not in report.text
    assert report.json("problems.json")[0]["code"] == "unknown-key"


def test_secrets_of_a_worker_that_is_left_out_are_secrets(person: Reporter) -> None:
    """Whatever they are called, and whatever is wrong with its entry; the others are in use."""
    literal = "planted-seven-4715"
    env = f"{{SMTP_PASS: {literal}}}"
    person.config.private(
        "workers.yaml",
        "version: 1\nworkers:\n"
        + person.config.worker(1)
        + person.config.worker(2, working_directory="nowhere", env=env),
    )
    person.said_by_a_worker(why=f"asked with {literal}")

    report = person.report()

    assert literal not in report.text
    assert [each["name"] for each in report.json("configuration.json")["content"]["workers"]]


def test_secrets_of_the_file_before_are_secrets(person: Reporter) -> None:
    """The one that was applied last may still be in a log."""
    kept = {
        "path": str(person.config.path),
        "raw": base64.b64encode(person.config.path.read_bytes()).decode(),
        "digest": "0",
        "generation": 1,
        "applied_at": 1.0,
    }
    (person.state / "last-good.json").write_text(json.dumps(kept))
    person.config.private("workers.yaml", "version: 1\nserver: {embedded: true}\n")

    report = person.report()

    for secret in (SECRET, OTHER, token(1)):
        assert secret not in report.text


def test_secrets_of_included_files_are_secrets(person: Reporter) -> None:
    """Where the file that includes them is refused, nobody has told which of their words are."""
    person.config.private("more.yaml", person.config.path.read_text())
    person.config.private("workers.yaml", "version: 1\nsurprise: 2\ninclude: [more.yaml]\n")

    report = person.report()

    for secret in (SECRET, OTHER, token(1), token(2), "planted-four"):
        assert secret not in report.text
    assert report.json("problems.json")[0]["code"] == "unknown-key"


def test_secrets_of_what_the_file_before_included_are_secrets(person: Reporter) -> None:
    """Those files may be gone, and a log still has what they held."""
    more = person.config.home / "more.yaml"
    kept = {
        "path": str(person.config.path),
        "raw": base64.b64encode(b"version: 1\ninclude: [more.yaml]\n").decode(),
        "included": [[str(more), base64.b64encode(person.config.path.read_bytes()).decode()]],
        "digest": "0",
        "generation": 1,
        "applied_at": 1.0,
    }
    (person.state / "last-good.json").write_text(json.dumps(kept))
    person.config.private("workers.yaml", "version: 1\nserver: {embedded: true}\n")

    report = person.report()

    for secret in (SECRET, OTHER, token(1)):
        assert secret not in report.text


@needs_root("can read what is another user's")
def test_what_is_another_user_s_is_not_even_looked_at(person: Reporter) -> None:
    """A command that is named in there would be run as root."""
    ran = person.cli.folder / "ran"
    text = "version: 1\nworkers:\n" + person.config.worker(1, token=f"'${{cmd:touch {ran}}}'")
    kept = {
        "path": str(person.config.path),
        "raw": base64.b64encode(text.encode()).decode(),
        "digest": "0",
        "generation": 1,
        "applied_at": 1.0,
    }
    (person.state / "last-good.json").write_text(json.dumps(kept))
    os.chown(person.state, 12345, -1)

    code, _, err = person.run()

    assert (code, "sudo -u '#12345' orchestrator bug-report" in err) == (77, True)
    assert not ran.exists()
    assert not person.target.exists()


def test_nothing_is_replaced(person: Reporter) -> None:
    """A report that is there stays as it is."""
    person.target.write_text("mine")

    code, _, err = person.run()

    assert (code, "is there already" in err) == (1, True)
    assert person.target.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_told(person: Reporter) -> None:
    """With its name."""
    code, _, err = person.run(f"--output={person.cli.folder}/none/report.tar.gz")

    assert (code, "none/report.tar.gz: No such file" in err) == (73, True)


def test_an_unknown_part_is_told(person: Reporter) -> None:
    """With those that there are, instead of a report with what somebody wanted out of it."""
    code, _, err = person.run("--without", "log")

    assert (code, "there is no part 'log'" in err, "versions.json" in err) == (2, True, True)
    assert not person.target.exists()


def test_without_a_name_it_is_written_here(person: Reporter) -> None:
    """With the moment in its name."""
    done = person.cli("bug-report", str(person.config.path))

    (path,) = person.cli.folder.glob("orchestrator-bug-report-*Z.tar.gz")
    assert done.returncode == 0
    assert path.name in done.stderr.decode()
