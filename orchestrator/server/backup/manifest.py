"""What a backup says of itself: what made it, when, and the SHA-256 of everything in it.

A backup is a data directory by other means: the names in it are those below a data directory, so
that a person can look into one with nothing but the usual tools. `manifest.json` lists them, and
`manifest.sha256` vouches for it, in the words of `sha256sum`.
"""

import re
from datetime import datetime
from hashlib import sha256
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.kernel.errors import Refused, VersionUnsupported

FORM: Final = 1
"""Of the backup; a higher one is of a newer program."""
DATABASE: Final = "orchestrator.db"
MANIFEST: Final = "manifest.json"
CHECKSUM: Final = "manifest.sha256"
_NAMES: Final = re.compile(
    r"orchestrator\.db|files/objects/([0-9a-f]{2})/\1[0-9a-f]{62}"
    r"|output/([0-9a-z]{2})/job_[0-9a-z]{24}\2/[1-9][0-9]{0,15}\.[0-9]{1,15}"
)
"""All that a backup may hold: nothing leads out of where it is brought back to."""


class Entry(BaseModel):
    """One file."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """Everything that a backup says of itself; words that are not known are harmless."""

    form: int
    program: str
    """The version that made it."""
    schema_version: int
    made_at: datetime
    jobs: int = 0
    entries: list[Entry] = []
    lost: list[str] = []
    """Files that were gone or damaged already when the backup was made."""

    @property
    def size(self) -> int:
        """Return the size of all files together."""
        return sum(entry.size for entry in self.entries)


def damaged(what: str) -> Refused:
    """Return the refusal of a backup that is not as it was made."""
    return Refused(
        f"the backup is damaged: {what}",
        hint="nothing was changed; bring back another backup",
        code="backup_damaged",
    )


def parse(text: bytes, checksum: bytes) -> Manifest:
    """Return the manifest of these bytes, or refuse what is damaged or of a newer program."""
    if checksum.split()[:1] != [sha256(text).hexdigest().encode()]:
        raise damaged(f"{MANIFEST} is not what {CHECKSUM} says")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise damaged(f"{MANIFEST} cannot be read: {error.errors()[0]['msg']}") from None
    if manifest.form > FORM:
        raise VersionUnsupported(
            f"the backup was made by version {manifest.program}, in form {manifest.form}; this "
            f"program knows forms up to {FORM}",
            hint="bring it back with the program that made it, or a newer one",
        )
    return manifest


def require_name(name: str) -> None:
    """Refuse a name that no backup has."""
    if not _NAMES.fullmatch(name):
        raise damaged(f"{name!r} does not belong in a backup")


def compare(manifest: Manifest, found: dict[str, Entry]) -> None:
    """Refuse files that are missing, too many, or other than the manifest says."""
    listed = {entry.name: entry for entry in manifest.entries}
    if missing := sorted(listed.keys() - found.keys()):
        raise damaged(f"{missing[0]} is missing (of {len(missing)} such files)")
    if strange := sorted(found.keys() - listed.keys()):
        raise damaged(f"{strange[0]} is not in its list (of {len(strange)} such files)")
    if other := sorted(name for name, entry in found.items() if entry != listed[name]):
        raise damaged(f"{other[0]} is not what was saved (of {len(other)} such files)")
    if DATABASE not in found:
        raise damaged("it holds no database")
