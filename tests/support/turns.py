"""What is too long for every run of the suite has its turn with one commit after the other."""

import subprocess

from tests.support.source import ROOT


def turn(turns: int) -> int:
    """Return whose turn it is with this commit: a number below `turns`."""
    told = subprocess.run(
        ["git", "rev-list", "--count", "HEAD"], cwd=ROOT, capture_output=True, check=False
    )
    return int(told.stdout or 0) % turns
