"""The one refusal of this package: which entry, what is wrong with it, what to do."""

from typing import Final

from orchestrator.kernel.errors import RequestInvalid

SHOWN_CHARS: Final = 120
MAKE_AGAIN: Final = "make the archive again from the folder, with a current zip program"


def shown(name: str) -> str:
    """Return a name that is safe to print: escaped, and cut when it is long."""
    text = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in name)
    return f'"{text[:SHOWN_CHARS]}…"' if len(text) > SHOWN_CHARS else f'"{text}"'


def unsafe(fault: str, *, entry: str | None = None, hint: str = MAKE_AGAIN) -> RequestInvalid:
    """Return the error for an archive that is refused, ready to be raised."""
    where = "the zip archive" if entry is None else f"zip entry {shown(entry)}"
    place = "archive" if entry is None else shown(entry)
    return RequestInvalid(
        f"{where} {fault}", hint=hint, code="zip_unsafe", fields=((place, fault),)
    )
