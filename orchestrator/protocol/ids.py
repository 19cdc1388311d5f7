"""Ids: a word that says what it names, and a sortable, unguessable rest.

26 characters of Crockford's base 32 hold 48 bits of milliseconds and 80 random bits (the ULID
layout), so rows arrive in index order and nobody can guess a neighbour. Time and randomness are
arguments.
"""

import re
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
RANDOM_BYTES: Final = 10
_BODY: Final = re.compile(rf"[{ALPHABET}]{{26}}")


def make_id(prefix: str, *, at_ms: int, random: bytes) -> str:
    """Return `prefix_` and 26 characters for a moment and ten random bytes."""
    number = ((at_ms & (1 << 48) - 1) << 80) | int.from_bytes(random[:RANDOM_BYTES], "big")
    shifts = range(125, -1, -5)
    return f"{prefix}_{''.join(ALPHABET[number >> shift & 31] for shift in shifts)}"


def is_id(prefix: str, text: str) -> bool:
    """Tell whether `text` has the form of an id of that kind."""
    head, _, body = text.partition("_")
    return head == prefix and _BODY.fullmatch(body) is not None
