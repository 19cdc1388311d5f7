"""Have a call of a living program fail, as the kernel would say it."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def failing(
    pid: int, call: str, error: str, number: int, *, follow: bool = True
) -> Iterator[list[str]]:
    """Have one call of a process fail, the `number`-th from now on in its thread.

    With `follow` in its other threads as well, and in each of its children. The list that is given
    holds, after the block, the calls that did fail.
    """
    met: list[str] = []
    inject = f"inject={call}:error={error}:when={number}"
    words = ["-f"] if follow else []
    argv = ["strace", *words, "-p", str(pid), "-e", f"trace={call}", "-e", inject]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as strace:
        try:
            assert strace.stderr is not None
            first = strace.stderr.readline()
            assert b"attached" in first, first
            yield met
        finally:
            strace.send_signal(signal.SIGINT)
            assert strace.stderr is not None
            said = strace.stderr.read().decode(errors="replace")
            met += [line for line in said.splitlines() if "(INJECTED)" in line]
