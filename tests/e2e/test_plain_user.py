"""Everything works for somebody who is not root."""

from pathlib import Path

import psutil

from tests.support.installation import installed
from tests.support.needs import needs_root
from tests.support.processes import plain_user


def test_a_plain_user_runs_a_job_and_stops(home: Path) -> None:
    """As uid 1000 the first job runs, its tree is cancelled, and Ctrl-C leaves nothing."""
    with installed(home, prefix=plain_user()) as house:
        done = house.cli("jobs", "submit", "--follow", "--", "id", "-u")
        endless = house.submit("--grace", "0.1", "--", "sleep", "600")
        house.wait_state(endless, "running")
        house.cli("jobs", "cancel", endless)
        house.wait_state(endless, "cancelled")

        assert done.returncode == 0
        assert int(done.stdout) != 0
        assert b"running as root" not in house.log.read_bytes()
        assert house.stop() == 0
        assert not house.leftovers()


def test_a_job_reads_no_memory_of_those_who_keep_it(home: Path) -> None:
    """Where a token is or was, the supervisor, the nursery and the worker, nobody looks in."""
    with installed(home, prefix=plain_user()) as house:
        assert house.process is not None
        below = psutil.Process(house.process.pid).children(recursive=True)
        pids = [one.pid for one in below if one.name() in {"orch-nursery", "orch-worker"}]
        assert len(pids) == 2
        peek = "head -c 1 /proc/$pid/environ || head -c 1 /proc/$pid/maps"
        script = f"for pid in {house.process.pid} {pids[0]} {pids[1]}; do {peek}; done; true"

        done = house.cli("jobs", "submit", "--follow", "--shell", script)

        assert done.returncode == 0, done
        assert done.stdout == b""
        assert done.stderr.count(b"ermission denied") == 6


@needs_root("is warned")
def test_root_is_warned_once(home: Path) -> None:
    """As root the start says that jobs will run as root, and how to avoid that."""
    with installed(home) as house:
        assert house.log.read_text().count("running as root") == 1
