"""Workspaces on a real disk: what is not ours, or not only ours, is never removed."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.kernel.errors import StateUnavailable
from tests.support.needs import needs_root
from tests.support.processes import open_descriptors
from worker.logic.attempt import Key
from worker.workspace import Workspaces

KEY = Key("job_" + "1" * 26, 2)


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    """Give an empty place for workspaces."""
    return Workspaces(tmp_path / "workspaces")


def _names(tmp_path: Path) -> list[str]:
    return sorted(entry.name for entry in (tmp_path / "workspaces").iterdir())


def test_a_workspace_begins_empty_and_ends(workspaces: Workspaces, tmp_path: Path) -> None:
    """It is private, carries its marker, and is gone after the wipe, however often that is done."""
    folder = workspaces.make(KEY)

    assert list(workspaces.files(KEY).iterdir()) == []
    assert folder.stat().st_mode & 0o777 == workspaces.files(KEY).stat().st_mode & 0o777 == 0o700
    workspaces.wipe(KEY)
    workspaces.wipe(KEY)
    assert _names(tmp_path) == []


def test_making_it_again_begins_anew(workspaces: Workspaces) -> None:
    """What an earlier try left is not seen by the next."""
    workspaces.make(KEY)
    (workspaces.files(KEY) / "old").touch()

    workspaces.make(KEY)

    assert list(workspaces.files(KEY).iterdir()) == []


def test_a_folder_without_the_marker_stays(workspaces: Workspaces, tmp_path: Path) -> None:
    """A folder that only looks like a workspace is somebody's."""
    folder = tmp_path / "workspaces" / f"{KEY.job_id}-{KEY.number}"
    folder.mkdir()
    (folder / "precious").touch()
    (folder / "marker").write_text("job_somebody-else")

    workspaces.wipe(KEY)

    assert (folder / "precious").exists()


def test_a_link_in_its_place_is_not_followed(workspaces: Workspaces, tmp_path: Path) -> None:
    """Neither as the workspace nor as its marker nor inside it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "keep").touch()
    (home / "marker").write_text(f"{KEY.job_id}-{KEY.number}")
    place = tmp_path / "workspaces" / f"{KEY.job_id}-{KEY.number}"
    place.symlink_to(home)

    with pytest.raises(StateUnavailable, match="cannot be removed"):
        workspaces.wipe(KEY)

    assert (home / "keep").exists()


def test_links_inside_are_removed_and_not_entered(workspaces: Workspaces, tmp_path: Path) -> None:
    """What they lead to is as it was."""
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    workspaces.make(KEY)
    (workspaces.files(KEY) / "link").symlink_to(home)
    (workspaces.files(KEY) / "d").mkdir()
    (workspaces.files(KEY) / "d" / "link").symlink_to(home / "deep")

    workspaces.wipe(KEY)

    assert (home / "deep").exists()
    assert _names(tmp_path) == []


def test_what_was_cut_short_is_finished(workspaces: Workspaces, tmp_path: Path) -> None:
    """A wipe or a beginning that a kill interrupted is found as a leftover, and removed."""
    folder = workspaces.make(KEY)
    (folder / "7" / "moved here").mkdir(parents=True)
    (folder / "0").mkdir()
    begun = Key(KEY.job_id, 3)
    (tmp_path / "workspaces" / f".new-{begun.job_id}-3").mkdir()

    found = workspaces.leftovers(kept=[])
    for key in found:
        workspaces.wipe(key)

    assert sorted(found) == [KEY, begun]
    assert _names(tmp_path) == []
    assert workspaces.leftovers(kept=[]) == []


def test_what_is_kept_is_no_leftover(workspaces: Workspaces) -> None:
    """The workspace of a job that still runs is left alone."""
    workspaces.make(KEY)

    assert workspaces.leftovers(kept=[KEY]) == []


def test_no_descriptor_stays_open(workspaces: Workspaces) -> None:
    """However deep it was nested, few folders are open at once, and none afterwards."""
    before = len(open_descriptors())
    workspaces.make(KEY)
    place = workspaces.files(KEY)
    for _ in range(60):
        place /= "deeper"
        place.mkdir()
        (place / "f").touch()

    workspaces.wipe(KEY)

    assert len(open_descriptors()) == before


@needs_root("may mount")
def test_what_is_mounted_inside_is_never_entered(workspaces: Workspaces, tmp_path: Path) -> None:
    """Somebody's home on the same disk, bound into a workspace, loses nothing."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "keep").touch()
    workspaces.make(KEY)
    inside = workspaces.files(KEY) / "a place with spaces"
    inside.mkdir()
    if subprocess.run(["mount", "--bind", home, inside], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(StateUnavailable, match="mounted"):
            workspaces.wipe(KEY)
        assert (home / "keep").exists()
    finally:
        subprocess.run(["umount", inside], check=True)

    workspaces.wipe(KEY)
    assert _names(tmp_path) == []
    assert (home / "keep").exists()
