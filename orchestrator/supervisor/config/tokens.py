"""What is wrong with a text that should be a worker's token, without repeating any of it."""

import re
from typing import Final

FORMAT: Final = "a token looks like machine_…:worker_…:secret_…"
PLACEHOLDERS: Final = frozenset(
    {
        "changeme", "change-me", "change_me", "default-secret-change-in-production", "example",
        "placeholder", "replace-me", "replace_me", "secret", "todo", "token", "xxx",
        "your-random-secret-key-here", "your-token-here", "your_token_here",
    }
)  # fmt: skip
"""What templates of this and of older systems hold."""
_PLACEHOLDER: Final = re.compile(
    r"<.*>|\[.*\]|\{.*\}|x{3,}|\.{3}|…"
    r"|machine_(id|[.…x<\[]|abc|\d{1,5}:).*|.*secret_(secret|[.…x<\[]|xyz|abc|token).*"
    r"|.*(your[-_ ]|change[-_ ]?me|placeholder|replace[-_ ]).*",
    re.IGNORECASE,
)
_SHAPES: Final = {"machine": 26, "worker": 26, "secret": 49}


def fault(text: str) -> tuple[str, str]:
    """Return what is wrong with it, and what to do."""
    bare = text.strip()
    if not bare:
        return "the token is empty", FORMAT
    if bare.lower() in PLACEHOLDERS or _PLACEHOLDER.fullmatch(bare):
        return (
            "this token is a placeholder",
            f"put the worker's own here: {FORMAT}; enrolling the worker gives it",
        )
    if re.match(r"[psw]ak_", bare):
        return (
            "this is an API key and no worker's token",
            f"{FORMAT}; enrolling a worker with a key wak_… gives it one",
        )
    return f"this is no worker's token: {_difference(bare)}", FORMAT


def _difference(text: str) -> str:
    parts = text.split(":")
    if len(parts) != len(_SHAPES):
        return f"it has {len(parts)} part{'s' * (len(parts) != 1)} between colons, not three"
    for part, (name, length) in zip(parts, _SHAPES.items(), strict=True):
        prefix, _, rest = part.partition("_")
        if prefix != name:
            return f"a part does not begin with {name}_"
        if not rest.isascii() or not rest.isalnum():
            return f"{name}_ is followed by something else than letters and digits"
        if len(rest) != length:
            return f"{name}_ is followed by {len(rest)} characters, not {length}"
    return "a letter of it is wrong or in the wrong case; copy it again"
