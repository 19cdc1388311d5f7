"""Durations, sizes and shares as people write them, and as numbers.

Units are part of the text, so that nobody has to remember whether a number meant seconds.
"""

import re
from typing import Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|[smhd])", re.ASCII)
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([kmgt]i?b|b)", re.ASCII | re.IGNORECASE)
_BYTES: Final = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%", re.ASCII)


def wrong(message: str, hint: str | None = None) -> PydanticCustomError:
    """Return what a validator raises: a sentence of ours, and what to write instead."""
    return PydanticCustomError("said", "{what}", {"what": message, "hint": hint})


def duration_s(value: object) -> float:
    """Return the seconds of a text such as `500ms`, `10s` or `1h30m`."""
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    raise wrong("this is no duration", "write it with its unit: 500ms, 10s, 5m, 1h30m, 7d")


def size_bytes(value: object) -> int:
    """Return the bytes of a text such as `512MiB`."""
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        unit: int = _BYTES[found[2].lower()]
        return round(float(found[1]) * unit)
    raise wrong("this is no size", "write it with its unit: 512MiB, 2GiB; 10kB is 10,000 bytes")


def size_or_share(value: object) -> int | float:
    """Return bytes, or the share of a whole between 0 and 1 that a text such as `10%` names."""
    if isinstance(value, str) and (found := _SHARE.fullmatch(value)) and float(found[1]) <= 100:
        return float(found[1]) / 100
    try:
        return size_bytes(value)
    except PydanticCustomError:
        raise wrong("this is neither a size nor a share", "write 2GiB, or 10%") from None


def duration_text(seconds: float) -> str:
    """Return a duration as people write it."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:g}s"


def size_text(size: int) -> str:
    """Return a size as people write it."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return f"{size}B"


def duration(least_s: float, most_s: float) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return what makes a field a duration in that range, in Python and in JSON Schema."""

    def check(value: object) -> float:
        seconds = duration_s(value)
        if not least_s <= seconds <= most_s:
            raise _outside(*map(duration_text, (seconds, least_s, most_s)))
        return seconds

    pattern = r"^(\d+(\.\d+)?(ms|[smhd]))+$"
    return BeforeValidator(check), WithJsonSchema({"type": "string", "pattern": pattern})


def size(least: int, most: int) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return what makes a field a size in that range."""

    def check(value: object) -> int:
        found = size_bytes(value)
        if not least <= found <= most:
            raise _outside(*map(size_text, (found, least, most)))
        return found

    pattern = r"^\d+(\.\d+)? ?([kKmMgGtT][iI]?[bB]|[bB])$"
    return BeforeValidator(check), WithJsonSchema({"type": "string", "pattern": pattern})


def share() -> tuple[BeforeValidator, WithJsonSchema]:
    """Return what makes a field a size, or a part of a whole."""
    pattern = r"^\d+(\.\d+)? ?([kKmMgGtT][iI]?[bB]|[bB]|%)$"
    return BeforeValidator(size_or_share), WithJsonSchema({"type": "string", "pattern": pattern})


def _outside(found: str, least: str, most: str) -> PydanticCustomError:
    return wrong(f"this is {found}; it must be from {least} to {most}")
