"""Everything that can be wrong with a machine, one thing at a time, and what must be said of it."""

from dataclasses import replace
from typing import Any, NamedTuple

from orchestrator.protocol.machine import Banner, ConfigStatus, LimitsStatus, ServerStatus
from orchestrator.supervisor.logic.doctor.facts import (
    Directory,
    Disk,
    Facts,
    Kernel,
    Package,
    Said,
    Socket,
    TokenAnswer,
)
from orchestrator.supervisor.logic.doctor.finding import Grade
from orchestrator.supervisor.logic.wanted import JobLimits, ServerWanted
from tests.unit.supervisor.doctor import builders as b

P, W, U, OK = Grade.PROBLEM, Grade.WARNING, Grade.UNSEEN, Grade.OK


class Case(NamedTuple):
    """Facts, and what must be said of them."""

    facts: Facts
    check: str
    grade: Grade
    seen: str
    remedy: str = ""


SOCKET = Socket(path="/s/control.sock", is_there=True, uid=1000, mode=0o600, holder=4711)
CONFIG = b.facts().configuration
assert CONFIG is not None
BANNER = ConfigStatus(source="file", path=b.FILE, banner=Banner(message="line 3 is wrong", at=1.0))
SERVER = ServerStatus(state="backoff", since=b.NOW, starts=3)
EMBEDDED = ServerWanted(data_dir=b.worker().working_directory)
LIMITED = b.wanted(b.worker(limits=JobLimits(pids=10, cpus=1.0)))
BY_A_SHIM = LimitsStatus(reason="no Delegate=")
REFUSED = TokenAnswer(worker="web", place=f"{b.FILE}:3:5", url=b.URL, verdict="refused")
DISK = Disk(what="the state directory", path="/s", free=1 << 30, floor=2 << 30)
ROOT: Any = {"euid": 0, "entries": (b.entry(uid=0),)}
LINUX = Kernel(is_linux=True, ptrace_scope=1, suid_dumpable=0)

CASES = {
    "hangs": Case(
        b.stopped(socket=replace(SOCKET, fault="did not answer within 15 s")),
        "orchestrator", P, "pid 4711 has the lock", "kill -USR1 4711",
    ),
    "another's": Case(
        b.stopped(socket=replace(SOCKET, holder=None, fault="the socket is another user's")),
        "orchestrator", P, "gives no answer: the socket is another user's", "ls -l /s/control.sock",
    ),
    "begins": Case(b.stopped(socket=SOCKET), "orchestrator", W, "begins or ends", "status"),
    "stale socket": Case(
        b.stopped(socket=replace(SOCKET, holder=0)),
        "orchestrator", W, "left over from one that was killed", "orchestrator run",
    ),
    "not running": Case(b.stopped(), "orchestrator", U, "none runs"),
    "open socket": Case(
        b.facts(socket=replace(SOCKET, mode=0o666)),
        "socket", P, "mode 0666", "chmod 600 /s/control.sock",
    ),
    "another user": Case(
        b.facts(euid=0), "socket", W, "runs as user 1000, and user 0 asks", "sudo -u '#1000'"
    ),
    "another version": Case(
        b.facts(version="1.1"), "version", W, "1.0 runs, and 1.1 is installed", "upgrade"
    ),
    "an old one": Case(b.facts(process=None), "version", W, "does not tell", "upgrade"),
    "worker refused": Case(
        b.facts(status=b.status(workers=[b.standing("refused", reason="the token is unknown")])),
        "workers", P, "web is refused: the token is unknown", "orchestrator why web",
    ),
    "unbound shim": Case(
        b.facts(status=b.status(workers=[b.standing(unbound=True)])),
        "workers", W, "a shim of web could not enter its control group", "orchestrator restart web",
    ),
    "worker starts": Case(
        b.facts(status=b.status(workers=[b.standing("starting")])),
        "workers", W, "web is starting", "orchestrator why web",
    ),
    "canary runs": Case(
        b.facts(status=b.status(workers=[b.standing("suspect", reason="its canary job runs")])),
        "workers", W, "web is suspect: its canary job runs", "orchestrator why web",
    ),
    "canary failed": Case(
        b.facts(status=b.status(workers=[b.standing("suspect", next_action="look at its PATH")])),
        "workers", P, "web is suspect", "orchestrator why web",
    ),
    "server down": Case(
        b.facts(status=b.status(server=SERVER)),
        "workers", P, "the embedded server is backoff", "orchestrator events",
    ),
    "configuration": Case(
        b.facts(configuration=replace(CONFIG, said=(Said("f:3:1: no token", "copy it", True),))),
        "configuration", P, "f:3:1: no token", "copy it",
    ),
    "configuration odd": Case(
        b.facts(configuration=replace(CONFIG, said=(Said("f:3:1: old name", None, False),))),
        "configuration", W, "old name", f"edit {b.FILE}",
    ),
    "no configuration": Case(
        b.facts(configuration=None, no_configuration="there is no file", wanted=None),
        "configuration", U, "there is no file",
    ),
    "not applied": Case(
        b.facts(status=b.status(config=BANNER)),
        "applied", P, "line 3 is wrong", f"orchestrator check {b.FILE}",
    ),
    "another file": Case(
        b.facts(status=b.status(config=ConfigStatus(source="file", path="/d/other.yaml"))),
        "applied", W, "runs /d/other.yaml", "orchestrator doctor /d/other.yaml",
    ),
    "open file": Case(
        b.facts(entries=(b.entry(mode=0o644),)), "modes", P, "mode 0644", "chmod 600 /s/lock"
    ),
    "open folder": Case(
        b.facts(entries=(b.entry(mode=0o755, is_dir=True, path="/s s"),)),
        "modes", P, "mode 0755", "chmod 700 '/s s'",
    ),
    "somebody's file": Case(
        b.facts(entries=(b.entry(uid=0),)), "modes", P, "belongs to user 0", "chown 1000 /s/lock"
    ),
    "a stopped one of another user": Case(
        b.stopped(euid=0),
        "modes", W, "belongs to user 1000, and user 0 asks", "sudo -u '#1000' orchestrator doctor",
    ),
    "somebody's file of a stopped one": Case(
        b.stopped(entries=(b.entry(), b.entry(uid=0, path="/s/x"))),
        "modes", P, "belongs to user 0, not to 1000", "chown 1000 /s/x",
    ),
    "a closed one of another user": Case(
        b.stopped(euid=1001), "modes", U, "what user 1000 has in there, only that user sees"
    ),
    "nothing there": Case(b.facts(entries=()), "modes", U, "nothing of ours"),
    "read-only directory": Case(
        b.facts(directories=(Directory(worker="web", path="/p/web", is_writable=False),)),
        "directories", W, "jobs of web cannot write in /p/web", "chmod u+rwx /p/web",
    ),
    "no name": Case(
        b.facts(routes=(b.route(resolve_fault="name or service not known"),)),
        "server", P, "leads nowhere: name or service", "getent hosts control.example.com",
    ),
    "no connection": Case(
        b.facts(
            routes=(b.route(connect_fault="connection refused"),),
            process=b.process(proxies=["HTTPS_PROXY"]),
        ),
        "server", P, "connection refused (HTTPS_PROXY is set, and no proxy is ever used)",
        f"correct server_url in {b.FILE}",
    ),
    "no encryption": Case(
        b.facts(routes=(b.route(encryption_fault="self-signed certificate"),)),
        "server", P, "self-signed", "openssl s_client -connect control.example.com:443",
    ),
    "no encryption at a port": Case(
        b.facts(routes=(b.route(url="https://c.example:8443/x", encryption_fault="no"),)),
        "server", P, "no", "openssl s_client -connect c.example:8443",
    ),
    "no orchestrator": Case(
        b.facts(routes=(b.route(answer_fault="/api/health is answered with 404"),)),
        "server", P, "answered with 404", f"curl -v {b.URL}/api/health",
    ),
    "certificate ends": Case(
        b.facts(routes=(b.route(expires_in_s=3 * 86_400.0),)),
        "server", W, "ends in 3 days", "renew it where control.example.com is served",
    ),
    "no server": Case(
        b.facts(configuration=None, routes=(), wanted=None), "server", U, "no server is known"
    ),
    "clock ahead": Case(
        b.facts(routes=(b.route(ahead_s=3600.0),)),
        "clock", P, "3600 s ahead of", "timedatectl set-ntp true",
    ),
    "clock behind": Case(
        b.facts(routes=(b.route(ahead_s=-61.0),)), "clock", P, "61 s behind", "timedatectl"
    ),
    "proxies": Case(b.facts(process=b.process(proxies=["all_proxy"])), "proxy", OK, "all_proxy"),
    "token refused": Case(
        b.facts(tokens=(REFUSED,)), "token", P, "does not know its token", f"edit {b.FILE}:3:5"
    ),
    "token not asked": Case(
        b.facts(tokens=(replace(REFUSED, verdict="unreachable", why="busy"),)),
        "token", U, "could not be asked: busy",
    ),
    "port taken": Case(
        b.stopped(wanted=b.wanted(server=EMBEDDED), port_taken="127.0.0.1:8700"),
        "port", P, "listens at 127.0.0.1:8700", "ss -ltnp 'sport = :8700'",
    ),
    "port free": Case(
        b.stopped(wanted=b.wanted(server=EMBEDDED)), "port", OK, "127.0.0.1:8700 is free"
    ),
    "disk full": Case(
        b.facts(disks=(DISK,)), "disk", P, "1.0 GiB free, 2.0 GiB are needed", "du -xh /s"
    ),
    "disk without entries": Case(
        b.facts(disks=(replace(DISK, free=4 << 30, entries_left=3),)),
        "disk", P, "only 3 more files", "df -i /s",
    ),
    "small disk": Case(
        b.facts(disks=(replace(DISK, free=80 << 20, floor=64 << 20),)),
        "disk", OK, "80 MiB free, 64 MiB are needed",
    ),
    "few files": Case(
        b.facts(process=b.process(open_files=64)),
        "open_files", P, "may open 64 files; 68 are needed", "LimitNOFILE=65536",
    ),
    "any files": Case(
        b.facts(process=b.process(open_files=None)), "open_files", OK, "any number may be open"
    ),
    "many slots": Case(
        b.facts(process=b.process(open_files=1024), wanted=b.wanted(b.worker(concurrency=400))),
        "open_files", P, "1264 are needed", "LimitNOFILE",
    ),
    "files unknown": Case(b.facts(wanted=None), "open_files", U, "nobody knows what is wanted"),
    "files of a shell": Case(
        b.stopped(here=b.process(open_files=10)),
        "open_files", P, "(if it is started from this shell)", "ulimit -Hn",
    ),
    "few processes": Case(
        b.facts(process=b.process(processes=20)),
        "processes", P, "the user may have 20", "LimitNPROC",
    ),
    "few tasks": Case(
        b.facts(process=b.process(tasks=20, uid=0), **ROOT),
        "processes", P, "the control group may have 20", "TasksMax",
    ),
    "root is not limited": Case(
        b.facts(process=b.process(processes=20, uid=0), **ROOT), "processes", OK, "are allowed"
    ),
    "processes unknown": Case(b.facts(wanted=None), "processes", U, "nobody knows"),
    "limits by the kernel": Case(
        b.facts(wanted=LIMITED), "limits", OK, "pids and cpus: the kernel (control group)"
    ),
    "limits by a shim": Case(
        b.facts(status=b.status(limits=BY_A_SHIM)),
        "limits", OK, "memory: its shim, by looking; pids and cpus: nobody",
    ),
    "limits by nobody": Case(
        b.facts(status=b.status(limits=BY_A_SHIM), wanted=LIMITED),
        "limits", W, "web: limits.pids and limits.cpus hold nobody here: no Delegate=",
        "ORCHESTRATOR.md, Limits of jobs",
    ),
    "limits by half of it": Case(
        b.facts(status=b.status(limits=LimitsStatus(controllers=["cpu"])), wanted=LIMITED),
        "limits", W, "web: limits.pids hold nobody here: nobody knows why", "leave them out",
    ),
    "limits of nobody": Case(b.stopped(), "limits", U, "when an orchestrator starts"),
    "path shorter": Case(
        b.facts(
            programs=b.programs(
                shell=("/usr/bin", "/opt/x", "/gone"), present=frozenset({"/usr/bin", "/opt/x"})
            )
        ),
        "path", W, "jobs do not search /opt/x, as this shell", "orchestrator service install",
    ),
    "path to nowhere": Case(
        b.facts(programs=b.programs(service=("/usr/bin", "/bin", "/gone"))),
        "path", OK, "/gone, which is not there",
    ),
    "path longer": Case(
        b.facts(programs=b.programs(shell=("/bin",))), "path", OK, "jobs search /usr/bin as well"
    ),
    "path of nobody": Case(b.stopped(programs=b.programs(service=None)), "path", U, "to compare"),
    "path of a worker": Case(
        b.facts(wanted=b.wanted(b.worker(env={"PATH": "/opt/w"}))),
        "path", OK, "jobs of web search /opt/w",
    ),
    "agent of the shell alone": Case(
        b.facts(programs=b.programs(found={"claude": ("/h/claude", None)})),
        "program", W, "claude: this shell finds /h/claude, and jobs do not", "service install",
    ),
    "agent": Case(
        b.facts(
            programs=b.programs(
                found={"codex": ("/h/codex", "/usr/bin/codex")}, versions={"codex": "codex 1.2"}
            )
        ),
        "program", OK, "codex: /usr/bin/codex, codex 1.2; this shell finds /h/codex; whether it "
        "is logged in was not looked at",
    ),
    "agent without version": Case(
        b.facts(programs=b.programs(found={"aider": (None, "/usr/bin/aider")}, versions={})),
        "program", OK, "aider: /usr/bin/aider, whose version it does not tell",
    ),
    "agent that was not started": Case(
        b.facts(
            programs=b.programs(
                found={"aider": (None, "/usr/bin/aider")}, unasked={"aider": "jobs run as user 7"}
            )
        ),
        "program", OK, "aider: /usr/bin/aider, whose version was not asked: jobs run as user 7",
    ),
    "agent that is promised": Case(
        b.facts(wanted=b.wanted(b.worker(tags=("gemini",)))),
        "program", W, "gemini is a tag of web, and is not found", "install gemini",
    ),
    "no git": Case(
        b.facts(programs=b.programs(found={})), "program", W, "git is not found", "install git"
    ),
    "no agents": Case(b.facts(), "program", OK, "not here: claude, codex, gemini"),
    "old package": Case(
        b.facts(packages=(Package(name="h11", least="0.16", version="0.9.1rc3"),)),
        "packages", P, "h11 0.9.1rc3 is installed; 0.16 or newer is needed",
        "pip install 'h11>=0.16'",
    ),
    "no package": Case(
        b.facts(packages=(Package(name="h11", least="0.16", version=None),)),
        "packages", P, "h11 is not installed", "pip install 'h11>=0.16'",
    ),
    "newer package": Case(
        b.facts(packages=(Package(name="h11", least="1.16.0", version="1.16"),)),
        "packages", OK, "1 are as new",
    ),
    "packages unknown": Case(b.facts(packages=()), "packages", U, "not installed as a package"),
    "no services": Case(b.facts(no_units="launchd"), "service", U, "launchd"),
    "no service": Case(b.facts(units=()), "service", OK, "none is installed"),
    "no manager": Case(
        b.facts(units=(b.unit(active=None, pid=None),)), "service", U, "no service manager"
    ),
    "service failed": Case(
        b.facts(units=(b.unit(active="failed", pid=None),)),
        "service", P, "has failed", "orchestrator service logs --system --name orchestrator",
    ),
    "service and another": Case(
        b.facts(units=(b.unit(pid=1),)), "service", W, "runs as pid 1, and pid 4711", "--state-dir"
    ),
    "service is not it": Case(
        b.facts(units=(b.unit(active="inactive", pid=None),)),
        "service", W, "is not it", "orchestrator service start --system",
    ),
    "service stopped": Case(
        b.stopped(units=(b.unit(active="inactive", pid=None, of_a_user=True),)),
        "service", P, "is inactive", "orchestrator service start --user",
    ),
    "service not enabled": Case(
        b.facts(units=(b.unit(enabled=False),)),
        "service", W, "does not begin by itself", "sudo systemctl enable orchestrator",
    ),
    "user's service not enabled": Case(
        b.facts(units=(b.unit(enabled=False, of_a_user=True),)),
        "service", W, "does not begin by itself", "systemctl --user enable orchestrator",
    ),
    "unit differs": Case(
        b.facts(units=(b.unit(differs=("A", "B", "C", "D")),)),
        "unit", W, "writes: A; B; C and 1 more", "orchestrator service install --system",
    ),
    "unit of somebody": Case(
        b.facts(units=(b.unit(is_ours=False, differs=("A",)),)), "unit", OK, "somebody else"
    ),
    "unit ends too early": Case(
        b.facts(units=(b.unit(stop_timeout_s=90.0),)),
        "unit", P, "after 90 s, and jobs may drain for 600 s", "orchestrator service install",
    ),
    "no linger": Case(
        b.facts(units=(b.unit(of_a_user=True, lingers=False),)),
        "linger", W, "ends when its user logs out", "loginctl enable-linger",
    ),
    "linger": Case(
        b.facts(units=(b.unit(of_a_user=True, lingers=True),)), "linger", OK, "not logged in, too"
    ),
    "linger unknown": Case(
        b.facts(units=(b.unit(of_a_user=True),)), "linger", U, "nobody to ask"
    ),
    "no pidfd": Case(b.facts(process=b.process(pidfd=False)), "kernel", W, "(pidfd)", "5.3"),
    "another system": Case(
        b.facts(kernel=Kernel(is_linux=False)), "kernel", OK, "by sampling"
    ),
    "root": Case(
        b.facts(process=b.process(uid=0), **ROOT), "user", W, "as root", "--run-as USER"
    ),
    "open memory": Case(
        b.facts(process=b.process(hidden=False)), "memory", P, "can read the memory", "prctl"
    ),
    "ptrace": Case(
        b.facts(kernel=replace(LINUX, ptrace_scope=0)),
        "ptrace", W, "ptrace_scope is 0", "sysctl -w kernel.yama.ptrace_scope=1",
    ),
    "no Yama": Case(
        b.facts(kernel=replace(LINUX, ptrace_scope=None)), "ptrace", W, "is not there", "Yama"
    ),
    "core dumps": Case(
        b.facts(kernel=replace(LINUX, suid_dumpable=1)),
        "core", W, "suid_dumpable is 1", "sysctl -w fs.suid_dumpable=0",
    ),
}  # fmt: skip
