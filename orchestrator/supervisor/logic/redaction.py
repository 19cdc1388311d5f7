"""Texts that somebody will send to others: without secrets, and a second look that none is left.

Two nets of different meshes. The first replaces: by the names of keys, by the values of the secrets
that are known, by the look of a credential. The second only searches, also for what the first does
not know, such as a secret that somebody has encoded; whoever finds something there gives nothing
away.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "…"
SHORTEST: Final = 6
"""Shorter ones would be found in everything."""
CREDENTIAL: Final = re.compile(
    r"machine_[0-9A-Za-z][^\s\"',}\]]*|secret_\w+|\b[psw]ak_\w{6,}|://[^/\s@]+@"
)
"""What our own credentials look like, and a password in an address."""
FOREIGN: Final = re.compile(
    r"\b(?:gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|sk-[\w-]{20,}|xox[abposr]-[\w-]{10,}"
    r"|A[KS]IA[0-9A-Z]{16}|AIza[\w-]{35}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|\b(?:[Bb]earer|[Bb]asic) [\w+/=.~-]{8,}",
)
"""What those of others look like that agents and their tools work with."""
SECRET_KEY: Final = re.compile(
    r"(?:.*[_-])?(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|KEY|CREDENTIALS?|AUTHORIZATION|COOKIE)",
    re.IGNORECASE,
)
"""Names under which nobody shows a value."""
_LINE_CHARS: Final = 16
"""A line of a longer secret is one by itself, if it is that long."""


class Redactor:
    """Knows some secrets, and hides them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {piece for secret in secrets for piece in _pieces(secret)}
        self._longest_first = sorted(known, key=lambda secret: (-len(secret), secret))
        forms = {form for secret in self._longest_first for form in _forms(secret)}
        self._known = _any_of(self._longest_first)
        self._forms = _any_of(sorted(forms, key=lambda form: (-len(form), form)))

    def text(self, text: str) -> str:
        """Return a text without any secret that is known or looks like one."""
        for pattern in (self._known, FOREIGN, CREDENTIAL):
            if pattern is not None:
                text = pattern.sub(HIDDEN, text)
        return text

    def value(self, value: object) -> object:
        """Return a document without secrets, neither in its values nor in its keys."""
        if isinstance(value, dict):
            return {
                self.text(str(key)): HIDDEN if _is_closed(key, each) else self.value(each)
                for key, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(each) for each in value]
        if isinstance(value, str):
            return self.text(value)
        return value

    def leaks(self, data: bytes) -> bool:
        """Tell whether there is any secret in something, in whichever form."""
        text = data.decode("utf-8", "replace")
        patterns = (self._forms, FOREIGN, CREDENTIAL)
        return any(it is not None and it.search(text) is not None for it in patterns)


def _is_closed(key: object, value: object) -> bool:
    """Tell whether a value is hidden for its key; a truth or nothing is no secret."""
    is_named = isinstance(key, str) and SECRET_KEY.fullmatch(key) is not None
    return is_named and not isinstance(value, bool | None)


def _pieces(secret: str) -> Iterator[str]:
    """Yield a secret, without the space around it, and its long lines."""
    whole = secret.strip()
    if len(whole) >= SHORTEST:
        yield whole
    lines = whole.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _LINE_CHARS)


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may be written."""
    raw = secret.encode("utf-8", "surrogateescape")
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(raw, safe="")
    yield quote_plus(raw)
    yield raw.hex()
    yield raw.hex().upper()
    for before in range(3):
        # In the middle of something longer a byte may share its letters with its neighbours.
        bits = base64.b64encode(b"\0" * before + raw).rstrip(b"=").decode("ascii")
        inner = bits[(0, 2, 3)[before] : -1]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def _any_of(texts: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(re.escape, texts))) if texts else None
