"""The orchestrator of this machine: whether it answers, its version, and how its workers are."""

from collections.abc import Iterator
from shlex import quote
from typing import Final

from orchestrator.protocol.machine import WorkerStatus
from orchestrator.protocol.standing import AT_EASE
from orchestrator.supervisor.logic.doctor.facts import Facts
from orchestrator.supervisor.logic.doctor.finding import Finding, ok, problem, unseen, warning

ON_ITS_WAY: Final = frozenset({"starting", "connecting", "backoff"})
"""States that may be over in a moment."""


def answers(facts: Facts) -> Iterator[Finding]:
    """Say whether there is an orchestrator, and whether it listens to us alone."""
    name, socket, status = "orchestrator", facts.socket, facts.status
    if status is not None:
        yield ok(name, f"version {status.version} runs (pid {status.pid}) in {status.state_dir}")
        yield _socket(facts)
    elif socket.fault is not None:
        yield _silent(facts, socket.fault)
    elif socket.holder:
        yield warning(
            name,
            f"pid {socket.holder} has the lock of {facts.state_dir} and does not listen: "
            "it begins or ends",
            "orchestrator status",
        )
    elif socket.is_there:
        yield warning(
            name,
            f"none runs; {socket.path} is left over from one that was killed",
            "orchestrator run  – it replaces the socket and takes up jobs that run on",
        )
    else:
        yield unseen(name, "none runs, so this is what can be seen without one")


def _silent(facts: Facts, fault: str) -> Finding:
    path, holder = facts.socket.path, facts.socket.holder
    if not holder:
        seen = f"whoever listens at {path} gives no answer: {fault}"
        return problem("orchestrator", seen, f"ls -l {quote(path)}  – and ask as its user")
    return problem(
        "orchestrator",
        f"pid {holder} has the lock of {facts.state_dir} and does not answer at {path}: {fault}",
        f"kill -USR1 {holder}  – then its log says what it does; "
        f"kill -KILL {holder} lets jobs run on for the next start",
    )


def _socket(facts: Facts) -> Finding:
    socket = facts.socket
    if socket.mode is not None and socket.mode & 0o077:
        seen = f"{socket.path} is open to other users (mode {socket.mode:04o})"
        return problem("socket", seen, f"chmod 600 {quote(socket.path)}")
    if facts.process is not None and facts.process.uid != facts.euid:
        return warning(
            "socket",
            f"the orchestrator runs as user {facts.process.uid}, and user {facts.euid} asks: "
            "what only its own user sees was not looked at",
            f"sudo -u '#{facts.process.uid}' orchestrator doctor "
            f"--state-dir {quote(facts.state_dir)}",
        )
    return ok(
        "socket", f"{socket.path} is closed to others; every job may ask it, as the same user"
    )


def version(facts: Facts) -> Iterator[Finding]:
    """Say whether what runs is what is installed."""
    if facts.status is None:
        return
    if facts.status.version != facts.version:
        seen = f"version {facts.status.version} runs, and {facts.version} is installed here"
        yield warning("version", seen, "orchestrator upgrade  – its jobs run on")
    elif facts.process is None:
        seen = "the orchestrator that runs does not tell what it finds around it"
        yield warning("version", seen, "orchestrator upgrade  – its jobs run on")
    else:
        yield ok("version", f"{facts.version}, with Python {facts.process.python}, as installed")


def workers(facts: Facts) -> Iterator[Finding]:
    """Say which workers are not as somebody wants them."""
    name, status = "workers", facts.status
    if status is None:
        return
    server = status.server
    if server is not None and server.state != "ready":
        seen = f"the embedded server is {server.state}, its start number {server.starts}"
        yield problem(name, seen, "orchestrator events")
    trouble = [worker for worker in status.workers if worker.state not in AT_EASE]
    for worker in trouble:
        make = warning if _on_its_way(worker) else problem
        why = f": {worker.reason}" if worker.reason else ""
        seen = f"{worker.name} is {worker.state}{why}"
        yield make(name, seen, f"orchestrator why {worker.name}")
    for worker in status.workers:
        if worker.unbound:
            seen = (
                f"a shim of {worker.name} could not enter its control group: memory is looked at, "
                "and jobs are not held to limits.pids and limits.cpus"
            )
            yield warning(name, seen, f"orchestrator restart {worker.name}  – or look at its group")
    if not trouble and status.workers:
        count = len(status.workers)
        yield ok(name, f"{'all ' * (count > 1)}{count} as wanted, {status.running_count} jobs run")


def _on_its_way(worker: WorkerStatus) -> bool:
    """Tell what may be over in a moment: while its canary only runs, nothing comes of it yet."""
    sings = worker.state == "suspect" and worker.next_action is None
    return sings or worker.state in ON_ITS_WAY
