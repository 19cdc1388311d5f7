"""Starting a command with nothing of ours in it, and saying in a sentence why it did not start.

It knows the job's own view (its folder, its PATH) and no journal. The process gets a session of its
own, an empty signal mask, default signals and three descriptors; everything else of the shim is
close-on-exec.
"""

import errno
import os
import signal
import stat
from typing import Final

from worker.shim.inheritance import Inheritance
from worker.shim.line import Grant

_SIGNALS: Final = frozenset(signal.valid_signals())
_SHEBANG_BYTES: Final = 256
_SHOWN_CHARS: Final = 400
"""Of a name in a message: a longer one is not read by anybody."""


class NotStarted(Exception):
    """The command does not run; the text says why, and what to do."""


def start(grant: Grant, *, stdin: int, stdout: int, stderr: int, inheritance: Inheritance) -> int:
    """Start the command in its folder and return its pid, or raise `NotStarted`."""
    if not grant.argv:
        raise NotStarted("argv is empty: give at least the name of a program")
    enter(grant.cwd, grant.root)
    path = ""
    try:
        environment = _environment(grant)
        path = find(grant.argv[0], grant.env.get("PATH", os.defpath))
        argv = [_bytes(item) for item in grant.argv]
        with inheritance.worn(grant.open_files):
            pid = os.posix_spawn(
                path,
                argv,
                environment,
                file_actions=(
                    (os.POSIX_SPAWN_DUP2, stdin, 0),
                    (os.POSIX_SPAWN_DUP2, stdout, 1),
                    (os.POSIX_SPAWN_DUP2, stderr, 2),
                ),
                setsid=True,
                setsigmask=(),
                setsigdef=_SIGNALS,
            )
        inheritance.close(pid, open_files=grant.open_files, nice=grant.nice)
    except ValueError as error:
        raise NotStarted(
            f"argv or env holds text that no process can be given ({error}): "
            "remove NUL characters and lone surrogates"
        ) from error
    except OSError as error:
        raise NotStarted(_why(error, path, grant)) from error
    finally:
        # A folder that is some process's own cannot be unmounted.
        os.chdir("/")
    return pid


def _environment(grant: Grant) -> dict[bytes, bytes]:
    # The marks by which what survives a killed shim is found again.
    marked = {
        **grant.env,
        "ORCHESTRATOR_JOB_ID": grant.job,
        "ORCHESTRATOR_ATTEMPT": str(grant.attempt),
    }
    return {_bytes(name): _bytes(value) for name, value in marked.items()}


def _bytes(text: str) -> bytes:
    # Not os.fsencode: what a job is given does not depend on the launcher's locale.
    return text.encode("utf-8", "surrogateescape")


def enter(cwd: str, root: str | None) -> None:
    """Make `cwd` the current folder; it must lie in `root`, however its name leads there.

    Asked after entering and not before: a link that is changed in between changes nothing.
    """
    try:
        os.chdir(_bytes(cwd))
    except (OSError, ValueError) as error:
        raise NotStarted(_why_not_entered(error, cwd)) from error
    if root is not None:
        here = os.getcwd()
        if here != root and not here.startswith(root.rstrip("/") + "/"):
            os.chdir("/")
            raise NotStarted(
                f"working directory {_shown(cwd)} leads to {_shown(here)}, outside of "
                f"{_shown(root)}: give a folder inside the worker's directory"
            )


def _why_not_entered(error: Exception, cwd: str) -> str:
    match error:
        case FileNotFoundError():
            return (
                f"working directory {_shown(cwd)} does not exist on this worker: "
                "create it, or give another one"
            )
        case NotADirectoryError():
            return f"working directory {_shown(cwd)} is not a folder: give the folder that it is in"
        case PermissionError():
            return (
                f"working directory {_shown(cwd)} may not be entered: open it to the worker's user"
            )
        case _:
            return (
                f"working directory {_shown(cwd)} cannot be entered ({_reason(error)}): "
                "give another one"
            )


def find(name: str, search: str) -> str:
    """Return the file that `name` means in the current folder with that PATH."""
    if "/" in name:
        return name
    blocked = None
    for folder in search.split(":"):
        path = f"{folder or '.'}/{name}"
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
        if blocked is None and os.path.isfile(path):
            blocked = path
    if blocked is not None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), blocked)
    raise NotStarted(
        f"executable {_shown(name)} was not found in the job's PATH ({_short(search)}): "
        "install it on this worker, or give its full path or another PATH"
    )


def _why(error: OSError, path: str, grant: Grant) -> str:
    """Return a sentence that names the thing and says what to do."""
    name = _shown(path or error.filename or grant.argv[0])
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return _why_not_found(path, grant)
        case errno.EACCES if os.path.isdir(path):
            return f"executable {name} is a folder: give the path of a program"
        case errno.EACCES | errno.EPERM:
            return (
                f"executable {name} is not executable for the worker's user: "
                "set its x permission (chmod +x), or start it through its interpreter"
            )
        case errno.ENOEXEC:
            return (
                f"executable {name} has no format that this machine can run: begin a script "
                "with a line such as #!/bin/sh, or build the program for this machine"
            )
        case errno.E2BIG:
            return _why_too_big(grant)
        case errno.EAGAIN | errno.ENOMEM | errno.EMFILE | errno.ENFILE:
            return (
                f"executable {name} could not be started because this machine has no more room "
                f"for processes ({_reason(error)}): run fewer jobs here, or raise its limits"
            )
        case _:
            return f"executable {name} could not be started ({_reason(error)})"


def _why_not_found(path: str, grant: Grant) -> str:
    interpreter = _interpreter(path)
    if interpreter is not None:
        return (
            f"executable {_shown(path)} names the interpreter {_shown(interpreter)}, which this "
            "worker does not have: install it, or correct the first line"
        )
    return (
        f"executable {_shown(path)} does not exist in {_shown(grant.cwd)}: "
        "check its name, and that it is on this worker or among the job's inputs"
    )


def _interpreter(path: str) -> str | None:
    """Return what a script's first line names, or that a program lacks its loader; else `None`."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, "rb") as file:
            line = file.read(_SHEBANG_BYTES).partition(b"\n")[0]
    except OSError:
        return None
    words = line[2:].split() if line.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else "its dynamic loader"


def _why_too_big(grant: Grant) -> str:
    longest = max((len(item.encode(errors="replace")) for item in grant.argv), default=0)
    argv = sum(len(item) + 1 for item in grant.argv)
    env = sum(len(name) + len(value) + 2 for name, value in grant.env.items())
    return (
        f"the arguments ({argv} characters, the longest of {longest} bytes) and the environment "
        f"({env} characters) are too long for this machine: "
        "pass data by stdin or as an input file"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _shown(text: str) -> str:
    return repr(_short(text))


def _short(text: str) -> str:
    half = _SHOWN_CHARS // 2
    return text if len(text) <= _SHOWN_CHARS else f"{text[:half]}…{text[-half:]}"
