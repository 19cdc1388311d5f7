"""A shim's own life: forked from the launcher, it becomes nobody's, and serves until it is alone.

It knows no command: `attempt` does. From here on it holds nothing of whoever started it – no
descriptor, no terminal, no signal handler – because it may outlive all of them.
"""

import contextlib
import gc
import json
import os
import select
import socket
from pathlib import Path

from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Cgroup
from orchestrator.kernel.failpoints import reached
from worker.shim import layout
from worker.shim.alerts import Alerts
from worker.shim.attempt import run
from worker.shim.cell import controllers_of
from worker.shim.inheritance import Inheritance
from worker.shim.journal import Journal
from worker.shim.line import Grant, Line
from worker.shim.office import Office

_ORDERS = (layout.PREEMPT_SIGNAL, layout.CANCEL_SIGNAL)


def main(args: dict[str, object], fds: list[int]) -> None:
    """Be a shim: `args` name the spool and its limit, the descriptor is the line to the worker."""
    spool = str(args["spool"])
    line = Line(socket.socket(fileno=fds[0]))
    try:
        reached("shim.forked")
        null = _detach(spool)
        inheritance = Inheritance()
        linux.hide_memory()
        alerts = Alerts(_ORDERS)
        group = _entered(args.get("cgroup"))
        journal = Journal(spool, int(str(args["spool_max_bytes"])), group)
    except OSError as error:
        reason = f"a shim cannot work in the spool {spool}: {error.strerror}"
        line.say(json.dumps({"failed": reason}).encode())
        return
    poll = select.poll()
    poll.register(line.fd, select.POLLIN)
    poll.register(alerts.fd, select.POLLIN)
    unbound = args.get("cgroup") is not None and group is None
    line.say(json.dumps({"ready": journal.name, "unbound": unbound}).encode())
    controllers = controllers_of(group)
    office = Office(journal, line, alerts, poll, inheritance, null, group, controllers, unbound)
    _serve(office)
    # The worker that would have synced the last record may be gone, and nobody comes after us.
    journal.sync()
    if group is not None and group.leave():
        # The launcher does it, too, if it still lives.
        group.remove()


def _serve(office: Office) -> None:
    while not office.line.gone:
        ready = {fd for fd, _ in office.poll.poll()}
        # The machine shuts down, or somebody does not want this process; a cancel came too late.
        if office.alerts.fd in ready and layout.PREEMPT_SIGNAL in office.alerts.take():
            return
        if office.line.fd in ready:
            order = office.line.receive()
            if isinstance(order, Grant) and not run(order, office):
                return


def _entered(path: object) -> Cgroup | None:
    """Enter the group that the launcher has made for us, if it has."""
    group = Cgroup(Path(str(path))) if path else None
    return group if group is not None and group.enter() else None


def _detach(spool: str) -> int:
    """Let go of the launcher's session, terminal and folder; return a descriptor of /dev/null.

    The launcher has closed every other descriptor of its own.
    """
    with contextlib.suppress(PermissionError):
        os.setsid()
    linux.become_subreaper()
    os.umask(0o077)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    log = os.open(os.path.join(spool, layout.LOG_NAME), flags, 0o600)
    for source, target in ((null, 0), (null, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    # What the launcher made is never garbage here, and looking at it would copy its pages.
    gc.freeze()
    return null
