"""The complete look at an archive, before anybody stores or unpacks it."""

from pathlib import Path

from orchestrator.kernel.ziparchive.content import place, unpacked
from orchestrator.kernel.ziparchive.directory import read_directory
from orchestrator.kernel.ziparchive.limits import DEFAULTS, ZipLimits, ZipSummary
from orchestrator.kernel.ziparchive.source import opened


def check(path: Path, limits: ZipLimits = DEFAULTS) -> ZipSummary:
    """Return what the archive holds, every byte of it verified, or raise `RequestInvalid`.

    It blocks for as long as inflating takes: call it in a thread. An archive inside the archive is
    a file like any other and is not looked into.
    """
    with opened(path) as source:
        directory = read_directory(source, limits)
        for placed in place(source, directory):
            for _ in unpacked(source, placed):
                pass
    return directory.summary()
