"""A report as a file: redacted, looked through once more, and only then given a name.

What is found by the second look is not given away, and neither is it repeated: the message names
the part alone.
"""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import AlreadyExists, Refused, StateUnavailable
from orchestrator.supervisor.logic.redaction import Redactor
from orchestrator.supervisor.report.parts import Part

FOLDER: Final = "orchestrator-bug-report"
_MODE: Final = 0o600


class SecretFound(Refused):
    """There is a secret in what was to be given away."""

    code = "secret_found"


def packed(parts: Sequence[Part], redactor: Redactor, moment: int) -> bytes:
    """Return a tar.gz of all parts, in which no known secret is, or raise `SecretFound`."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as archive:
        for part in (_about(parts), *parts):
            body = _body(part, redactor)
            entry = tarfile.TarInfo(f"{FOLDER}/{redactor.text(part.name)}")
            entry.size, entry.mode, entry.mtime = len(body), _MODE, moment
            archive.addfile(entry, io.BytesIO(body))
    _look_through(text.getvalue(), redactor)
    return gzip.compress(text.getvalue(), mtime=moment)


def _about(parts: Iterable[Part]) -> Part:
    lines = [f"{part.name}: {part.about}" for part in parts]
    head = [
        "What an orchestrator knows of its machine, for whoever is to find out what is wrong.",
        "Secrets were taken out, and what is left was searched for them. Names of people,",
        "machines, folders and jobs are in here: look at it before you send it.",
        "",
    ]
    return Part("about.txt", "", "\n".join([*head, *lines]))


def _body(part: Part, redactor: Redactor) -> bytes:
    if isinstance(part.content, str):
        return redactor.text(part.content).encode("utf-8", "backslashreplace")
    content = redactor.value(part.content)
    if part.name.endswith(".jsonl") and isinstance(content, list):
        text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in content)
    else:
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _look_through(text: bytes, redactor: Redactor) -> None:
    """Search every part as it is in the archive, by its name and by its content."""
    with tarfile.open(fileobj=io.BytesIO(text)) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            body = b"" if file is None else file.read()
            if redactor.leaks(body) or redactor.leaks(entry.name.encode()):
                name = entry.name.removeprefix(f"{FOLDER}/")
                raise SecretFound(
                    f"there is a secret in {name}, in a form that is not taken out; "
                    "nothing was written",
                    hint=f"look there what it is; --without {name} leaves that part out",
                )


def write(path: Path, body: bytes) -> None:
    """Write a new file for its owner alone; nothing is ever replaced."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, _MODE)
    except FileExistsError:
        hint = "choose another name with --output"
        raise AlreadyExists(f"{path} is there already", hint=hint) from None
    except OSError as error:
        raise StateUnavailable(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StateUnavailable(f"cannot write {path}: {error.strerror}") from error
