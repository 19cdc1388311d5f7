"""Values that stand elsewhere: `${file:…}`, `${env:…}`, `${cmd:…}` and `${cred:…}`.

They are followed where a secret may be: in a token and in the values of `env`. No shell is ever
involved, and nothing that was read is repeated in a message.
"""

import contextlib
import os
import re
import selectors
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from orchestrator.supervisor.config import modes
from orchestrator.supervisor.config.places import Folders, PathFault

COMMAND_S: Final = 10.0
"""As long as somebody waits for a reload; a password manager that asks a person is too slow."""
VALUE_BYTES: Final = 64 * 1024
"""Of one value; a token is 140 characters, a private key a few thousand."""
REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}?")
_HINT: Final = "there are ${file:PATH}, ${env:NAME}, ${cmd:PROGRAM …} and ${cred:NAME}"
_PIECE: Final = 65_536


class Unresolved(Exception):
    """A reference that leads nowhere: why, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(slots=True)
class References:
    """Follows references, each of them once however often it is used."""

    folders: Folders
    environ: Mapping[str, str] = field(repr=False)
    command_s: float = COMMAND_S
    files: set[Path] = field(default_factory=set)
    """What was read or looked for: when one of them changes, a value may."""
    secrets: set[str] = field(default_factory=set, repr=False)
    _known: dict[str, str | Unresolved] = field(default_factory=dict, repr=False)

    def resolve(self, text: str) -> str:
        """Return the text with every reference replaced, or raise `Unresolved`."""
        return REFERENCE.sub(self._replace, text)

    def _replace(self, found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        inside = found[1]
        if inside not in self._known:
            try:
                self._known[inside] = self._follow(inside, closed=found[0].endswith("}"))
            except Unresolved as why:
                self._known[inside] = why
        known = self._known[inside]
        if isinstance(known, Unresolved):
            raise known
        self.secrets.add(known)
        return known

    def _follow(self, inside: str, *, closed: bool) -> str:
        kind, colon, what = inside.partition(":")
        follow = {
            "file": self._file,
            "env": self._variable,
            "cmd": self._command,
            "cred": self._credential,
        }.get(kind)
        if not closed:
            raise Unresolved("a '${' is never closed by a '}'", "write $${ for the text itself")
        if follow is None or not colon:
            raise Unresolved("this is no reference that is known", f"{_HINT}; $${{ is the text ${{")
        if not what.strip():
            raise Unresolved(f"${{{kind}:}} says nothing after its colon", _HINT)
        return _one_line_end(kind, follow(what.strip()))

    def _file(self, what: str) -> str:
        try:
            path = self.folders.path(what)
        except PathFault as fault:
            raise Unresolved(fault.message) from None
        return self._read(path)

    def _read(self, path: Path) -> str:
        self.files.add(path)
        try:
            taken = modes.take(path, VALUE_BYTES)
        except modes.Untaken as why:
            raise Unresolved(why.message, why.hint) from None
        if taken.open_to_others:
            hint = f"close it with: {taken.open_to_others}"
            raise Unresolved(f"other users can read {path}", hint)
        return _text(taken.raw, f"{path}")

    def _variable(self, name: str) -> str:
        value = self.environ.get(name, "")
        if not value.strip():
            hint = "a service has an environment of its own: what a shell exports is not in it"
            raise Unresolved(f"the variable {name} is not set for the orchestrator", hint)
        return _text(os.fsencode(value), f"the variable {name}")

    def _credential(self, name: str) -> str:
        folder = self.environ.get("CREDENTIALS_DIRECTORY", "")
        if not folder:
            hint = f"start it by systemd with LoadCredential={name}:PATH in the unit"
            raise Unresolved("no credentials were passed by systemd", hint)
        if "/" in name or name in {".", ".."}:
            raise Unresolved("this is no name of a credential", "a name has no '/' in it")
        path = Path(folder) / name
        self.files.add(path)
        try:
            raw = modes.take(path, VALUE_BYTES).raw
        except modes.Untaken as why:
            raise Unresolved(why.message, why.hint) from None
        return _text(raw, f"the credential {name}")

    def _command(self, what: str) -> str:
        try:
            argv = shlex.split(what)
        except ValueError as error:
            raise Unresolved(f"the command cannot be split: {str(error).lower()}") from None
        if not argv:
            raise Unresolved("the command is empty", _HINT)
        raw = _output_of(argv, self.folders.base, self.environ, self.command_s)
        return _text(raw, f"what {argv[0]} printed")


def _text(raw: bytes, what: str) -> str:
    if len(raw) > VALUE_BYTES:
        raise Unresolved(f"{what} is longer than {VALUE_BYTES:,} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Unresolved(f"{what} is not UTF-8 text") from None
    if not text.strip():
        raise Unresolved(f"{what} is empty")
    if "\0" in text:
        raise Unresolved(f"{what} holds the character NUL")
    return text


def _one_line_end(kind: str, text: str) -> str:
    """Return the text without the line end that editors and `echo` add."""
    return text if kind == "env" else text.removesuffix("\n").removesuffix("\r")


def _output_of(argv: list[str], folder: Path, environ: Mapping[str, str], limit_s: float) -> bytes:
    """Run a program, and return what it printed; what it says about its troubles goes nowhere."""
    try:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or "it cannot be named so").lower()
        raise Unresolved(
            f"{argv[0]} cannot be started: {why}",
            "there is no shell: name a program, and its arguments after it",
        ) from None
    try:
        raw = _read_all(process, limit_s)
        code = process.wait(timeout=limit_s)
    except (TimeoutError, subprocess.TimeoutExpired):
        raise Unresolved(f"{argv[0]} was not done after {limit_s:g} s") from None
    finally:
        _end(process)
    if code:
        hint = "run it by hand to see what it says"
        raise Unresolved(f"{argv[0]} ended with exit code {code}", hint)
    return raw


def _read_all(process: subprocess.Popen[bytes], limit_s: float) -> bytes:
    """Return what it prints until it has closed its output, or one byte more than is allowed."""
    deadline, raw = monotonic() + limit_s, b""
    if process.stdout is None:
        return raw
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(raw) <= VALUE_BYTES:
            if not selector.select(max(0.0, deadline - monotonic())):
                raise TimeoutError
            piece = os.read(process.stdout.fileno(), _PIECE)
            if not piece:
                return raw
            raw += piece
    raise Unresolved(f"the command printed more than {VALUE_BYTES:,} bytes")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of it behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
