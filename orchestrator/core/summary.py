"""What a job runs, in a line: for lists, for those who search, and for naming failures.

It is short, because it lies in every job's row, and it is no promise: the spec has everything.
"""

import shlex
from collections.abc import Mapping
from typing import Final

CHARS: Final = 160
"""As much as a wide terminal shows; a list of a million jobs is read past all of them."""
_WORDS: Final = CHARS + 1
"""Of a command: each takes a character at least, and one may have ten thousand."""


def summary(params: Mapping[str, object]) -> str:
    """Return the beginning of what is run: a command as it could be typed, a script's first line.

    Characters that would act on a terminal are left out.
    """
    argv, script = params.get("argv"), params.get("script")
    if isinstance(argv, list):
        text = shlex.join(str(word)[: CHARS + 1] for word in argv[:_WORDS])
    elif isinstance(script, str):
        text = next((line for line in script[: 8 * CHARS].splitlines() if line.strip()), "")
    else:
        text = ", ".join(f"{name} {value}" for name, value in list(params.items())[:8])
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= CHARS else f"{line[: CHARS - 1]}…"
