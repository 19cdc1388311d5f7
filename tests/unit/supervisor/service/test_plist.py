"""A property list is one that launchd reads, and says what the unit says."""

import plistlib
from pathlib import Path

import pytest

from tests.support.shipped import LISTS, ORCHESTRATOR, texts
from tests.support.source import ROOT


@pytest.mark.parametrize("path", LISTS)
def test_it_is_a_property_list(path: str) -> None:
    """It parses, starts a whole path, and is started again only after a failure."""
    read = plistlib.loads(texts()[path])

    assert read["Label"] == Path(path).stem
    assert read["ProgramArguments"] == list(LISTS[path].command)
    assert read["ProgramArguments"][0].startswith("/")
    assert read["KeepAlive"] == {"SuccessfulExit": False}
    assert read["EnvironmentVariables"].keys() == {"PATH"}
    assert read["Umask"] == 0o077


def test_jobs_outlive_the_supervisor() -> None:
    """The group of a supervisor that died is left alone, and a stop waits longer than a drain."""
    read = plistlib.loads((ROOT / "launchd/local.orchestrator.plist").read_bytes())

    assert read["AbandonProcessGroup"] is True
    assert read["ExitTimeOut"] > ORCHESTRATOR.drain_timeout_s
    assert read["ThrottleInterval"] == 5
    assert read["ProcessType"] == "Standard"
