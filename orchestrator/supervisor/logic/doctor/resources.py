"""What there must be enough of: room, files, processes; and who holds jobs to their limits."""

from collections.abc import Iterator
from shlex import quote
from typing import Final

from orchestrator.core.enforcement import BY_KERNEL, not_held
from orchestrator.protocol.limits import MIB
from orchestrator.supervisor.logic.doctor.facts import Facts
from orchestrator.supervisor.logic.doctor.finding import Finding, ok, problem, unseen, warning
from orchestrator.supervisor.logic.wanted import MachineWanted

FILES_SPARE: Final = 64
FILES_OF_A_CHILD: Final = 4
"""Its line, its channel, and what is open for a moment while it is started."""
FILES_OF_A_SLOT: Final = 3
TASKS_OF_A_WORKER: Final = 8
"""Itself and its threads."""
TASKS_OF_A_JOB: Final = 4
"""Its shim, its command, and a little of what that starts."""
ENTRIES: Final = 1_000
_UNKNOWN: Final = "nobody knows what is wanted of this machine"


def disks(facts: Facts) -> Iterator[Finding]:
    """Say where there is too little room."""
    for disk in facts.disks:
        seen = f"{disk.what} {disk.path}: {_size(disk.free)} free, {_size(disk.floor)} are needed"
        if disk.free < disk.floor:
            yield problem("disk", seen, f"du -xh {quote(disk.path)} | sort -h  – and make room")
        elif disk.entries_left is not None and disk.entries_left < ENTRIES:
            seen = f"{disk.what} {disk.path}: its disk takes only {disk.entries_left} more files"
            yield problem("disk", seen, f"df -i {quote(disk.path)}  – and remove files")
        else:
            yield ok("disk", seen)


def _size(number: int) -> str:
    if number >= 1024 * MIB:
        return f"{number / (1024 * MIB):.1f} GiB"
    return f"{number / MIB:.0f} MiB"


def open_files(facts: Facts) -> Iterator[Finding]:
    """Say whether as many files may be open as this machine's workers need."""
    wanted, (process, note) = facts.wanted, facts.around
    if wanted is None:
        yield unseen("open_files", _UNKNOWN)
        return
    needed = _files_needed(wanted)
    if process.open_files is not None and process.open_files < needed:
        yield problem(
            "open_files",
            f"the orchestrator may open {process.open_files} files; {needed} are needed{note}",
            "LimitNOFILE=65536 in the unit (orchestrator service install writes it), or raise "
            "`ulimit -Hn` where it is started",
        )
    else:
        allowed = "any number" if process.open_files is None else str(process.open_files)
        yield ok("open_files", f"{allowed} may be open, {needed} are needed{note}")


def _files_needed(wanted: MachineWanted) -> int:
    """Return the most that one process of ours opens: the supervisor, or its busiest worker."""
    busiest = max((worker.concurrency for worker in wanted.workers), default=0)
    children = len(wanted.workers) + (wanted.server is not None)
    return FILES_SPARE + max(FILES_OF_A_CHILD * children, FILES_OF_A_SLOT * busiest)


def processes(facts: Facts) -> Iterator[Finding]:
    """Say whether as many processes may be started as this machine's workers need."""
    wanted, (process, note) = facts.wanted, facts.around
    if wanted is None:
        yield unseen("processes", _UNKNOWN)
        return
    jobs = min(wanted.max_jobs, sum(worker.concurrency for worker in wanted.workers))
    needed = TASKS_OF_A_WORKER * (len(wanted.workers) + 2) + TASKS_OF_A_JOB * jobs
    for allowed, what, remedy in (
        # The kernel lets root have as many as there are.
        (None if process.uid == 0 else process.processes, "user", "LimitNPROC=, or `ulimit -u`"),
        (process.tasks, "control group", "TasksMax=infinity in a drop-in of the unit"),
    ):
        if allowed is not None and allowed < needed:
            yield problem(
                "processes",
                f"the {what} may have {allowed} processes and threads; {len(wanted.workers)} "
                f"workers with {jobs} jobs need about {needed}{note}",
                remedy,
            )
            return
    yield ok("processes", f"about {needed} for {jobs} jobs at once are allowed{note}")


def limits(facts: Facts) -> Iterator[Finding]:
    """Say who holds a job to which limit here, as was found out when the orchestrator started."""
    if facts.status is None:
        yield unseen("limits", "who holds jobs to them is found out when an orchestrator starts")
        return
    held = facts.status.limits
    controllers = frozenset(held.controllers)
    yield ok("limits", _who_holds(controllers))
    wanted = facts.wanted
    for worker in () if wanted is None else wanted.workers:
        if missing := not_held(worker.limits, controllers):
            which = " and ".join(f"limits.{name}" for name in missing)
            yield warning(
                "limits",
                f"{worker.name}: {which} hold nobody here: {held.reason or 'nobody knows why'}",
                "let the kernel do it (ORCHESTRATOR.md, Limits of jobs), or leave them out",
            )


def _who_holds(controllers: frozenset[str]) -> str:
    memory = "the kernel (control group)" if "memory" in controllers else "its shim, by looking"
    both = [name for name, controller in BY_KERNEL.items() if controller in controllers]
    none = [name for name in BY_KERNEL if name not in both]
    parts = [
        f"memory: {memory}",
        *([f"{' and '.join(both)}: the kernel (control group)"] if both else []),
        *([f"{' and '.join(none)}: nobody"] if none else []),
        "open files and niceness: the kernel, for each process",
        "time and output: its shim",
    ]
    return "; ".join(parts)
