"""What a job, which runs as the same user, cannot learn from the processes that keep it."""

import subprocess
import sys

from tests.support.needs import needs_root
from tests.support.processes import clean_environment, plain_user
from tests.support.source import ROOT
from tests.support.workers import Workplace

PEEK = """
found=
for pid in $PPID $(cat worker.pid); do
    for file in environ mem maps; do
        if head -c 1 /proc/$pid/$file >/dev/null 2>&1; then found="$found $file"; fi
    done
    grep -h CoreDumping /proc/$pid/status >/dev/null
done
echo "found:$found"
"""
HIDE = """
import os, signal
from orchestrator.kernel import descriptors, linux
linux.children()  # what it imports need not be readable for the other user
os.setgroups([]); os.setgid(65534); os.setuid(65534)
before = descriptors.left()
assert linux.hide_memory()
assert descriptors.left() == before > 0
assert os.stat(f"/proc/{os.getpid()}/environ").st_uid == 0
assert linux.start_time(os.getpid())
pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
assert linux.children() == [pid]
assert linux.descendants() == [pid]
fd = linux.open_pidfd(pid)
signal.pidfd_send_signal(fd, signal.SIGKILL)
os.waitpid(pid, 0)
if os.fork() == 0:
    try:
        open(f"/proc/{os.getppid()}/environ")
    except PermissionError:
        os._exit(0)
    os._exit(1)
assert os.wait()[1] == 0
print("hidden")
"""


@needs_root("can become somebody else")
def test_a_hidden_process_goes_on_and_shows_nothing() -> None:
    """Whoever is not root looks at himself as before, and at the other one in vain."""
    done = subprocess.run(
        [sys.executable, "-c", HIDE],
        env=clean_environment(PYTHONPATH=str(ROOT)),
        cwd="/",
        capture_output=True,
        check=False,
        timeout=20,
    )

    assert done.stdout == b"hidden\n", done.stderr.decode()


def test_a_job_reads_neither_its_shim_nor_its_worker(place: Workplace) -> None:
    """Memory and environment of both are closed to whoever runs as the same plain user."""
    place.limits = f'exec {" ".join(plain_user())} "$@"' if plain_user() else "true"
    worker = place.start()
    (place.directory / "worker.pid").write_text(str(worker.pid))

    job = place.server.sh(PEEK)
    place.server.end(job)

    assert place.server.attempt(job).stream("stdout") == b"found:\n"
