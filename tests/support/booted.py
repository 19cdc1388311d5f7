"""A machine that systemd has booted: as the first process of namespaces of its own.

Units, sockets, state and control groups are the namespace's own, so nothing of it is left on the
machine that runs the tests, and when its first process is killed the kernel ends all the others.
The network is the machine's. Needs root.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.support.source import ROOT
from tests.support.waiting import wait_until

SYSTEMD: Final = Path("/lib/systemd/systemd")
ACCOUNT: Final = "jobs"
UID: Final = 4_242
"""Of a plain user whom only the namespace knows."""
UNITS: Final = (
    *("sysinit.target", "basic.target", "multi-user.target", "network.target", "shutdown.target"),
    *("sockets.target", "timers.target", "paths.target", "slices.target", "umount.target"),
    *("final.target", "reboot.target", "poweroff.target", "exit.target", "systemd-exit.service"),
    *("systemd-poweroff.service", "systemd-reboot.service"),
    *("user.slice", "user@.service", "user-runtime-dir@.service"),
    *("dbus.service", "dbus.socket"),
    *("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"),
)
"""Everything that it knows: no hardware, no login, no network."""
SPACES: Final = ("--mount", "--uts", "--ipc", "--pid", "--cgroup")
SCRIPT: Final = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p "$WORK/units" "$WORK/lib" "$WORK/covered"
for unit in $UNITS; do
    file=/usr/lib/systemd/system/$unit
    if [ -e $file ]; then cp $file "$WORK/units/"; fi
done
mount --bind "$WORK/units" /usr/lib/systemd/system
mount -t tmpfs -o mode=755 tmpfs /etc/systemd/system
mount -t tmpfs -o mode=755 tmpfs /var/log
mount --bind "$WORK/lib" /var/lib
{ cat /etc/passwd; echo "$ACCOUNT:x:$ID:$ID::/var/lib/$ACCOUNT:/bin/sh"; } > "$WORK/passwd"
{ cat /etc/group; echo "$ACCOUNT:x:$ID:"; } > "$WORK/group"
mount --bind "$WORK/passwd" /etc/passwd
mount --bind "$WORK/group" /etc/group
mkdir -m 700 "/var/lib/$ACCOUNT"
chown "$ID:$ID" "/var/lib/$ACCOUNT"
# A plain user cannot enter root's home, and what tests run may be in there.
home=~root
mount --bind "$home" "$WORK/covered"
mount -t tmpfs -o mode=755 tmpfs "$home"
for path in $NEEDED; do
    case $path in
    "$home"/*) mkdir -p "$path"; mount --bind "$WORK/covered/${path#"$home"/}" "$path" ;;
    esac
done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test $SYSTEMD --system \
    --log-target=console --show-status=0 --unit=basic.target </dev/null >"$WORK/console" 2>&1
"""


class Booted:
    """One such machine; `booted()` gives one."""

    def __init__(self, work: Path, group: Path) -> None:
        self.work = work
        self._group = group
        needed = dict.fromkeys([sys.base_prefix, str(ROOT), sys.prefix])
        with (work / "boot").open("wb") as errors:
            self._process = subprocess.Popen(
                [
                    *("sh", "-c", 'echo $$ > "$GROUP/cgroup.procs"; exec "$@"', "sh"),
                    *("unshare", *SPACES, "--fork", "--kill-child", "sh", "-c", SCRIPT),
                ],
                env={
                    "PATH": os.environ["PATH"],
                    "WORK": str(work),
                    "GROUP": str(group),
                    "UNITS": " ".join(UNITS),
                    "ACCOUNT": ACCOUNT,
                    "ID": str(UID),
                    "NEEDED": " ".join(needed),
                    "SYSTEMD": str(SYSTEMD),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        self._first = 0

    def wait(self) -> None:
        """Return when it has booted."""
        wait_until(self._is_up, timeout_s=20, what="systemd booted")
        self.must("systemctl", "start", "systemd-journald.service", "dbus.service")

    def _is_up(self) -> bool:
        assert self._process.poll() is None, (self.work / "boot").read_text()
        if not self._first:
            children = psutil.Process(self._process.pid).children()
            systemd = [child for child in children if child.name() == "systemd"]
            self._first = systemd[0].pid if systemd else 0
        return bool(self._first) and self.run("systemctl", "is-system-running").stdout.strip() in {
            "running",
            "degraded",
        }

    def run(
        self, *argv: str, env: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in it to its end."""
        return subprocess.run(
            self.words(*argv),
            env={"PATH": os.environ["PATH"], **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def words(self, *argv: str) -> list[str]:
        """Return the command line that runs a program in it."""
        return ["nsenter", "--target", str(self._first), *SPACES, "--wd=/", *argv]

    def must(self, *argv: str, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> str:
        """Run a program that has to succeed, and return what it printed."""
        done = self.run(*argv, env=env, timeout_s=timeout_s)
        assert done.returncode == 0, f"{shlex.join(argv)}: {done.stdout}{done.stderr}{self.said()}"
        return done.stdout.strip()

    def start_manager_of_account(self) -> dict[str, str]:
        """Start the manager of the plain user, as a login does, and return what leads there."""
        folder = self.place("/etc/systemd/system/user@.service.d")
        folder.mkdir()
        lines = ("[Service]", "PAMName=", "Environment=XDG_RUNTIME_DIR=/run/user/%i", "")
        (folder / "test.conf").write_text("\n".join(lines))
        self.must("systemctl", "daemon-reload")
        self.must("systemctl", "start", f"user@{UID}.service")
        return {"XDG_RUNTIME_DIR": f"/run/user/{UID}"}

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.must("systemctl", "show", f"--property={name}", "--value", unit)

    def said(self) -> str:
        """Return the last lines of its log, for the message of a test that fails."""
        lines = self.run("journalctl", "--no-pager", "--lines=40", "--unit=orch*").stdout
        return f"\n--- console\n{(self.work / 'console').read_text()[-3000:]}\n--- log\n{lines}"

    def place(self, path: str) -> Path:
        """Return where a file of it is seen from here."""
        return Path(f"/proc/{self._first}/root") / path.lstrip("/")

    def off(self) -> None:
        """Pull the plug."""
        if self._first:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._first, signal.SIGKILL)
        self._process.kill()
        self._process.wait(10)
        wait_until(lambda: "populated 0" in (self._group / "cgroup.events").read_text())
        for folder in sorted(self._group.rglob("*/"), reverse=True):
            folder.rmdir()
        self._group.rmdir()


def _groups() -> Path | None:
    """Return where this process is in the second hierarchy of control groups."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    top = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    own = next(
        (
            line[4:-1]
            for line in Path("/proc/self/cgroup").read_text().splitlines(keepends=True)
            if line.startswith("0::/")
        ),
        None,
    )
    return None if top is None or own is None else Path(top) / own


def _missing() -> str | None:
    """Return what keeps systemd from being booted here."""
    if os.geteuid() != 0:
        return "root"
    if not SYSTEMD.exists():
        return "systemd (Debian's package)"
    if (group := _groups()) is None or not os.access(group, os.W_OK):
        return "a control group that can be written to"
    if subprocess.run(["unshare", *SPACES, "--fork", "true"], check=False).returncode:
        return "the right to make namespaces"
    return None


@contextlib.contextmanager
def booted(work: Path) -> Iterator[Booted]:
    """Give a machine that is up, or skip and say what is missing."""
    if (missing := _missing()) is not None:
        pytest.skip(f"NOT TESTED under a real systemd: needs {missing}")
    parent = _groups()
    assert parent is not None
    group = parent / f"orchestrator-test-{os.getpid()}-{os.urandom(4).hex()}"
    group.mkdir()
    work.mkdir(parents=True, exist_ok=True)
    machine = Booted(work, group)
    try:
        machine.wait()
        yield machine
    finally:
        machine.off()
        shutil.rmtree(work, ignore_errors=True)
