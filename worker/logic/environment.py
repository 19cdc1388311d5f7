"""What a job finds in its environment: little of the worker's, and all of its own.

An allow-list, because a list of what is secret is never complete: no token, no path of ours, no
variable that makes a program load foreign code comes along.
"""

from collections.abc import Mapping
from typing import Final

KEPT: Final = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"}
)
KEPT_PREFIX: Final = "LC_"
DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
"""For a worker that was itself started without a PATH."""


def base(surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return what of the worker's own environment every job gets."""
    kept = {
        name: value
        for name, value in surroundings.items()
        if name in KEPT or name.startswith(KEPT_PREFIX)
    }
    return {"PATH": DEFAULT_PATH, **kept}


def for_job(common: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return a job's environment: what is common to all, and over it what it asked for."""
    return {**common, **own}
