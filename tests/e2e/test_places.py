"""Where everything is kept: in the platform's places, or where two variables say."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator.kernel.paths import DATA_DIR, LOG_DIR
from tests.support.installation import homely, installed

LOGS = {"orchestrator.log": "run.", "server.log": "server.started", "workers/local.log": "worker."}


def test_data_and_logs_are_where_somebody_wants_them(home: Path) -> None:
    """The whole installation finds its data there, and each program's log has its time in it."""
    data, logs = home / "volume/data", home / "volume/logs"
    (home / "volume").mkdir(parents=True)
    places = {DATA_DIR: str(data), LOG_DIR: str(logs)}
    with installed(home, variables=places) as house:
        done = house.cli("jobs", "submit", "--follow", "--", "echo", "hello")
        shown = house.cli("logs", "local")
        assert (done.returncode, done.stdout) == (0, b"hello\n")

        assert house.stop() == 0

        with closing(sqlite3.connect(data / "server/orchestrator.db")) as database:
            assert database.execute("SELECT count(*) FROM job").fetchone() == (1,)
        assert not (home / "data").exists()
        for name, beginning in LOGS.items():
            lines = [json.loads(line) for line in (logs / name).read_text().splitlines()]
            assert any(line["event"].startswith(beginning) for line in lines), name
            assert all(line["time"].startswith("20") for line in lines)
            assert (logs / name).stat().st_mode & 0o077 == 0
        assert b"attempt.started" in shown.stdout
        house.start()
        assert len(house.json("jobs", "list")["items"]) == 1


def test_a_place_that_is_no_whole_path_is_told(home: Path) -> None:
    """It would be another folder for each program: nothing is started, and the variable named."""
    with installed(home) as house:
        for name in (DATA_DIR, LOG_DIR):
            done = house.cli("run", "--local", "--listen=127.0.0.1:1", env={name: "data"})

            assert done.returncode == 78
            assert f"{name}: 'data' is no whole path" in done.stderr.decode()
            assert b"write one that begins with /" in done.stderr


def test_a_log_that_cannot_be_kept_keeps_nobody_from_working(home: Path) -> None:
    """Its folder is a file: that is told once by each, and jobs run."""
    home.mkdir(parents=True)
    (home / "logs").touch()
    with installed(home, variables={LOG_DIR: str(home / "logs")}) as house:
        done = house.cli("jobs", "submit", "--follow", "--", "true")

        assert done.returncode == 0
        assert house.log.read_text().count("log.not_kept") == 3


def test_without_a_word_everything_is_in_the_places_of_the_platform(home: Path) -> None:
    """Data and state are in the folders of the home that are meant for them, and nowhere else."""
    usual = [f"-u{name}" for name in homely(home) if name.startswith("XDG_")]
    with installed(home, prefix=["env", *usual]) as house:
        done = house.cli("jobs", "submit", "--follow", "--", "true")

        assert done.returncode == 0
        assert (home / ".local/share/orchestrator/server/orchestrator.db").exists()
        assert (home / ".local/share/orchestrator/workers/local/spool").is_dir()
        assert (home / ".local/state/orchestrator/connection.json").exists()
        beside = {".local", "project", "run.log"}
        assert {path.name for path in home.iterdir()} == beside
