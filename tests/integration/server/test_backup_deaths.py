"""Backups and restores that are killed half-way: neither is at its place, and the next is whole."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.server.backup import restoring, staging
from orchestrator.server.backup.making import make
from tests.integration.server.backups import NOW, left_of, restore, silent


@pytest.mark.parametrize("name", ["second", "second.tar"])
def test_what_a_killed_backup_left_is_gone_after_the_next_one(
    backup: Path, tmp_path: Path, name: str
) -> None:
    """A killed backup is not at its place, and the next one of that name begins anew."""
    code = (
        "import os, signal, sys; from contextlib import nullcontext; from pathlib import Path;"
        "from datetime import datetime, UTC; from orchestrator.server.backup.making import make\n"
        "def progress(what, total):\n"
        "    if what == 'saving': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return nullcontext(lambda _: None)\n"
        "make(Path(sys.argv[1]), Path(sys.argv[2]), progress, made_at=datetime.now(UTC))"
    )
    target = tmp_path / name
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "server"), str(target)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(list(tmp_path.glob(".second*"))) == 2

    made = make(tmp_path / "server", target, silent, made_at=NOW)

    assert list(tmp_path.glob(".second*")) == []
    assert restoring.verify(target, silent) == made
    assert restoring.verify(backup, silent).jobs == made.jobs


def test_an_interrupted_restore_is_told_and_begun_again(backup: Path, tmp_path: Path) -> None:
    """No server begins with half of it; the next restore removes it first."""
    new = tmp_path / "new"
    restore(backup, new)
    (new / "orchestrator.db").unlink()
    (new / staging.STAGING).mkdir()

    with pytest.raises(ConfigInvalid, match="has not ended"):
        staging.require_restored(new)
    restore(backup, new)

    staging.require_restored(new)
    assert {"orchestrator.db", "files", "output", "admin.key"} <= set(left_of(new))


def test_a_killed_restore_is_no_data_directory(backup: Path, tmp_path: Path) -> None:
    """A server refuses what a killed restore left, and the next restore is whole."""
    new = tmp_path / "new"
    code = (
        "import os, signal, sys; from contextlib import contextmanager; from pathlib import Path;"
        "from orchestrator.kernel.clock import SystemClock;"
        "from orchestrator.server.backup.restoring import restore\n"
        "@contextmanager\n"
        "def progress(what, total):\n"
        "    yield lambda _: None\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "restore(Path(sys.argv[1]), Path(sys.argv[2]), progress, SystemClock())"
    )

    killed = subprocess.run([sys.executable, "-c", code, str(backup), str(new)], check=False)
    refused = subprocess.run(
        [sys.executable, "-m", "orchestrator", "server", "run", f"--data-dir={new}"],
        check=False,
        capture_output=True,
    )
    brought = restore(backup, new)

    assert killed.returncode == -signal.SIGKILL
    assert (refused.returncode, b"has not ended" in refused.stderr) == (78, True)
    assert brought.held == 1
    assert staging.STAGING not in left_of(new)
