"""Run a command for so long, and leave nobody of its behind.

A test that fails over a mistake in the product may leave what the product would have ended. Whoever
loses its parent below here becomes a child of this process, so all of them are found and killed,
and nobody else is.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.kernel import linux
from tests.support.source import ROOT

OUT_OF_TIME: Final = 124


class Told(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    said: str


def begin(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], seconds: float
) -> "subprocess.Popen[str]":
    """Start a command in a cage of its own. Whoever is told to end there ends all of it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.mutants.cage", str(seconds), str(cwd), *argv],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        errors="replace",
    )


def main(seconds: str, cwd: str, *argv: str) -> int:
    """Run the command; return its exit code, or 124 if it took too long."""
    linux.become_subreaper()
    signal.signal(signal.SIGTERM, _end)
    process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(timeout=float(seconds))
    except subprocess.TimeoutExpired:
        return OUT_OF_TIME
    finally:
        _sweep()


def _end(*_: object) -> None:
    _sweep()
    os._exit(OUT_OF_TIME)


def _sweep() -> None:
    """Kill all below, and those who come here by that, until nobody is left."""
    while children := linux.children():
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
