"""Where the server is and who is calling: an address and a credential, checked once.

It opens nothing. Because the credential lives only here and in the header that is sent, there is
one place to keep it out of every `repr` and message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from orchestrator import __version__
from orchestrator.kernel.errors import ConfigInvalid

Params = Mapping[str, "str | int | float | bool | list[str] | None"]
_HINT: Final = "an address looks like http://127.0.0.1:8700 or https://control.example.com"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A checked address; `credential` is an API key or a worker's triple."""

    url: str
    netloc: str
    credential: str = field(repr=False)

    @classmethod
    def parse(cls, url: str, credential: str) -> "Endpoint":
        """Return the endpoint, or say what is wrong with the address or the credential."""
        parts = _split(url.strip())
        base = f"{parts.scheme}://{parts.netloc}{quote(parts.path.rstrip('/'), safe='/%')}"
        return cls(base, parts.netloc, _checked_credential(credential))

    @property
    def secure(self) -> bool:
        """Tell whether the connection is encrypted."""
        return self.url.startswith("https:")

    @property
    def local(self) -> bool:
        """Tell whether the server is on this machine, as far as its address says so."""
        host = urlsplit(self.url).hostname or ""
        digits = host.replace(".", "").isdigit()
        return host in {"localhost", "::1"} or (digits and host.startswith("127."))

    def address(self, path: str, params: Params | None = None) -> str:
        """Return the whole URL of one call; parameters that are `None` are left out."""
        given = {name: _plain(value) for name, value in (params or {}).items() if value is not None}
        return f"{self.url}{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")

    def headers(self, extra: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        """Return the headers of every call: whom we call, who we are, what we understand."""
        scheme = "Worker" if self.credential.startswith("machine_") else "Bearer"
        return [
            ("Host", self.netloc),
            ("Authorization", f"{scheme} {self.credential}"),
            ("User-Agent", f"orchestrator/{__version__}"),
            ("Accept-Encoding", "identity"),
            *(extra or {}).items(),
        ]


def _plain(value: "str | float | bool | list[str]") -> str | list[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, list) else str(value)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is no number is found only by asking for it
    except ValueError as error:
        raise ConfigInvalid(f"the server's address is not a URL: {error}", hint=_HINT) from None
    if parts.username is not None or parts.password is not None:
        # The address is not repeated here, because it holds a password.
        raise ConfigInvalid(
            "the server's address holds a user name or password",
            hint="give the address alone; the key goes into ORCHESTRATOR_API_KEY",
        )
    fault = None
    if parts.scheme not in {"http", "https"}:
        fault = "it must begin with http:// or https://"
    elif not parts.hostname:
        fault = "it names no host"
    elif parts.query or parts.fragment:
        fault = "it must end before any ? or #"
    elif not url.isascii() or not url.isprintable() or " " in url:
        fault = "it must be plain ASCII without spaces"
    if fault:
        raise ConfigInvalid(f"the server's address {url!r} cannot be used: {fault}", hint=_HINT)
    return parts


def _checked_credential(credential: str) -> str:
    if not credential or not credential.isascii() or not credential.isprintable():
        what = "is empty" if not credential else "holds characters that no key of ours has"
        raise ConfigInvalid(
            f"the API key {what}", hint="copy it again, whole and without line breaks"
        )
    return credential
