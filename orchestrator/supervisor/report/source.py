"""A configuration as it stands in its file, whether or not it can be used."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.supervisor.config import modes
from orchestrator.supervisor.config.loader import Loaded
from orchestrator.supervisor.config.places import Folders
from orchestrator.supervisor.config.references import References, Unresolved
from orchestrator.supervisor.config.text import document
from orchestrator.supervisor.config.text.document import Node
from orchestrator.supervisor.config.text.masking import hidden

_REFERENCE: Final = re.compile(r"\$\{(?:file|env|cred):[^{}]*\}")
"""What is followed in a file that is refused; its commands are not run."""


class Source(NamedTuple):
    """Its bytes, and its tree if it is YAML."""

    raw: bytes
    root: Node | None


def sources(loaded: Loaded) -> list[Source]:
    """Return what stands in the file now, or stood there when it was loaded; then the included."""
    raw = loaded.raw
    with contextlib.suppress(modes.Untaken):
        raw = raw or modes.take(loaded.path, document.BYTES).raw
    return [_source(path, text) for path, text in ((loaded.path, raw), *loaded.included)]


def _source(path: Path, raw: bytes) -> Source:
    root = document.read(raw, must_be_json=path.suffix == ".json").root if raw else None
    return Source(raw, root)


def suspicions(loaded: Loaded, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what may be secret of a file that is refused, so that nobody has told what is.

    That is every value that is not known to be open, and whatever such a value refers to, in it
    and in what it includes.
    """
    references = References(Folders(loaded.path.parent, environ), environ)
    for source in sources(loaded):
        yield from hidden(source.raw, source.root)
        for found in _REFERENCE.findall(source.raw.decode("utf-8", "replace")):
            with contextlib.suppress(Unresolved):
                yield references.resolve(found)
