"""A record of a log as a line for people.

Pure: it is given the record.
"""

import json
from collections.abc import Mapping
from typing import Final

_HEAD: Final = ("time", "level", "event", "seq")


def words(record: Mapping[str, object]) -> str:
    """Return moment, level, event and the other keys, as a terminal's log has them."""
    head = (
        f"{record.get('time', '')} {record.get('level', '')!s:<8} {record.get('event', '')!s:<24}"
    )
    pairs = (f"{key}={_shown(value)}" for key, value in record.items() if key not in _HEAD)
    return f"{head} {' '.join(pairs)}".rstrip()


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text and not set(text) & set(' "=') else json.dumps(text, ensure_ascii=False)
