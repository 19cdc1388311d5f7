"""What a word without quotes stands for: the core schema of YAML 1.2, and nothing more.

`no`, `on`, `1:30` and `1_000` are text, because in a configuration they are meant so; only `true`
and `false` are truths, only digits are numbers.
"""

import re
from typing import Final

Scalar = str | int | float | bool | None
_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
"""More digits than that are nothing that is counted here, so they stay text."""
_BASED: Final = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}", re.ASCII)
_BROKEN: Final = re.compile(
    r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII
)
CORE_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))
"""What may be said explicitly: that something is what it looks like, or that it is text."""


def resolve(text: str) -> Scalar:
    """Return what a plain scalar stands for."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _BROKEN.fullmatch(text):
        return float(text)
    return text
