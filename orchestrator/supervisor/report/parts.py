"""What a report is made of: each part with its name and what it is, from whoever knows it.

Nothing here is redacted yet. Every part is optional: of a machine whose orchestrator does not
answer the report says what can be seen without it.
"""

import collections
import contextlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator import __version__
from orchestrator.client import log_files
from orchestrator.client.control import Control
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.machine import MachineStatus
from orchestrator.supervisor.config.loader import Loaded
from orchestrator.supervisor.config.text.masking import shown
from orchestrator.supervisor.doctor import packages
from orchestrator.supervisor.report.source import Source
from orchestrator.supervisor.service.manager import ask
from orchestrator.supervisor.service.systemd import Systemd

RECORDS: Final = 2_000
"""Of each log: what was said last, some hundred kilobytes."""
STACKS_S: Final = 2.0
_LOOK_S: Final = 0.05


class Part(NamedTuple):
    """One file of a report: a text, or a document."""

    name: str
    about: str
    content: object


def versions() -> Part:
    """Return which versions of what are here."""
    told = {
        "orchestrator": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
        "packages": {package.name: package.version for package in packages.needed()},
    }
    return Part("versions.json", "versions of the program, of Python and of the system", told)


def configuration(loaded: Loaded, source: Source) -> Iterator[Part]:
    """Yield what the file says, without values that may be secret, and what is wrong with it."""
    raw, root = source
    told = shown(root) if root is not None else f"{len(raw)} bytes that cannot be read as YAML"
    about = "the configuration: only values that are known not to be secret, and no comments"
    yield Part("configuration.json", about, {"file": str(loaded.path), "content": told})
    problems = [problem.as_json() for problem in loaded.problems]
    yield Part("problems.json", "what `orchestrator check` says of it", problems)


def running(control: Control) -> Iterator[Part]:
    """Yield what the orchestrator says of itself; one that stops answering says less."""
    with contextlib.suppress(OrchestratorError):
        told = json.loads(control.get("/v1/status").body)
        yield Part("status.json", "how every worker stands, with the jobs that run", told)
        lines = control.get("/v1/events").body.decode("utf-8", "replace").splitlines()
        about = "the last events of the orchestrator"
        yield Part("events.jsonl", about, [log_files.record(line) for line in lines])
        written = _Written([Path(it["log_file"]) for it in told["workers"] if it["pid"]])
        stacks = control.post("/v1/dump").body.decode("utf-8", "replace")
        yield Part("stacks.txt", "what each thread and task of it does: places, no values", stacks)
        written.wait()


class _Written:
    """Waits until workers have written their stacks into their logs, as they were asked to."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._ends = {path: self._size(path) for path in paths}

    @staticmethod
    def _size(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError:
            return 0

    def wait(self) -> None:
        """Return when all have, or after a while: one may hang, or not be ready yet."""
        deadline = time.monotonic() + STACKS_S
        while time.monotonic() < deadline and not all(map(self._has, self._ends)):
            time.sleep(_LOOK_S)

    def _has(self, path: Path) -> bool:
        end = self._ends[path]
        if self._size(path) < end:
            return True  # it was begun anew
        try:
            with path.open("rb") as file:
                file.seek(end)
                return b'"stacks.dumped"' in file.read()
        except OSError:
            return True


def logs(status: MachineStatus | None, loaded: Loaded | None, state_dir: Path) -> Iterator[Part]:
    """Yield the end of each worker's own log."""
    for name, path in sorted(_log_files(status, loaded, state_dir).items()):
        last = list(collections.deque(log_files.kept(path), maxlen=RECORDS))
        if last:
            yield Part(f"logs/{name}.jsonl", f"the end of the log of {name}", last)


def _log_files(
    status: MachineStatus | None, loaded: Loaded | None, state_dir: Path
) -> dict[str, Path]:
    """Return where each worker's log is: as it is told, else where it is usually."""
    if status is not None:
        return {it.name: Path(it.log_file) for it in status.workers if it.log_file is not None}
    wanted = None if loaded is None else loaded.wanted
    if wanted is not None and wanted.log.directory is not None:
        return {it.name: wanted.log.directory / f"{it.name}.log" for it in wanted.workers}
    return {path.parent.parent.name: path for path in state_dir.glob("workers/*/log/worker.log")}


def journal(manager: Systemd, name: str) -> Iterator[Part]:
    """Yield the end of what a service of ours said."""
    with contextlib.suppress(OrchestratorError):
        said = ask(manager.log_command(name, follow=False, lines=RECORDS)).stdout
        if said.strip():
            yield Part("logs/service.txt", "the end of what the service said", said)
