"""What a job finds in its environment: little of the worker's, and all of its own.

An allow-list, because a list of what is secret is never complete: no token, no path of ours, no
variable that makes a program load foreign code comes along. Who sets up a worker may name more; a
pattern is for what one did not think of, so it never lets through what looks like a secret.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

KEPT: Final = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"}
)
KEPT_PREFIX: Final = "LC_"
DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
"""For a worker that was itself started without a PATH."""
OURS: Final = re.compile(r"ORCHESTRATOR_.*|WORKER_TOKEN")
"""What tells programs of ours who they are: nobody passes that on to a job."""
_SECRET_WORDS: Final = re.compile(
    r"(?:.*(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|APIKEY|COOKIE)S?|KEYS?|PASS|PW)",
    re.IGNORECASE,
)
"""A part of a name, between underscores, by which people call what nobody else shall know."""
_SECRET_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@\s]*:[^/@\s]+@")
"""A URL with a password in it, as for a database."""


def base(surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return what of the worker's own environment every job gets."""
    kept = {
        name: value
        for name, value in surroundings.items()
        if name in KEPT or name.startswith(KEPT_PREFIX)
    }
    return {"PATH": DEFAULT_PATH, **kept}


def common(
    surroundings: Mapping[str, str], passed: Iterable[str], own: Mapping[str, str]
) -> dict[str, str]:
    """Return what all jobs of a worker get: the usual, what `passed` names, and `own` over it."""
    entries = [_Entry(pattern) for pattern in passed]
    more = {
        name: value
        for name, value in surroundings.items()
        if any(entry.lets_pass(name, value) for entry in entries)
    }
    return {**base(surroundings), **more, **own}


def looks_secret(name: str, value: str) -> bool:
    """Tell whether a variable seems to be something that a job has no business with."""
    named = any(_SECRET_WORDS.fullmatch(part) for part in name.split("_"))
    return named or _SECRET_ADDRESS.search(value) is not None


class _Entry:
    """One entry of `env_pass`: a name, or a pattern with `*`."""

    def __init__(self, pattern: str) -> None:
        self._is_pattern = "*" in pattern
        self._regex = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)

    def lets_pass(self, name: str, value: str) -> bool:
        """Tell whether a variable comes along."""
        if self._regex.fullmatch(name) is None or OURS.fullmatch(name) is not None:
            return False
        return not (self._is_pattern and looks_secret(name, value))


def for_job(common: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return a job's environment: what is common to all, and over it what it asked for."""
    return {**common, **own}
