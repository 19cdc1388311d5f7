"""The service files of this repository are what the generator writes, and systemd likes them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.supervisor.service import unit
from tests.support.shipped import OLDEST, UNITS, texts
from tests.support.source import ROOT

ANALYZE = shutil.which("systemd-analyze")
DROP_INS = sorted((ROOT / "systemd/drop-ins").glob("*.conf"))
EXPOSURE = {"systemd/orchestrator.service": 5.5, "systemd/orchestrator-server.service": 1.2}
"""What `systemd-analyze security` may say at most: 0 is a stone, 10 may do anything."""
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="NOT LINTED: needs systemd-analyze (Debian's package systemd)"
)


@pytest.mark.parametrize("path", texts())
def test_they_are_what_the_generator_writes(path: str) -> None:
    """Each is byte for byte what `service install` writes for the usual places."""
    assert (ROOT / path).read_bytes() == texts()[path], "run: python -m tests.support.shipped"


def _verified(folder: Path, name: str, *more: str) -> str:
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", *more, str(folder / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    # Of other units of this machine, which it loads along, nothing is to be said here.
    ours = [line for line in done.stderr.splitlines() if "orchestrator" in line]
    return "\n".join(ours)


def _written(folder: Path, path: str, version: int) -> str:
    """Write a unit whose program exists, which is all that differs, and return its name."""
    wanted = UNITS[path]
    text = unit.render(wanted, version).replace(wanted.command[0], "/bin/true")
    (folder / Path(path).name).write_text(text)
    return Path(path).name


@needs_systemd
@pytest.mark.parametrize("path", UNITS)
def test_systemd_finds_nothing_wrong(path: str, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say: no unknown key, no bad value."""
    more = ("--user",) if "user" in path else ()

    assert _verified(tmp_path, _written(tmp_path, path, OLDEST), *more) == ""


@needs_systemd
def test_a_wrong_unit_is_found(tmp_path: Path) -> None:
    """The check above can fail: an unknown key is told."""
    name = _written(tmp_path, "systemd/orchestrator.service", OLDEST)
    (tmp_path / name).write_text((tmp_path / name).read_text().replace("KillMode", "KilMode"))

    assert "KilMode" in _verified(tmp_path, name)


@needs_systemd
@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.name)
def test_drop_ins_fit(drop_in: Path, tmp_path: Path) -> None:
    """Each drop-in has only keys that systemd knows, and says what it costs."""
    name = _written(tmp_path, "systemd/orchestrator.service", OLDEST)
    (tmp_path / f"{name}.d").mkdir()
    shutil.copy(drop_in, tmp_path / f"{name}.d")

    assert "The price:" in drop_in.read_text()
    assert _verified(tmp_path, name) == ""


@needs_systemd
@pytest.mark.parametrize("path", EXPOSURE)
def test_they_give_away_no_more_than_they_must(path: str) -> None:
    """`systemd-analyze security` stays below the ceiling of each role."""
    assert ANALYZE is not None
    done = subprocess.run(
        [
            *(ANALYZE, "security", "--offline=yes", "--no-pager"),
            *(f"--threshold={EXPOSURE[path] * 10:.0f}", str(ROOT / path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout.splitlines()[-1]
