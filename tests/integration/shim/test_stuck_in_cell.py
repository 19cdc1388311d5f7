"""A shim that cannot step out of a cell, at the real kernel: its command runs, and that is told."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from orchestrator.kernel.cgroups import Groups
from tests.support import groups
from tests.support.processes import clean_environment, python
from tests.support.source import ROOT

pytestmark = pytest.mark.skipif(Groups.here() is None, reason="no control groups can be made here")

SHIM = """
import os, select, socket, sys
from pathlib import Path
from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Cgroup
from worker.shim import attempt
from worker.shim.alerts import Alerts
from worker.shim.inheritance import Inheritance
from worker.shim.journal import Journal
from worker.shim.line import Grant, Line
from worker.shim.office import Office

class Elsewhere(Cgroup):
    '''A group whose own files refuse, beside a cell that is real.'''
    cell = property(lambda self: Path(sys.argv[2]))

line = Line(socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0])
linux.become_subreaper()
alerts, poll = Alerts(()), select.poll()
poll.register(line.fd, select.POLLIN)
poll.register(alerts.fd, select.POLLIN)
place = Path(sys.argv[1])
group = Elsewhere(place / "group")
null = os.open(os.devnull, os.O_RDWR)
journal = Journal(str(place / "spool"), 1 << 30)
kinds = frozenset(("cpu", "memory", "pids"))
office = Office(journal, line, alerts, poll, Inheritance(), null, group, kinds)
for program in ("sh", "no-such-program"):
    grant = Grant(
        job="job_1", attempt=1, argv=[program, "-c", "sleep 60 & cat /proc/self/cgroup; exit 3"],
        env={"PATH": os.defpath}, cwd="/", root=None, timeout_s=None, silence_s=None, grace_s=1.0,
        durable=False, stdin=None, memory_bytes=1 << 30, pids=20, cpus=1,
    )
    print(attempt.run(grant, office), journal.name)
    Cgroup(Path(sys.argv[2])).leave()
    Cgroup(Path(sys.argv[2])).remove()
"""


def test_a_command_that_runs_is_never_told_as_not_started(tmp_path: Path) -> None:
    """Its end is its own, nobody of it stays, and the shim takes no other attempt."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "cgroup.procs").symlink_to("/dev/full")
    with groups.service() as folder:
        cell = folder / "orch-7.7.0-cell"
        done = subprocess.run(
            python("-c", SHIM, str(tmp_path), str(cell)),
            check=False,
            env=clean_environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert not done.stderr
    first, second = done.stdout.splitlines()
    assert first.split()[0] == second.split()[0] == "False"
    written = (tmp_path / "spool" / first.split()[1]).read_bytes()
    assert os.fsencode(cell.name) in written, "it ran in the cell"
    ends = [json.loads(it) for it in re.findall(rb'\{"message".*?\}', written)]
    assert [(end["cause"], end["code"], end["leftovers"]) for end in ends] == [
        ("exited", 3, 1),
        ("spawn_error", None, 0),
    ]
    assert "it was not held to limits.cpus: " in ends[0]["message"]
