"""`orchestrator schedules` against a real server: from the preview to the history."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.cli.commands import CommandLine
from tests.integration.cli.real import RealServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("real")]
NIGHTLY = ("--cron", "30 2 * * MON-FRI", "--zone", "Europe/Berlin")


def asked(cli: CommandLine, *words: str) -> Any:
    """Return what a command answers as JSON."""
    done = cli("schedules", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_schedule_is_shown_before_it_is_kept(cli: CommandLine) -> None:
    """A dry run says when it fires, in words and by both clocks, and keeps nothing."""
    shown = cli("schedules", "add", "dry", *NIGHTLY, "--dry-run", "--", "make", "backup")
    found = asked(cli, "add", "dry", *NIGHTLY, "--dry-run", "--json", "--", "make", "backup")

    assert b"it fires every weekday at 02:30 Europe/Berlin" in shown.stderr
    assert len(shown.stdout.splitlines()) >= 11
    assert b" 02:30:00 +0" in shown.stdout
    assert len([fire for fire in found["items"] if fire.get("reason") is None]) == 10
    assert cli("schedules", "show", "dry").returncode == 1


def test_a_schedule_lives(cli: CommandLine) -> None:
    """It is added, listed, shown, changed, paused, resumed, run and deleted."""
    job = ("--env", "A=1", "--label", "team=web", "--", "report", "{{fire_time}}")
    added = cli("schedules", "add", "life", *NIGHTLY, "--misfire", "all:3", *job)
    assert added.returncode == 0, added.stderr

    assert b"life  active  every weekday at 02:30" in cli("schedules", "list").stdout
    kept = asked(cli, "show", "life", "--json")
    assert kept["id"] == added.stdout.decode().strip()
    assert (kept["spec"]["misfire"], kept["spec"]["misfire_max"]) == ("all", 3)
    assert kept["spec"]["job"]["params"] == {"argv": ["report", "{{fire_time}}"]}
    assert b"overlap" not in cli("schedules", "show", "life").stdout

    changed = asked(cli, "edit", "life", "--every", "15m", "--overlap", "allow", "--json")
    assert (changed["words"], changed["spec"]["zone"]) == ("every 15 minutes", "Europe/Berlin")
    assert changed["spec"]["job"] == kept["spec"]["job"]
    begun = asked(cli, "edit", "life", "--start", "2020-07-01T09:00", "--json")
    assert begun["spec"]["start"] == "2020-07-01T07:00:00Z"  # by the clocks of its own zone
    assert asked(cli, "pause", "life", "--json")["state"] == "paused"
    assert b"life goes on" in cli("schedules", "resume", "life").stderr
    assert b"it fires every 15 minutes" in cli("schedules", "preview", "life").stderr

    ran = cli("schedules", "run", "life").stdout.decode().strip()
    told = json.loads(cli("jobs", "show", ran, "--json").stdout)
    assert told["spec"]["params"]["argv"][1].endswith("Z")
    (fire,) = asked(cli, "history", "life", "--json")["items"]
    assert (fire["origin"], fire["job_id"]) == ("person", ran)
    assert ran.encode() in cli("schedules", "history", "life").stdout

    assert cli("schedules", "delete", "life").returncode == 0
    gone = cli("schedules", "show", "life")
    assert gone.returncode == 1
    assert b"there is no schedule life" in gone.stderr


def test_a_schedule_fires_at_its_moment(real: RealServer, cli: CommandLine) -> None:
    """Nobody asks, and its job is there."""
    real.add_soon("soon")

    def fired() -> Any:
        return asked(cli, "history", "soon", "--json")["items"]

    (fire,) = wait_until(fired)
    assert (fire["outcome"], fire["job_state"]) == ("fired", "queued")
    late = datetime.fromisoformat(fire["recorded_at"]) - datetime.fromisoformat(fire["at"])
    assert timedelta(0) <= late < timedelta(seconds=2)
    assert asked(cli, "show", "soon", "--json")["state"] == "finished"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bad", "--cron", "0 0 31 2 *", "--", "true"), "--cron: '0 0 31 2 *' names a day"),
        (("bad", "--cron", "61 * * * *", "--", "true"), "its minute is not understood"),
        (("bad", "--every", "1s", "--", "true"), "--every"),
        (("bad", "--", "true"), "--cron, --every or --at"),
        (("bad", "--every", "1m", "--cron", "* * * * *", "--", "true"), "in one way"),
        (("bad", "--every", "1m", "--zone", "Europe/Bielefeld", "--", "true"), "no time zone"),
        (("bad", "--at", "tomorrow", "--", "true"), "is no time"),
        (("bad", "--at", "2020-01-01T00:00Z", "--", "true"), "lies in the past"),
        (("bad", "--every", "1m"), "there is nothing to run"),
        (("bad", "--every", "1m", "--misfire", "all:99", "--", "true"), "all:1 to all:50"),
        (("bad name", "--every", "1m", "--", "true"), "no name of a schedule"),
        (("bad", "--every", "1m", "--priority", "999", "--", "true"), "--priority"),
    ],
)
def test_what_makes_no_sense_is_told(cli: CommandLine, words: tuple[str, ...], said: str) -> None:
    """A wrong option is named, with what is wrong about it; nothing is kept."""
    done = cli("schedules", "add", *words)

    assert done.returncode == 2, done.stderr
    assert said in done.stderr.decode()
    assert cli("schedules", "show", "bad").returncode == 1
