"""Edit a configuration for somebody: one thing in it, shown before, and refused if it would break.

The text is changed by `text/editing.py` and read again: unless exactly the wanted thing has become
another one, and nothing is wrong that was not wrong before, the file stays as it is. It is replaced
as a whole, only if it still holds what was read, and it keeps its owner, its group and its mode.
"""

import contextlib
import copy
import difflib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from yaml import YAMLError

from orchestrator.kernel.errors import (
    AlreadyExists,
    ConfigInvalid,
    NotFound,
    Refused,
    StateUnavailable,
)
from orchestrator.kernel.files import sync_dir
from orchestrator.supervisor.config import modes
from orchestrator.supervisor.config.loader import Loaded, load
from orchestrator.supervisor.config.model import Name
from orchestrator.supervisor.config.problem import errors
from orchestrator.supervisor.config.text import document, editing
from orchestrator.supervisor.config.text.document import Mark
from orchestrator.supervisor.config.text.editing import Steps, Uneditable
from orchestrator.supervisor.config.text.masking import Mask
from orchestrator.supervisor.config.text.sheet import plain

PARTS: Final = ("server", "machine", "defaults")
BY_HAND: Final = "edit the file yourself; `orchestrator check` tells what is wrong with it"
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Edited:
    """A configuration as it was, and as it is to be."""

    path: Path
    before: bytes
    after: bytes

    def diff(self) -> list[str]:
        """Return what differs, with everything hidden that could be a secret."""
        old, new = _shown(self.before), _shown(self.after)
        changes = difflib.unified_diff(old, new, str(self.path), str(self.path), n=1, lineterm="")
        return list(changes)

    def write(self) -> None:
        """Replace the file, unless somebody else did so meanwhile."""
        target = self.path.resolve()
        try:
            with _alone(target.parent):
                if target.read_bytes() != self.before:
                    raise Refused(
                        f"{self.path} was changed meanwhile, and stays as it is",
                        hint="look at it, then say this again",
                    )
                _replace(target, self.after)
        except OSError as error:
            raise StateUnavailable(
                f"cannot write {target}: {error.strerror}",
                hint="check that it is there, and that its folder is writable and has room",
            ) from error


def put(path: Path, environ: Mapping[str, str], name: str, value: str) -> Edited:
    """Return the file with another value of `name`, such as `web.concurrency`."""
    source = _Source(path, environ)
    steps = source.steps(name)

    def changed(tree: Any, parsed: object) -> None:  # noqa: ANN401 - what a file may hold
        _place(tree, steps, parsed)

    return source.edited(
        lambda text, written: editing.put(text, steps, written), changed, values=[value]
    )


def said(path: Path, environ: Mapping[str, str], name: str) -> object:
    """Return what is said of `name`, as it stands in the file; nothing, if nothing is."""
    source = _Source(path, environ)
    return source.at(source.steps(name))


def unset(path: Path, environ: Mapping[str, str], name: str) -> Edited:
    """Return the file without the key `name`: what is meant without it holds again."""
    source = _Source(path, environ)
    steps = source.steps(name)
    if source.at(steps) is None:
        raise NotFound(f"{name} is not said in {path}")

    def changed(tree: Any, _parsed: object) -> None:  # noqa: ANN401 - as above
        _take_away(tree, steps)

    return source.edited(lambda text, _written: editing.remove(text, steps), changed)


def remove(path: Path, environ: Mapping[str, str], name: str) -> Edited:
    """Return the file without that worker."""
    source = _Source(path, environ)
    index = source.index(name)

    def changed(tree: Any, _parsed: object) -> None:  # noqa: ANN401 - as above
        del tree["workers"][index]

    return source.edited(lambda text, _written: editing.remove(text, ("workers", index)), changed)


def add(
    path: Path,
    environ: Mapping[str, str],
    name: str,
    keys: Sequence[tuple[str, str | int]],
    *,
    token: str | None = None,
) -> Edited:
    """Return the file with one more worker, of which these keys are said.

    `token` is what `kept_token` will lead to, as soon as it is kept there.
    """
    check_name(name)
    source = _Source(path, environ)
    if name in source.names():
        raise AlreadyExists(
            f"there is a worker {name!r} already",
            hint=f"change it with: orchestrator set {name}.KEY VALUE",
        )
    said: list[tuple[str, str | int]] = [("name", name), *keys]
    written = [(key, _quoted(source, value)) for key, value in said]
    entry = {key: _parsed(text) for key, text in written}

    def changed(tree: Any, _parsed: object) -> None:  # noqa: ANN401 - as above
        tree.setdefault("workers", []).append(entry)

    return source.edited(
        lambda text, _written: editing.append(text, "workers", written),
        changed,
        leads_to=(kept_token(name), token or kept_token(name)),
    )


def check_name(name: str) -> None:
    """Refuse what is no name of a worker, before anything is called so."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        (fault,) = error.errors()
        hint = fault.get("ctx", {}).get("hint")
        raise ConfigInvalid(f"{name!r}: {fault['msg']}", hint=hint) from None


def kept_token(name: str) -> str:
    """Return how a worker's token is said that is kept beside the file."""
    return f"${{file:tokens/{name}}}"


class _Source:
    """The file as it is now."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path
        self._environ = environ
        try:
            self._raw = modes.take(path, document.BYTES).raw
        except modes.Untaken as why:
            hint = "orchestrator init writes one to begin with" if why.missing else why.hint
            raise ConfigInvalid(why.message, hint=hint) from None
        self._loaded = load(path, environ, kept=self._raw)
        self._is_json = path.suffix == ".json"
        self._tree = _tree(self._raw)
        if self._tree is None or (self._loaded.wanted is None and not self._says_nothing):
            raise ConfigInvalid(_rendered(self._loaded), hint="mend this first")

    @property
    def _says_nothing(self) -> bool:
        """Tell whether all that is wrong is that there is nothing in it yet."""
        return all(problem.code == "nothing" for problem in errors(self._loaded.problems))

    def names(self) -> list[str | None]:
        """Return what the workers are called in the file, by their place in it."""
        entries = self._tree.get("workers", []) if self._tree else []
        return [entry.get("name") if isinstance(entry, dict) else None for entry in entries]

    def index(self, name: str) -> int:
        """Return which entry that is."""
        names = self.names()
        if name not in names:
            known = ", ".join(sorted(filter(None, names))) or "none that has a name"
            what = f"there is no worker {name!r} in {self.path}"
            wanted = self._loaded.wanted
            for worker in () if wanted is None else wanted.workers:
                if worker.name == name:
                    raise NotFound(what, hint=f"it stands at {worker.place}: edit it there")
            raise NotFound(what, hint=f"there are: {known}")
        return names.index(name)

    def steps(self, name: str) -> Steps:
        """Return the way to what is named: `web.concurrency`, `machine.max_jobs`."""
        first, _, rest = name.partition(".")
        if first in PARTS and rest:
            return (first, *rest.split("."))
        told = name.removeprefix("workers.")
        # The longest first: a name may have dots in it.
        for worker in sorted(filter(None, self.names()), key=len, reverse=True):
            if told.startswith(f"{worker}.") and (keys := told.removeprefix(f"{worker}.")):
                return ("workers", self.index(worker), *keys.split("."))
        if rest:
            self.index(first)
        raise ConfigInvalid(
            f"{name!r} names nothing that could be set",
            hint="write WORKER.KEY, machine.KEY, defaults.KEY or server.KEY",
        )

    def at(self, steps: Steps) -> object:
        """Return what is there now."""
        found: Any = self._tree
        for step in steps:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def edited(
        self,
        edit: Callable[[str, str], str],
        change: Callable[[Any, object], None],
        values: Sequence[str] = ("",),
        leads_to: tuple[str, str] = ("", ""),
    ) -> Edited:
        """Return the file after an edit that did to its text what `change` does to its tree.

        A reference that does not lead there yet is judged as what it will lead to.
        """
        text = self._raw.decode("utf-8-sig")
        why = "it is written in a way that is not understood here"
        for value in _ways(values[0], is_json=self._is_json):
            wanted = copy.deepcopy(self._tree)
            change(wanted, _parsed(value))
            try:
                after = edit(text, value).encode()
            except (Uneditable, YAMLError, ValueError) as error:
                why = str(error) if isinstance(error, Uneditable) else why
                continue
            if _tree(after) == wanted:
                bom = _BOM if self._raw.startswith(_BOM) else b""
                return self._checked(Edited(self.path, self._raw, bom + after), leads_to)
        raise Refused(f"{self.path} cannot be edited here: {why}", hint=BY_HAND)

    def _checked(self, edited: Edited, leads_to: tuple[str, str]) -> Edited:
        """Refuse what would not be run, or leaves something out that runs now."""
        reference, value = (each.encode() for each in leads_to)
        judged = edited.after.replace(reference, value) if reference else edited.after
        loaded = load(self.path, self._environ, kept=judged)
        before = {(one.code, one.message) for one in errors(self._loaded.problems)}
        new = [one for one in errors(loaded.problems) if (one.code, one.message) not in before]
        if loaded.wanted is None or new:
            told = [line for one in new or errors(loaded.problems) for line in one.render()]
            raise ConfigInvalid(
                "\n".join(told), hint=f"these are lines as they would be; {self.path} is unchanged"
            )
        return edited


def _ways(value: str, *, is_json: bool) -> Iterator[str]:
    """Yield how a value may be written: as it was said, else as text in quotes."""
    read = document.read(value.encode())
    one_line = "\n" not in value and not read.faults and read.root is not None
    if is_json:
        yield json.dumps(_parsed(value) if one_line else value)
        return
    if one_line:
        yield value
    yield json.dumps(value, ensure_ascii=False)


def _quoted(source: _Source, value: str | int) -> str:
    """Return a value as it is written in that file."""
    if isinstance(value, int):
        return str(value)
    written = json.dumps(value, ensure_ascii=False)
    if source.path.suffix == ".json":
        return written
    plainly = document.read(f"x: {value}\n".encode())
    same = plainly.root is not None and plain(plainly.root) == {"x": value}
    return value if same and not plainly.faults else written


def _parsed(text: str) -> object:
    root = document.read(text.encode()).root
    return "" if root is None else plain(root)


def _tree(raw: bytes) -> dict[str, Any] | None:
    """Return what a text says; nothing, if it cannot be read, or if it says something twice."""
    read = document.read(raw)
    tree = plain(read.root) if read.root is not None and not read.faults else None
    return tree if isinstance(tree, dict) else None


def _place(tree: Any, steps: Steps, value: object) -> None:  # noqa: ANN401 - what a file may hold
    for at, step in enumerate(steps):
        if isinstance(step, int):
            tree = tree[step]
        elif not isinstance(tree, dict):
            what = f"{steps[at - 1]!r} is no mapping" if at else "the file is no mapping"
            raise ConfigInvalid(f"there is no place for {step!r}: {what}")
        elif at == len(steps) - 1:
            tree[step] = value
        else:
            tree = tree.setdefault(step, {})


def _take_away(tree: Any, steps: Steps) -> None:  # noqa: ANN401 - as above
    """Remove a key, and the mappings that then would be empty."""
    first, *rest = steps
    if rest:
        _take_away(tree[first], tuple(rest))
    if not rest or (isinstance(first, str) and tree[first] == {}):
        del tree[first]


def _shown(raw: bytes) -> list[str]:
    lines = document.lines_of(raw)
    mask = Mask(lines, document.read(raw).root)
    shown = [mask.line(Mark(number + 1, 1))[0] for number in range(len(lines))]
    return shown[:-1] if shown and not shown[-1] else shown


def _rendered(loaded: Loaded) -> str:
    return "\n".join(line for one in errors(loaded.problems) for line in one.render())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other edit of ours come in between."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(target: Path, raw: bytes) -> None:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    seen = target.stat()
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            file.write(raw)
            file.flush()
            _give(file.fileno(), target, seen)
            os.fchmod(file.fileno(), seen.st_mode & 0o777)
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync_dir(target.parent)


def _give(descriptor: int, target: Path, seen: os.stat_result) -> None:
    """Let a new file be whose the old one is: a service that may read it reads it through those."""
    ours = os.fstat(descriptor)
    if (ours.st_uid, ours.st_gid) == (seen.st_uid, seen.st_gid):
        return
    try:
        os.fchown(descriptor, seen.st_uid, seen.st_gid)
    except OSError:
        raise Refused(
            f"{target} belongs to user {seen.st_uid} and group {seen.st_gid}, and this user "
            "cannot make a file that does: it stays as it is",
            hint=BY_HAND,
        ) from None
