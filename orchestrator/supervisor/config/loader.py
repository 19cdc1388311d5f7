"""Load a configuration: a file becomes what is wanted of this machine, or every problem at once.

What is wrong with the file as such (its syntax, its keys, who may read it) leaves nothing; what is
wrong with one worker leaves that worker out. It starts nothing but the programs that a `${cmd:…}`
names, and it changes nothing.
"""

import hashlib
import ipaddress
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from orchestrator.kernel import paths
from orchestrator.supervisor.config import complaints, modes
from orchestrator.supervisor.config.included import Texts, gather
from orchestrator.supervisor.config.model import SECRET_NAME, VERSION, Common, File, Server
from orchestrator.supervisor.config.places import Folders, PathFault
from orchestrator.supervisor.config.problem import Level, Problem, errors
from orchestrator.supervisor.config.references import REFERENCE, References
from orchestrator.supervisor.config.text import document
from orchestrator.supervisor.config.text.document import Mark, Node
from orchestrator.supervisor.config.text.sheet import Sheet, Steps, plain
from orchestrator.supervisor.config.workers import Entries, Parked
from orchestrator.supervisor.logic.wanted import (
    LogWanted,
    MachineWanted,
    MetricsWanted,
    Place,
    ServerWanted,
    WorkerWanted,
)

SHORTEST_SECRET: Final = 6
"""Shorter ones would be found in everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of a file."""

    path: Path
    wanted: MachineWanted | None
    """`None`: the file is refused as a whole."""
    problems: tuple[Problem, ...] = ()
    """All of them, from the top of the file to its end; also those of parked workers."""
    parked: tuple[Parked, ...] = ()
    digest: str = ""
    """The SHA-256 of its bytes; empty where it could not be read."""
    raw: bytes = field(default=b"", repr=False)
    """Its bytes, as they were when it was loaded."""
    included: Texts = field(default=(), repr=False)
    """What was included held then."""
    files: tuple[Path, ...] = ()
    """What else was read, or looked for: a token that changes changes a worker."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """What must not be seen in any log."""

    @property
    def ok(self) -> bool:
        """Tell whether there is nothing to mend; a warning can wait."""
        return not errors(self.problems)


def load(
    path: Path,
    environ: Mapping[str, str],
    *,
    state_dir: Path | None = None,
    kept: bytes | None = None,
    kept_included: Texts | None = None,
) -> Loaded:
    """Load a file; whatever is wrong is told, never raised.

    `kept` is what it once held: that is loaded instead, as if it still stood there; the same holds
    for `kept_included` and what it includes.
    """
    path = Path(os.path.normpath(Path.cwd() / path))
    try:
        taken = modes.take(path, document.BYTES) if kept is None else modes.Taken(kept, None)
    except modes.Untaken as why:
        code = "missing" if why.missing else "unreadable"
        problem = Problem(
            place=Place(str(path), 1, 1),
            code=code,
            message=why.message,
            hint="orchestrator init writes one to begin with" if why.missing else why.hint,
        )
        return Loaded(path=path, wanted=None, problems=(problem,))
    read = document.read(taken.raw, must_be_json=path.suffix == ".json")
    sheet = Sheet(path, taken.raw, read)
    included = gather(sheet, environ, kept_included)
    problems = sheet.faults(read) + included.problems
    loaded = Loaded(
        path=path,
        wanted=None,
        digest=_digest(taken.raw, included.texts),
        raw=taken.raw,
        included=tuple(included.texts),
        files=tuple(sorted(included.watched)),
    )
    if sheet.root is None or plain(sheet.root) is None:
        return replace(loaded, problems=_in_order(path, problems or [_empty(sheet)]))
    file = _modelled(sheet.root, sheet, problems)
    if file is None:
        return replace(loaded, problems=_in_order(path, problems))
    open_to_others = (taken.open_to_others, *included.open_to_others)
    reading = _Reading(sheet, file, open_to_others, problems)
    return reading.loaded(loaded, environ, state_dir or paths.state_dir())


def _digest(raw: bytes, included: list[tuple[Path, bytes]]) -> str:
    """Return what stands for the content of all of it; without others that is the file's own."""
    whole = hashlib.sha256(raw)
    for path, text in included:
        whole.update(b"\0" + os.fsencode(path) + b"\0" + hashlib.sha256(text).digest())
    return whole.hexdigest()


def _in_order(path: Path, problems: list[Problem]) -> tuple[Problem, ...]:
    """Return them from the top of the file to its end, and then those of other files."""
    return tuple(sorted(problems, key=lambda one: (one.place.file != str(path), *one.place)))


def _empty(sheet: Sheet) -> Problem:
    hint = "orchestrator init writes one to begin with"
    return sheet.problem(Mark(1, 1), "empty", "there is nothing in this file", hint=hint)


def _modelled(root: Node, sheet: Sheet, problems: list[Problem]) -> File | None:
    """Return the file as its model, or add what keeps it from being one."""
    data = plain(root)
    if sheet.path.suffix == ".json" and isinstance(data, dict) and "version" not in data:
        message = "'version' is missing: this is read as the file of an older system"
        hint = f'write "version": {VERSION} at its beginning'
        level = Level.WARNING
        problems.append(sheet.problem(root.at, "no-version", message, hint=hint, level=level))
        data["version"] = VERSION
    try:
        file = File.model_validate(data)
    except ValidationError as error:
        problems += complaints.complain(error, sheet)
        return None
    return file


class _Reading:
    """A well-formed file, while it is compared with the machine."""

    def __init__(
        self,
        sheet: Sheet,
        file: File,
        open_to_others: tuple[str | None, ...],
        problems: list[Problem],
    ) -> None:
        self._sheet = sheet
        self._file = file
        self._open_to_others = open_to_others
        self._problems = problems

    def loaded(self, loaded: Loaded, environ: Mapping[str, str], state_dir: Path) -> Loaded:
        """Return it with what is wanted."""
        folders = Folders(self._sheet.path.parent, environ)
        references = References(folders, environ)
        server = self._server(folders)
        self._check_names()
        self._check_mode()
        self._check_metrics()
        self._check_log(folders)
        if not self._file.workers and server is None:
            hint = "add a worker below 'workers:', or an embedded server"
            self._note(Mark(1, 1), "nothing", "there is nothing to run in this file", hint)
        entries = Entries(self._file, self._sheet, server, folders, references)
        found = [entries.entry(index) for index in range(len(self._file.workers))]
        found = self._without_twins(found, entries.problems)
        refused = bool(errors(self._problems))
        problems = _in_order(loaded.path, self._problems + entries.problems)
        workers = tuple(worker for worker in found if isinstance(worker, WorkerWanted))
        return replace(
            loaded,
            wanted=None if refused else self._machine(server, workers, state_dir, folders),
            problems=problems,
            parked=tuple(worker for worker in found if isinstance(worker, Parked)),
            files=tuple(sorted({*references.files, *loaded.files})),
            secrets=frozenset(s for s in references.secrets if len(s) >= SHORTEST_SECRET),
        )

    def _note(self, at: Mark, code: str, message: str, hint: str | None = None) -> None:
        self._problems.append(self._sheet.problem(at, code, message, hint=hint))

    def _server(self, folders: Folders) -> ServerWanted | None:
        said = self._file.server
        if said is None or not said.embedded:
            return None
        host, port = said.listen
        if not said.insecure_http and not _loopback(host):
            self._note(
                self._sheet.value_at(("server", "listen")),
                "insecure",
                f"without encryption, others on the network could read the keys (host {host})",
                "listen on 127.0.0.1, or say 'insecure_http: true'",
            )
        return ServerWanted(
            host=host,
            port=port,
            insecure_http=said.insecure_http,
            data_dir=self._data_dir(said, folders),
        )

    def _metrics(self) -> MetricsWanted | None:
        said = self._file.machine.metrics
        return said.listen and MetricsWanted(*said.listen, said.insecure_http)

    def _check_metrics(self) -> None:
        wanted = self._metrics()
        if wanted is None:
            return
        at = self._sheet.value_at(("machine", "metrics", "listen"))
        if wanted.port == 0:
            self._note(at, "port", "nobody would know the port", "choose one, such as 9464")
        if not wanted.insecure_http and not _loopback(wanted.host):
            self._note(
                at,
                "insecure",
                f"everybody on the network could read the figures (host {wanted.host})",
                "listen on 127.0.0.1, or say 'insecure_http: true' beside it",
            )

    def _log(self, folders: Folders) -> LogWanted:
        said = self._file.machine.log
        return LogWanted(
            level=said.level,
            format=said.format,
            directory=paths.worker_log_dir()
            if said.directory is None
            else folders.path(said.directory),
            file_bytes=said.max_size,
            files=said.max_files,
            keep_s=said.retain,
        )

    def _check_log(self, folders: Folders) -> None:
        said, steps = self._file.machine.log.directory, ("machine", "log", "directory")
        if said is None:
            return
        try:
            path = folders.path(said)
        except PathFault as fault:
            self._note(self._sheet.value_at(steps), "path", fault.message)
            return
        if path == paths.log_dir():
            what = f"the orchestrator and the server keep their own logs in {path}"
            hint = f"name another folder, such as {path / 'workers'}"
            self._note(self._sheet.value_at(steps), "directory", what, hint)
            return
        there = next(each for each in (path, *path.parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            what = f"nothing can be written to {there}"
            hint = f"let this user do so, or make {path} for it"
            self._note(self._sheet.value_at(steps), "directory", what, hint)

    def _data_dir(self, said: Server, folders: Folders) -> Path:
        if said.data_dir is None:
            return paths.data_dir() / "server"
        try:
            return folders.path(said.data_dir)
        except PathFault as fault:
            self._note(self._sheet.value_at(("server", "data_dir")), "path", fault.message)
            return Path()

    def _check_names(self) -> None:
        met: dict[str, int] = {}
        for index, worker in enumerate(self._file.workers):
            if worker.name is None:
                continue
            first = met.setdefault(worker.name, index)
            if first != index:
                self._problems.append(
                    self._sheet.problem(
                        self._sheet.value_at(("workers", index, "name")),
                        "duplicate-name",
                        f"another worker is called {worker.name!r} as well",
                        hint="each worker has a name of its own",
                        first=(
                            "the first one is here",
                            self._sheet.value_at(("workers", first, "name")),
                        ),
                    )
                )

    def _check_mode(self) -> None:
        """Refuse a file that others can read and that holds a secret itself."""
        if not any(self._open_to_others):
            return
        said: list[tuple[Steps, str | None]] = []
        for index, worker in enumerate(self._file.workers):
            said.append((("workers", index, "token"), worker.token))
            said += [(("workers", index, "env", name), text) for name, text in _secrets(worker)]
        said += [(("defaults", "env", name), text) for name, text in _secrets(self._file.defaults)]
        for steps, text in said:
            at = self._sheet.value_at(steps)
            command = self._open_to_others[at.source]
            if command is not None and text is not None and REFERENCE.search(text) is None:
                what = "a token" if steps[-1] == "token" else f"the secret {steps[-1]}"
                self._note(
                    at,
                    "mode",
                    f"other users can read this file, and it holds {what}",
                    f"close it with: {command}",
                )
                return

    def _without_twins(
        self, found: list[WorkerWanted | Parked], problems: list[Problem]
    ) -> list[WorkerWanted | Parked]:
        """Leave out a worker that is another one already: two would push each other out."""
        met: dict[object, int] = {}
        kept: list[WorkerWanted | Parked] = []
        for index, worker in enumerate(found):
            if isinstance(worker, WorkerWanted) and worker.identity.worker_id:
                first = met.setdefault(worker.identity, index)
                if first != index:
                    twin = self._twin(worker, index, first)
                    problems += twin.problems
                    kept.append(twin)
                    continue
            kept.append(worker)
        return kept

    def _twin(self, worker: WorkerWanted, index: int, first: int) -> Parked:
        problem = self._sheet.problem(
            self._sheet.value_at(("workers", index, "token")),
            "duplicate-token",
            "this is the token of another worker of this file",
            hint="each worker has its own: enrol this one as well, or remove it",
            first=("the first one is here", self._sheet.value_at(("workers", first, "token"))),
        )
        place = self._sheet.place(self._sheet.key_at(("workers", index)))
        return Parked(worker.name, place, (problem,))

    def _machine(
        self,
        server: ServerWanted | None,
        workers: tuple[WorkerWanted, ...],
        state_dir: Path,
        folders: Folders,
    ) -> MachineWanted:
        said = self._file.machine
        return MachineWanted(
            server=server,
            workers=workers,
            name=said.name or platform.node()[:64] or "machine",
            max_jobs=(os.cpu_count() or 1) if said.max_jobs == "auto" else said.max_jobs,
            drain_timeout_s=said.drain_timeout,
            keep_jobs_on_stop=said.keep_jobs_on_stop,
            min_free_bytes=_bytes_of(said.disk.min_free, state_dir),
            spool_max_bytes=said.disk.spool_max,
            metrics=self._metrics(),
            log=self._log(folders),
            watch=said.watch_config,
        )


def _secrets(said: Common) -> list[tuple[str, str]]:
    """Return the variables whose names say that they are secret."""
    return [(name, text) for name, text in said.env.items() if SECRET_NAME.fullmatch(name)]


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bytes_of(said: float | None, folder: Path) -> int | None:
    """Return a size; a share is that of the disk on which the folder is, or will be."""
    if said is None or isinstance(said, int):
        return said
    while not folder.exists():
        folder = folder.parent
    return round(shutil.disk_usage(folder).total * said)
