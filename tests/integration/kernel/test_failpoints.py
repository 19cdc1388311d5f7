"""Failpoints in real processes: what they do, how often, and that an installed program has none."""

import errno
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.source import ROOT
from tests.support.waiting import wait_until

SITE = "submit.before_commit"
PASS = f"from orchestrator.kernel.failpoints import reached; reached({SITE!r})"
DEAD = -signal.SIGKILL


def _run(
    code: str, spec: str | None, folder: Path | None, *, path: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    told = {"ORCHESTRATOR_FAILPOINTS": spec, "ORCHESTRATOR_FAILPOINTS_DIR": folder}
    variables = {name: str(value) for name, value in told.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(path)} | variables,
        cwd=path,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )


def test_it_kills_once_over_all_processes(tmp_path: Path) -> None:
    """The first who comes by is killed; who is started after it lives."""
    first, second = (_run(PASS, f"{SITE}=kill", tmp_path) for _ in range(2))

    assert (first.returncode, second.returncode) == (DEAD, 0)
    assert {path.name for path in tmp_path.iterdir()} == {SITE, f"{SITE}=kill"}


def test_it_waits_for_its_turn(tmp_path: Path) -> None:
    """The third time is the one that was asked for."""
    code = f"{PASS}; reached({SITE!r}); print('twice', flush=True); reached({SITE!r})"

    done = _run(code, f"commit.before=kill,{SITE}=kill:3", tmp_path)

    assert (done.returncode, done.stdout) == (DEAD, "twice\n")


@pytest.mark.parametrize("name", ["EIO", "ENOSPC"])
def test_it_is_a_broken_disk(tmp_path: Path, name: str) -> None:
    """The site fails as the disk would, and says that it was asked to."""
    code = f"from orchestrator.kernel.failpoints import reached\ntry:\n    reached({SITE!r})\n"
    code += "except OSError as error:\n    print(error.errno, error.filename)"

    done = _run(code, f"{SITE}={name}", tmp_path)

    assert done.stdout.strip() == f"{getattr(errno, name)} failpoint {SITE}"


def test_it_stops_until_somebody_continues_it(tmp_path: Path) -> None:
    """Who is stopped is told in the folder, and goes on where it was."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    env |= {"ORCHESTRATOR_FAILPOINTS": f"{SITE}=stop", "ORCHESTRATOR_FAILPOINTS_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", PASS], env=env) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

        assert int((tmp_path / f"{SITE}=stop").read_text()) == process.pid
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == 0


def test_it_delays(tmp_path: Path) -> None:
    """The thread waits as long as was asked for."""
    code = f"import time; began = time.monotonic(); {PASS}; print(time.monotonic() - began)"

    done = _run(code, f"{SITE}=delay:1:0.3", tmp_path)

    assert 0.3 <= float(done.stdout) < 5


def test_one_variable_alone_does_nothing(tmp_path: Path) -> None:
    """What is set by mistake, or left over, kills nobody."""
    assert _run(PASS, f"{SITE}=kill", None).returncode == 0
    assert _run(PASS, None, tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("submit.befor=kill", "there is no site 'submit.befor'"),
        (f"{SITE}=explode", "the action is one of kill, EIO, ENOSPC, delay, stop"),
        (f"{SITE}=kill:often", "write site=action:times:seconds"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, spec: str, told: str) -> None:
    """A developer who mistypes is not left to wonder why nothing happens."""
    done = _run(PASS, spec, tmp_path)

    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """A folder that is not there is no reason to go on without failpoints."""
    done = _run(PASS, f"{SITE}=kill", tmp_path / "nowhere")

    assert "is not a folder: make it first" in done.stderr


def test_a_wheel_has_none(tmp_path: Path) -> None:
    """An installed program stays inert, whatever variables somebody sets."""
    built, installed, folder = (tmp_path / name for name in ("built", "installed", "hits"))
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    code = f"{PASS}; import orchestrator; print(orchestrator.__file__)"
    done = _run(code, f"{SITE}=kill", folder, path=installed)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(installed / "orchestrator/__init__.py")
    assert list(folder.iterdir()) == []
