"""One entry of the file as a worker that can be started, or why it cannot be for now.

The file is well formed when this begins. What is asked here is asked of the machine (is the
directory there, does the reference lead to a token), so an answer may change while the file does
not; and it stops this worker alone.
"""

import difflib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from orchestrator.client.endpoint import Endpoint
from orchestrator.core.tags import believed
from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.protocol.jobs import PARAMS as KINDS
from orchestrator.protocol.limits import TAGS
from orchestrator.protocol.tokens import WorkerToken
from orchestrator.supervisor.config import envfile, tokens
from orchestrator.supervisor.config.complaints import title
from orchestrator.supervisor.config.model import SECRET_NAME, Common, File, Limits, Part, Worker
from orchestrator.supervisor.config.places import Folders, PathFault
from orchestrator.supervisor.config.problem import Level, Problem, errors
from orchestrator.supervisor.config.references import REFERENCE, References, Unresolved
from orchestrator.supervisor.config.text.sheet import Sheet, Steps
from orchestrator.supervisor.logic.wanted import (
    JobLimits,
    Place,
    ServerWanted,
    WorkerIdentity,
    WorkerWanted,
)

ENV_BYTES: Final = 64 * 1024
"""Settings reach a worker in one message of 128 KiB, and its environment is half of it at most."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A worker that is left out until its problems are gone."""

    name: str
    place: Place
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class Entries:
    """The workers of one file."""

    file: File
    sheet: Sheet
    server: ServerWanted | None
    folders: Folders
    references: References
    problems: list[Problem] = field(default_factory=list)
    """Of all entries, each once."""

    def entry(self, index: int) -> "WorkerWanted | Parked":
        """Return one of them."""
        return _Entry(self, index).resolved()


class _Entry:
    """One of them, while it is looked at."""

    def __init__(self, entries: Entries, index: int) -> None:
        self._file = entries.file
        self._sheet = entries.sheet
        self._server = entries.server
        self._folders = entries.folders
        self._references = entries.references
        self._all = entries.problems
        self._own = entries.file.workers[index]
        self._said = _with_defaults(entries.file.defaults, self._own)
        self._steps: Steps = ("workers", index)
        self._problems: list[Problem] = []

    def resolved(self) -> WorkerWanted | Parked:
        """Return the worker, or everything that keeps it from being started."""
        folder = self._working_directory()
        url = self._server_url()
        text, token = self._token(url)
        env = self._environment()
        tags = self._tags()
        self._check_kinds()
        self._check_concurrency()
        place = self._sheet.place(self._sheet.key_at(self._steps))
        name = self._own.name or (token.worker_id if token else None)
        if name is None and not self._problems:
            hint = "write 'name: …': it is enrolled with the embedded server by that name"
            self._note(self._steps, "name", "a worker without a token needs a name", hint)
        if stops := errors(self._problems):
            return Parked(name or title(self._sheet, self._steps), place, stops)
        machine_id, worker_id = (token.machine_id, token.worker_id) if token else ("", "")
        return WorkerWanted(
            name=name or "",
            identity=WorkerIdentity(url or "", machine_id, worker_id),
            token=text,
            working_directory=folder,
            place=place,
            tags=tags,
            env=env,
            env_pass=self._said.env_pass,
            kinds=self._said.kinds,
            limits=_limits(self._said.limits),
            concurrency=self._said.concurrency,
            enabled=self._said.enabled,
            paused=self._said.paused,
            create_working_directory=self._said.create_working_directory,
            allow_insecure=self._said.allow_insecure,
            drain_timeout_s=self._said.drain_timeout or self._file.machine.drain_timeout,
            canary=self._said.canary,
            kill_grace_s=self._said.kill_grace,
        )

    def _note(
        self,
        steps: Steps,
        code: str,
        message: str,
        hint: str | None = None,
        level: Level = Level.ERROR,
    ) -> None:
        problem = self._sheet.problem(
            self._sheet.value_at(steps), code, message, hint=hint, level=level
        )
        self._problems.append(problem)
        if problem not in self._all:  # what `defaults` says is wrong for many, and told once
            self._all.append(problem)

    def _where(self, key: str) -> Steps:
        """Return where a key is said: by the worker itself, else for all."""
        own = key in self._own.model_fields_set or key not in self._file.defaults.model_fields_set
        return (*self._steps, key) if own else ("defaults", key)

    def _working_directory(self) -> Path:
        steps, text = self._where("working_directory"), self._said.working_directory
        if text is None:
            hint = "write 'working_directory: ~/Projects/web'"
            self._note(self._steps, "directory", f"{self._title} has no working_directory", hint)
            return Path()
        try:
            path = self._folders.path(text)
        except PathFault as fault:
            self._note(steps, "path", fault.message)
            return Path()
        # One that is not started may wait for its directory.
        level = Level.ERROR if self._said.enabled else Level.WARNING
        try:
            is_directory = stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            if not self._said.create_working_directory or path.is_symlink():
                self._references.files.add(path)  # when it appears, the worker can be started
                hint = f"make it with: mkdir -p {path}  – or say 'create_working_directory: true'"
                self._note(steps, "directory", f"there is no directory {path}", hint, level)
            return path
        except OSError as error:
            why = (error.strerror or "").lower()
            self._note(steps, "directory", f"{path} cannot be looked at: {why}", None, level)
            return path
        if not is_directory:
            self._note(steps, "directory", f"{path} is no directory", None, level)
        elif not os.access(path, os.R_OK | os.X_OK):
            what = f"the directory {path} may not be entered"
            self._note(steps, "directory", what, None, level)
        return path

    @property
    def _title(self) -> str:
        return title(self._sheet, self._steps)

    def _server_url(self) -> str | None:
        """Return the address; empty for the embedded server, nothing where none is known."""
        old, new = self._said.convex_url, self._said.server_url
        key = "convex_url" if new is None and old is not None else "server_url"
        steps, text = self._where(key), new if new is not None else old
        if old is not None:
            self._note(
                self._where("convex_url"),
                "deprecated",
                "convex_url is the old name of server_url",
                "rename it" if new is None else "remove it: server_url counts",
                Level.WARNING,
            )
        if text is None:
            if self._server is None:
                hint = "write 'server_url: https://…' here or in 'defaults'"
                self._note(self._steps, "server", f"{self._title} has no server_url", hint)
                return None
            return ""
        try:
            server = Endpoint.parse(text, "unused")
        except ConfigInvalid as error:
            self._note(steps, "server", error.message, error.hint)
            return None
        if self._server is not None and server.local and _port(server) == self._server.port:
            return ""
        if not server.secure and not server.local and not self._said.allow_insecure:
            self._note(
                steps,
                "insecure",
                "plain http would show the token to everybody on the way",
                "use https://, or say 'allow_insecure: true' for this worker",
            )
        return server.url

    def _token(self, url: str | None) -> tuple[str | None, WorkerToken | None]:
        steps, said = (*self._steps, "token"), self._own.token
        if said is None:
            if url != "" or self._server is None:
                hint = "enrol the worker (ORCHESTRATOR.md, Another machine), or copy its token here"
                self._note(self._steps, "token", f"{self._title} has no token", hint)
            return None, None
        text = self._followed(steps, said)
        if text is None:
            return None, None
        if text != text.strip():
            what = "there are spaces or line ends around the token"
            self._note(steps, "token-spaces", what, "they are ignored", Level.WARNING)
        text = text.strip()
        token = WorkerToken.parse(text)
        if token is None:
            self._references.secrets.add(text)
            self._note(steps, "token", *tokens.fault(text))
        else:
            self._references.secrets |= {text, token.secret}
        return text, token

    def _followed(self, steps: Steps, text: str) -> str | None:
        if REFERENCE.search(text) is None:
            return text
        try:
            return self._references.resolve(text)
        except Unresolved as why:
            self._note(steps, "reference", why.message, why.hint)
            return None

    def _environment(self) -> Mapping[str, str]:
        env = self._env_file()
        for owner, said in ((("defaults",), self._file.defaults), (self._steps, self._own)):
            for name, text in said.env.items():
                value = self._followed((*owner, "env", name), text)
                if value is not None:
                    env[name] = value
        secret = (value for name, value in env.items() if SECRET_NAME.fullmatch(name))
        self._references.secrets.update(secret)
        size = sum(len(name.encode()) + len(value.encode()) + 2 for name, value in env.items())
        if size > ENV_BYTES:
            what = f"all variables together are {size:,} bytes; {ENV_BYTES:,} are allowed"
            self._note((*self._steps, "env"), "env", what, "put large ones into a file")
        return MappingProxyType(env)

    def _env_file(self) -> dict[str, str]:
        steps, said = self._where("env_file"), self._said.env_file
        if said is None:
            return {}
        try:
            path = self._folders.path(said)
            self._references.files.add(path)
            found = envfile.read(path)
        except PathFault as fault:
            self._note(steps, "path", fault.message)
            return {}
        for each in found.faults:
            self._note(steps, "env-file", each.message, each.hint, each.level)
        return dict(found.values)

    def _tags(self) -> tuple[str, ...]:
        tags = tuple(dict.fromkeys((*self._file.machine.tags, *self._said.tags)))
        if len(tags) > TAGS:
            what = f"with the machine's these are {len(tags)} tags; {TAGS} are allowed"
            self._note(self._where("tags"), "tags", what)
        self._check_tags(("machine", "tags"), self._file.machine.tags)
        self._check_tags(self._where("tags"), self._said.tags)
        return tags

    def _check_tags(self, steps: Steps, said: tuple[str, ...]) -> None:
        """Warn of tags that every worker has by what it is, whatever a file says."""
        for index, tag in enumerate(said):
            if not believed([tag]):
                name = tag.partition("=")[0]
                self._note(
                    (*steps, index),
                    "built-in-tag",
                    f"the tag {tag!r} is not believed: what a worker has of {name} is built in",
                    "remove it; jobs that require such a tag go by the machine itself",
                    Level.WARNING,
                )

    def _check_kinds(self) -> None:
        """Warn of kinds that no worker of this version has."""
        for index, kind in enumerate(self._said.kinds or ()):
            if kind not in KINDS:
                close = difflib.get_close_matches(kind.lower(), sorted(KINDS), 1, 0.6)
                guess = f": did you mean {close[0]!r}?" if close else ""
                self._note(
                    (*self._where("kinds"), index),
                    "unknown-kind",
                    f"no worker of this version has the kind {kind!r}{guess}",
                    f"there are: {', '.join(sorted(KINDS))}; it gets no jobs of any other",
                    Level.WARNING,
                )

    def _check_concurrency(self) -> None:
        """Warn of more jobs at once than the machine may run."""
        most = self._file.machine.max_jobs
        # Of `auto` a file knows nothing: it may be for a larger machine as well.
        if most != "auto" and self._said.concurrency > most:
            self._note(
                self._where("concurrency"),
                "concurrency",
                f"at most {most} of these {self._said.concurrency:,} ever run at once, because of "
                f"machine.max_jobs ({most})",
                "raise machine.max_jobs, or lower this",
                Level.WARNING,
            )


def _with_defaults(defaults: Common, own: Worker) -> Worker:
    """Return what holds for a worker: what it says, else what is said for all, else nothing."""
    limits = Limits.model_construct(**{**_set(defaults.limits), **_set(own.limits)})
    return Worker.model_construct(**{**_set(defaults), **_set(own), "limits": limits})


def _set(part: Part) -> dict[str, Any]:
    """Return what a part of the file says itself."""
    return {name: getattr(part, name) for name in part.model_fields_set}


def _limits(said: Limits) -> JobLimits:
    return JobLimits(
        timeout_s=said.timeout,
        memory_bytes=said.memory,
        cpus=said.cpus,
        pids=said.pids,
        open_files=said.open_files,
        output_bytes=said.output,
        nice=said.nice,
    )


def _port(server: Endpoint) -> int:
    _, colon, port = server.netloc.rpartition(":")
    return int(port) if colon and port.isdigit() else 443 if server.secure else 80
