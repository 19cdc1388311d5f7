"""A real project travels to a worker, builds and tests itself there, and its words come back."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.project import write_project

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("make") is None, reason="needs cc and make"
)


@pytest.mark.parametrize(("broken", "code"), [(False, 0), (True, 2)])
def test_a_project_builds_and_tests_itself_on_the_worker(
    house: Installation, tmp_path: Path, *, broken: bool, code: int
) -> None:
    """Two hundred files go there; output and exit code are those of a local run."""
    project = write_project(tmp_path / "there", broken=broken)
    twin = write_project(tmp_path / "here", broken=broken)
    assert sum(path.is_file() for path in project.rglob("*")) >= 200

    done = house.cli(
        "jobs", "submit", "--upload", str(project), "--follow", "--", "make", "--no-print-directory"
    )

    local = subprocess.run(
        ["make", "--no-print-directory"], cwd=twin, capture_output=True, check=False, timeout=120
    )
    assert (done.returncode, local.returncode) == (code, code)
    assert done.stdout == local.stdout
    for line in local.stderr.splitlines():
        assert line in done.stderr


def test_each_upload_gets_a_fresh_workspace_that_is_wiped(
    house: Installation, tmp_path: Path
) -> None:
    """A second job of the same upload sees none of the first one's files, and none stay behind."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "given").write_text("x")
    script = "ls; touch made; pwd >&2"

    first = house.cli("jobs", "submit", "--upload", str(folder), "--follow", "--shell", script)
    second = house.cli("jobs", "submit", "--upload", str(folder), "--follow", "--shell", script)

    assert first.stdout == second.stdout == b"given\n"
    workspaces = [Path(run.stderr.decode().splitlines()[-1]) for run in (first, second)]
    assert not any(workspace.exists() for workspace in workspaces)


def test_a_zip_is_taken_as_it_is(house: Installation, tmp_path: Path) -> None:
    """A zip file that exists already is uploaded without being packed again; modes survive."""
    path = tmp_path / "project.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("bin/hello")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, "#!/bin/sh\necho from the zip\n")

    done = house.cli("jobs", "submit", "--upload", str(path), "--follow", "--", "bin/hello")

    assert (done.stdout, done.returncode) == (b"from the zip\n", 0)


@pytest.mark.parametrize(
    ("name", "words"), [("../evil", "../evil"), ("/etc/evil", "/etc/evil"), ("a\\b", "a\\b")]
)
def test_a_zip_that_escapes_is_refused_and_not_stored(
    house: Installation, tmp_path: Path, name: str, words: str
) -> None:
    """A path out of the workspace is refused by name before anything is stored or run."""
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "boo")
    before = _stored(house)

    done = house.cli("jobs", "submit", "--upload", str(path), "--", "true")

    assert done.returncode != 0
    assert words in done.stderr.decode()
    assert _stored(house) == before


def test_a_zip_bomb_is_refused_and_not_stored(house: Installation, tmp_path: Path) -> None:
    """Fifty megabytes of zeros in fifty kilobytes are refused for their ratio."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(50 * 1024 * 1024))
    before = _stored(house)

    done = house.cli("jobs", "submit", "--upload", str(path), "--", "true")

    assert done.returncode != 0
    assert b"zeros" in done.stderr
    assert _stored(house) == before


def _stored(house: Installation) -> list[str]:
    files = house.home / "data/orchestrator/server/files"
    return sorted(path.name for path in files.rglob("*") if path.is_file())
