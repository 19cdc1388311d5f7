"""Credentials: what they look like, and what of them is stored.

A token is 256 random bits in base 62 behind a prefix that tells its kind, with a checksum so that
a secret scanner (and a mistyped paste) can be told from a real one. Only the SHA-256 is ever
stored: at 256 bits of entropy a slow hash would buy nothing.
"""

import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import Final

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_BYTES: Final = 32
_BODY_CHARS: Final = 43
_CHECK_CHARS: Final = 6
KEY_PREFIXES: Final = ("pak", "sak", "wak")
"""Personal, service and worker-enrolment API keys."""
_TRIPLE: Final = re.compile(
    r"(machine_[0-9a-z]{26}):(worker_[0-9a-z]{26}):(secret_[0-9A-Za-z]{49})"
)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK_CHARS)


def make_token(prefix: str, random: bytes) -> str:
    """Return a token of that kind for 32 random bytes."""
    body = f"{prefix}_{_base62(int.from_bytes(random[:SECRET_BYTES], 'big'), _BODY_CHARS)}"
    return body + _checksum(body)


def is_well_formed(token: str, prefix: str) -> bool:
    """Tell a token that we made from a mistyped one, without asking any store."""
    body, check = token[:-_CHECK_CHARS], token[-_CHECK_CHARS:]
    length = len(prefix) + 1 + _BODY_CHARS + _CHECK_CHARS
    return len(token) == length and token.startswith(f"{prefix}_") and _checksum(body) == check


def token_hash(token: str) -> str:
    """Return what is stored of a token: the hexadecimal SHA-256 of its UTF-8 bytes."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class WorkerToken:
    """The triple `machine_…:worker_…:secret_…` by which a worker is known."""

    machine_id: str
    worker_id: str
    secret: str

    @classmethod
    def parse(cls, text: str) -> "WorkerToken | None":
        """Return the triple, or `None` when `text` is not one."""
        match = _TRIPLE.fullmatch(text)
        if match is None or not is_well_formed(match[3], "secret"):
            return None
        return cls(match[1], match[2], match[3])

    def is_of(self, other: "WorkerToken") -> bool:
        """Tell whether the other one is of the same worker, whatever its secret."""
        return (self.machine_id, self.worker_id) == (other.machine_id, other.worker_id)

    def __str__(self) -> str:
        return f"{self.machine_id}:{self.worker_id}:{self.secret}"

    def __repr__(self) -> str:
        return f"WorkerToken({self.machine_id}:{self.worker_id}:secret_…)"
