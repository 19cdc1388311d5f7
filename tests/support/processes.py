"""Start real programs, read what they print, and prove that nothing of them stays.

Every program gets a session of its own, so a test can look for what it left behind by that number
alone: it never searches by name, and never signals what it did not start.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import wait_until

PATIENCE_S = 15.0


def family_of(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants that are alive now."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    """Tell whether it still does anything: the dead are for whoever adopted them to bury."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Family:
    """All processes that were ever seen below one, by pid and start time."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: set[psutil.Process] = set()

    def look(self) -> None:
        """Remember everybody who is there now."""
        self._seen.update(family_of(self._pid))

    def assert_gone(self) -> None:
        """Fail when one of them is still alive, after ending it so that the next test is clean."""
        _, alive = psutil.wait_procs(list(self._seen), timeout=5)
        left = [process for process in alive if _lives(process)]
        names = [f"{process.pid} {process.name()}" for process in left]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert not names, f"left behind: {names}"


class Program:
    """A running program whose output is collected as it comes."""

    def __init__(
        self, argv: Sequence[str | Path], *, env: dict[str, str], cwd: Path | None = None
    ) -> None:
        self.argv = [str(item) for item in argv]
        self._process = subprocess.Popen(
            self.argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.family = Family(self.pid)
        self._chunks: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._chunks
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        pipe = getattr(self._process, name)
        while chunk := os.read(pipe.fileno(), 65_536):
            self._chunks[name].append(chunk)
        pipe.close()

    def __repr__(self) -> str:
        return f"{' '.join(self.argv)} (pid {self.pid}, exit {self.returncode})\n{self.said}"

    @property
    def stdout(self) -> str:
        """Return what it has printed so far."""
        return b"".join(self._chunks["stdout"]).decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Return what it has said on standard error so far."""
        return b"".join(self._chunks["stderr"]).decode(errors="replace")

    @property
    def said(self) -> str:
        """Return both, for the message of a failed test."""
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    @property
    def returncode(self) -> int | None:
        """Return its exit code, negative for a signal, `None` while it runs."""
        return self._process.poll()

    def wait_for(self, text: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until it has printed `text`, on either stream; fail at once if it ends before."""

        def printed() -> bool:
            over = self.returncode is not None
            if over:
                self._drain()
            found = text in self.stdout or text in self.stderr
            assert found or not over, f"ended without printing {text!r}: {self!r}"
            return found

        try:
            wait_until(printed, timeout_s=timeout_s, what=f"{text!r} was printed")
        except AssertionError as gave_up:
            raise AssertionError(f"{gave_up}\n{self!r}") from None

    def signal(self, number: int) -> None:
        """Send a signal to this one process."""
        self._process.send_signal(number)

    def wait(self, *, timeout_s: float = PATIENCE_S) -> int:
        """Return its exit code once it and everybody who holds its output have ended."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s: {self!r}") from None
        self._drain()
        return code

    def _drain(self) -> None:
        for reader in self._readers:
            reader.join(PATIENCE_S)

    def stop(self, *, timeout_s: float = PATIENCE_S) -> int:
        """Ask it to end, and return its exit code; kill it and fail when it does not."""
        if self.returncode is None:
            self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout_s=timeout_s)
        finally:
            if self.returncode is None:
                self._process.kill()
                self._process.wait()


@contextlib.contextmanager
def program(
    *argv: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Program]:
    """Run a program for the length of a block; afterwards nothing of its process tree is left.

    What is to survive a kill inside the block is found only if `family.look()` saw it before.
    """
    started = Program(argv, env=clean_environment() if env is None else env, cwd=cwd)
    try:
        yield started
    finally:
        started.family.look()
        started.stop()
        started.family.assert_gone()


def python(*arguments: str) -> list[str]:
    """Return the command line of this interpreter with those arguments."""
    return [sys.executable, *arguments]


def clean_environment(home: Path | None = None, **more: str) -> dict[str, str]:
    """Return an environment in which a program finds only `home`, and nothing of this machine."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    if home is not None:
        kept |= {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }
    return kept | more


def open_descriptors(pid: int | None = None) -> dict[int, str]:
    """Return what each file descriptor of a process (by default this one) is, on Linux."""
    folder = Path(f"/proc/{pid or os.getpid()}/fd")
    found: dict[int, str] = {}
    for entry in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[int(entry.name)] = str(entry.readlink())
    return found


AS_PLAIN_USER = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
"""A user namespace: the programs see uid 1000 and have none of root's rights."""


def plain_user() -> list[str]:
    """Return what makes a plain user of the one who runs the tests: nothing, if he is one."""
    if os.geteuid() != 0:
        return []
    possible = shutil.which("unshare") is not None and (
        subprocess.run([*AS_PLAIN_USER, "true"], capture_output=True, check=False).returncode == 0
    )
    if not possible:
        pytest.skip("needs user namespaces to become a plain user")
    return AS_PLAIN_USER
