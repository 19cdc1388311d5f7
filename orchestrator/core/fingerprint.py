"""What failed jobs have in common: a name for failures that differ only in numbers and places.

A hundred jobs that fail for one reason are one thing to mend. What they last said is stripped of
all that varies from one run to the next; what is left is compared.
"""

import hashlib
import re
from typing import Final

from orchestrator.protocol.words import Reason

LOOKED_AT_CHARS: Final = 1024
"""Of a line, before anything is left out: one may have half a megabyte, and the database waits."""
WORDS_CHARS: Final = 200
"""Enough for a sentence; what follows is mostly data."""
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_VARYING: Final = re.compile(
    r"0[xX][0-9a-fA-F]+|\b[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*\b|\d+(?:[.:,_-]\d+)*"
)
_PLACE: Final = re.compile(r"(?:/[\w.@#+-]+){2,}")


def normalised(line: str) -> str:
    """Return how a line begins, without colours, numbers, addresses, ids and folders."""
    text = _ESCAPES.sub("", line[:LOOKED_AT_CHARS])
    text = _PLACE.sub(lambda match: "…/" + match[0].rsplit("/", 1)[1], text)
    text = _VARYING.sub("#", text)
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:WORDS_CHARS]


def fingerprint(kind: str, reason: Reason | None, exit_code: int | None, words: str) -> str:
    """Return the name of a failure; `words` are normalised."""
    told = "\0".join([kind, reason or "", "" if exit_code is None else str(exit_code), words])
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
