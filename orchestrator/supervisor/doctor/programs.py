"""Where programs are found by a shell and by jobs, and what they say of themselves."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from orchestrator.supervisor.doctor.files import is_dir
from orchestrator.supervisor.doctor.process import folders
from orchestrator.supervisor.logic.doctor.facts import Programs
from orchestrator.supervisor.logic.doctor.programs import ASKED

PATIENCE_S: Final = 10.0
SHOWN_CHARS: Final = 60


def look(environ: Mapping[str, str], service: Sequence[str] | None, whose: str) -> Programs:
    """Look for programs on the PATH of the shell, and on that of the service."""
    shell = folders(environ)
    searched = shell if service is None else service
    found = {name: (_which(name, shell), _which(name, searched)) for name in ASKED}
    versions = {
        name: version
        for name, (_, path) in found.items()
        if path is not None and (version := _version(path, searched, environ))
    }
    return Programs(
        shell=tuple(shell),
        service=None if service is None else tuple(service),
        whose=whose,
        present=frozenset(path for path in (*shell, *searched) if is_dir(Path(path))),
        found=found,
        versions=versions,
    )


def _which(name: str, path: Sequence[str]) -> str | None:
    return shutil.which(name, path=":".join(path)) if path else None


def _version(program: str, path: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the first line that `--version` prints; it gets what a job would, and 10 seconds."""
    env = {"PATH": ":".join(path), **{k: environ[k] for k in ("HOME", "LANG") if k in environ}}
    try:
        process = subprocess.Popen(
            [program, "--version"],
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return ""
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return ""
    first = next(iter(said.decode(errors="replace").splitlines()), "")
    return "".join(filter(str.isprintable, first))[:SHOWN_CHARS].strip()
