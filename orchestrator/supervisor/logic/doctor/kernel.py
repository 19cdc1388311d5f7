"""What the system offers, and what it allows processes of one user to do to each other."""

from collections.abc import Iterator

from orchestrator.supervisor.logic.doctor.facts import Facts
from orchestrator.supervisor.logic.doctor.finding import Finding, ok, problem, warning


def offers(facts: Facts) -> Iterator[Finding]:
    """Say whether the kernel has what we build upon."""
    if not facts.kernel.is_linux:
        yield ok("kernel", "no Linux: jobs are found by looking, and limits by sampling")
        return
    if facts.around[0].pidfd:
        yield ok("kernel", "processes have descriptors: none is taken for another")
    else:
        seen = "processes have no descriptors here (pidfd)"
        yield warning("kernel", seen, "a Linux from 5.3 on, or a container that allows pidfd_open")


def root(facts: Facts) -> Iterator[Finding]:
    """Say whose rights a job has."""
    uid = facts.euid if facts.process is None else facts.process.uid
    if facts.process is None and facts.status is None:
        return
    if uid == 0:
        yield warning(
            "user",
            "the orchestrator runs as root: whoever submits a job can do everything here",
            "sudo orchestrator service install --run-as USER",
        )
    else:
        yield ok("user", f"jobs run as user {uid}, as the orchestrator does")


def secrecy(facts: Facts) -> Iterator[Finding]:
    """Say what a job, which is of the same user, could read of us and of other jobs."""
    kernel, process = facts.kernel, facts.process
    if not kernel.is_linux:
        return
    if process is not None and process.hidden is False:
        yield problem(
            "memory",
            "jobs can read the memory of the orchestrator, in which all tokens are",
            "a kernel on which prctl(PR_SET_DUMPABLE) works; or workers of different users",
        )
    elif process is not None and process.hidden:
        yield ok("memory", "no job reads tokens from the memory of the orchestrator")
    scope = kernel.ptrace_scope
    if not scope:
        how, remedy = "is not there", "a kernel with Yama; or workers of different users"
        if scope is not None:
            how = "is 0"
            remedy = "sysctl -w kernel.yama.ptrace_scope=1  – and in /etc/sysctl.d/ to stay"
        seen = f"jobs can watch each other and other processes of their user (ptrace_scope {how})"
        yield warning("ptrace", seen, remedy)
    else:
        yield ok("ptrace", f"a job watches only what it started (ptrace_scope {scope})")
    if kernel.suid_dumpable == 1:
        yield warning(
            "core",
            "core dumps are written of processes that hide their memory (fs.suid_dumpable is 1)",
            "sysctl -w fs.suid_dumpable=0  – and in /etc/sysctl.d/ to stay",
        )
    elif kernel.suid_dumpable is not None:
        yield ok("core", "no core dump of ours is readable for jobs")
