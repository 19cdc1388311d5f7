"""Whether what we are built upon is as new as we need it; older versions have known holes."""

import re
from collections.abc import Iterator
from typing import Final

from orchestrator.supervisor.logic.doctor.facts import Facts, Package
from orchestrator.supervisor.logic.doctor.finding import Finding, ok, problem, unseen

_RELEASE: Final = re.compile(r"[^\d.]")
_NUMBERS: Final = re.compile(r"\d+")


def packages(facts: Facts) -> Iterator[Finding]:
    """Say which packages are missing or too old."""
    if not facts.packages:
        yield unseen("packages", "this program is not installed as a package")
        return
    wrong = [package for package in facts.packages if not _is_enough(package)]
    for package in wrong:
        seen = "is not installed" if package.version is None else f"{package.version} is installed"
        yield problem(
            "packages",
            f"{package.name} {seen}; {package.least} or newer is needed",
            f"pip install '{package.name}>={package.least}'  – with the pip of this installation",
        )
    if not wrong:
        yield ok("packages", f"{len(facts.packages)} are as new as they have to be")


def _is_enough(package: Package) -> bool:
    return package.version is not None and _numbers(package.version) >= _numbers(package.least)


def _numbers(version: str) -> list[int]:
    """Return what counts of a version: the numbers of its release, without zeros at the end."""
    numbers = [int(part) for part in _NUMBERS.findall(_RELEASE.split(version)[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers
