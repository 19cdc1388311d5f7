"""What launchd is told, by a program that only writes it down: there is no macOS here."""

import os
import plistlib
from pathlib import Path

import pytest

from orchestrator.kernel.errors import NotFound
from orchestrator.supervisor.service.launchd import Launchd
from orchestrator.supervisor.service.manager import ManagerRefused
from orchestrator.supervisor.service.wanted import Reach
from tests.support.shipped import OF_A_USER

LAUNCHCTL = """#!/bin/sh
echo "$@" >> "$HOME/told"
case $1 in
print) [ -e "$HOME/loaded" ] || exit 113; printf '\\tpid = 42\\n\\tlast exit code = 0\\n' ;;
bootstrap) touch "$HOME/loaded" ;;
bootout) rm -f "$HOME/loaded" ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home in which `launchctl` only writes down what it is told."""
    program = tmp_path / "bin/launchctl"
    program.parent.mkdir()
    program.write_text(LAUNCHCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_service_lives_and_ends(home: Path) -> None:
    """It is written, loaded, seen to run, and removed with nothing left."""
    launchd, said = Launchd(Reach.USER, home), list[str]()
    target = f"gui/{os.getuid()}/local.orchestrator"

    path = launchd.install(OF_A_USER)
    launchd.start("orchestrator", said.append)
    state = launchd.state("orchestrator")
    launchd.uninstall("orchestrator")

    assert path == home / "Library/LaunchAgents/local.orchestrator.plist"
    assert (state.active, state.pid, state.result) == ("active", 42, "")
    assert said == ["started; launchd cannot tell when it is ready"]
    assert not path.exists()
    assert launchd.state("orchestrator").active == "missing"
    told = (home / "told").read_text().splitlines()
    assert told[:3] == [
        f"enable {target}",
        f"print {target}",
        f"bootstrap gui/{os.getuid()} {path}",
    ]


def test_its_file_is_readable_and_has_no_secret(home: Path) -> None:
    """The list parses, everybody may read it, and it says where its log is."""
    launchd = Launchd(Reach.USER, home)

    path = launchd.install(OF_A_USER)

    assert path.stat().st_mode & 0o777 == 0o644
    assert plistlib.loads(path.read_bytes())["StandardErrorPath"].startswith(str(home))
    assert launchd.log_command("orchestrator", follow=True, lines=5)[:4] == [
        "tail",
        "-n",
        "5",
        "-F",
    ]


def test_somebody_elses_file_is_left_alone(home: Path) -> None:
    """A list that we did not write is neither replaced nor removed."""
    launchd = Launchd(Reach.USER, home)
    path = launchd.path("orchestrator")
    path.parent.mkdir(parents=True)
    path.write_text("<plist/>")

    with pytest.raises(ManagerRefused, match="not written by this program"):
        launchd.uninstall("orchestrator")
    assert path.read_text() == "<plist/>"


def test_what_is_not_there_is_told(home: Path) -> None:
    """Nothing is started or removed that was never installed."""
    with pytest.raises(NotFound, match=r"local\.web\.plist"):
        Launchd(Reach.USER, home).start("web", lambda _: None)
