"""`orchestrator service` where no service manager is, and what it refuses before it writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """\
version: 1
server: {{embedded: true}}
machine: {{drain_timeout: 25m}}
workers:
  - {{name: web, working_directory: {folder}}}
"""
pytestmark = pytest.mark.timeout(60)


def _service(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/home/me/bin:/usr/bin:/bin", "HOME": str(home), **more}
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", "service", *words],
        env=environ,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give a configuration that is right."""
    path = tmp_path / "workers.yaml"
    path.write_text(CONFIG.format(folder=tmp_path))
    path.chmod(0o600)
    return path


def test_print_shows_the_unit_and_changes_nothing(tmp_path: Path, config: Path) -> None:
    """The unit has this program, the person's PATH, and a stop that outlasts the file's drain."""
    done = _service(tmp_path, "install", "--user", "--print", f"--config={config}")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"ExecStart={sys.executable} -P -m orchestrator run --config={config}" in lines
    assert "Environment=PATH=/home/me/bin:/usr/bin:/bin" in lines
    assert "TimeoutStopSec=1560" in lines
    assert not (tmp_path / ".config").exists()


def test_no_secret_of_the_shell_is_in_it(tmp_path: Path, config: Path) -> None:
    """Whatever the shell has in its environment, the unit has none of it."""
    done = _service(
        tmp_path,
        *("install", "--user", "--print", f"--config={config}"),
        ORCHESTRATOR_API_KEY="planted-secret",
        GITHUB_TOKEN="planted-secret",
    )

    assert done.returncode == 0, done.stderr
    assert "planted-secret" not in done.stdout


def test_a_wrong_configuration_is_told_with_its_line(tmp_path: Path, config: Path) -> None:
    """A file that could not be run is not made a service: every problem is shown."""
    config.write_text("version: 1\nwokers: []\n")

    done = _service(tmp_path, "install", "--user", "--print", f"--config={config}")

    assert done.returncode == 78
    assert f"{config}:2:1:" in done.stderr
    assert "wokers" in done.stderr
    assert done.stdout == ""


def test_without_a_configuration_one_is_asked_for(tmp_path: Path) -> None:
    """The place where it was looked for is told, and how to write one."""
    done = _service(tmp_path, "install", "--user", "--print")

    assert done.returncode == 78
    assert f"{tmp_path}/.config/orchestrator/workers.yaml" in done.stderr
    assert "orchestrator init" in done.stderr


def test_nobody_runs_jobs_as_root_by_accident(tmp_path: Path, config: Path) -> None:
    """A service of the machine has a user: who it is has to be said, or is who called sudo."""
    words = ("install", "--system", "--print", f"--config={config}")

    unsaid = _service(tmp_path, *words)
    unknown = _service(tmp_path, *words, "--run-as=nobody-of-this-name")
    said = _service(tmp_path, *words, SUDO_USER="root")

    assert unsaid.returncode == 2
    assert "--run-as USER" in unsaid.stderr
    assert unknown.returncode == 78
    assert "useradd" in unknown.stderr
    if os.geteuid() == 0:
        assert "User=root" in said.stdout.splitlines()


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
@pytest.mark.parametrize("verb", ["status", "start", "stop", "restart", "uninstall"])
def test_without_a_service_manager_it_says_so(tmp_path: Path, verb: str) -> None:
    """Every verb refuses in words where nobody would keep a service."""
    done = _service(tmp_path, verb, "--user")

    assert done.returncode == 78
    assert "systemd does not run here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("install", "--user", "--name", "a/b"), "cannot be the name"),
        (("install", "--user", "--credential", "web"), "NAME:/whole/path"),
        (("install", "--user", "--server", "--config", "x"), "a server has no --config"),
        (("install", "--user", "--run-as", "root"), "--run-as is for --system"),
    ],
)
def test_bad_words_are_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """A name, a credential or a combination that makes no sense is told before anything is done."""
    done = _service(tmp_path, *words)

    assert done.returncode in {2, 78}
    assert said in done.stderr
