"""A planted mistake: what a tired person might have written in one place of the product."""

from dataclasses import dataclass
from pathlib import Path


class DoesNotApply(Exception):
    """The place that a mistake would be made in is not there, or there more than once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One exact text in one file, what to write instead, and the tests that must notice."""

    name: str
    breaks: tuple[str, ...]
    """The numbers of the sentences, in `docs/reliability.md` or `docs/machine.md`, that it makes
    untrue."""
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """As pytest names them; one that fails is enough."""

    @property
    def files(self) -> set[str]:
        """Return the files of its tests."""
        return {test.partition("::")[0] for test in self.tests}

    def applied(self, root: Path) -> str:
        """Return the text of its file with the mistake in it."""
        path = root / self.file
        text = path.read_text() if path.exists() else ""
        found = text.count(self.old)
        if found != 1:
            raise DoesNotApply(f"{self.name}: {self.file} has it {found} times: {self.old!r}")
        return text.replace(self.old, self.new)
