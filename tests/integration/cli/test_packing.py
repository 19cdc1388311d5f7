"""Which files of a folder travel with a job, in which form, and what is refused unread."""

import io
import os
import socket
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from orchestrator.commands.upload import archive
from orchestrator.kernel import ziparchive
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits
from tests.support.needs import as_anybody


def _packed(root: Path, *excluded: str) -> bytes:
    into = io.BytesIO()
    content = archive.look(root, excluded)
    assert sum(archive.pack(content, into)) == content.size
    return into.getvalue()


def _names(data: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


def test_a_folder_is_packed_with_everything_in_it(folder: Path) -> None:
    """Files with their content, empty folders, and names in their order."""
    zipped = zipfile.ZipFile(io.BytesIO(_packed(folder)))

    assert zipped.namelist() == [
        "Makefile",
        "empty/",
        "run.sh",
        "src/",
        "src/deep/",
        "src/deep/grüße.txt",
        "src/main.c",
    ]
    assert zipped.read("src/deep/grüße.txt") == b"hello\n"


def test_modes_are_two(folder: Path) -> None:
    """What can be run stays so for everybody, anything else is plain; no set-user-id travels."""
    zipped = zipfile.ZipFile(io.BytesIO(_packed(folder)))

    modes = {info.filename: info.external_attr >> 16 for info in zipped.infolist()}
    assert modes["run.sh"] == stat.S_IFREG | 0o755
    assert modes["Makefile"] == stat.S_IFREG | 0o644
    assert modes["src/"] == stat.S_IFDIR | 0o755


def test_the_same_folder_is_the_same_bytes(folder: Path) -> None:
    """Touching a file changes nothing, so an unchanged project is stored once."""
    before = _packed(folder)

    os.utime(folder / "Makefile", (1, 1))
    (folder / "run.sh").chmod(0o700)

    assert _packed(folder) == before


def test_what_is_packed_passes_the_look_of_server_and_worker(folder: Path, tmp_path: Path) -> None:
    """Both sides take what this one makes, and it unpacks to the same files."""
    (tmp_path / "x.zip").write_bytes(_packed(folder))
    (tmp_path / "there").mkdir()

    ziparchive.check(tmp_path / "x.zip")
    ziparchive.extract(tmp_path / "x.zip", tmp_path / "there")

    for path in folder.rglob("*"):
        twin = tmp_path / "there" / path.relative_to(folder)
        assert twin.is_dir() if path.is_dir() else twin.read_bytes() == path.read_bytes()


def test_a_large_file_that_packs_too_well_travels_as_it_is(folder: Path, tmp_path: Path) -> None:
    """An honest file of zeros is not taken for a bomb by our own check."""
    (folder / "zeros").write_bytes(bytes(3 * limits.ZIP_RATIO_FREE_BYTES))
    (folder / "noise").write_bytes(os.urandom(2 * limits.ZIP_RATIO_FREE_BYTES))
    (folder / "text").write_text("all work and no play\n" * 200_000)

    data = _packed(folder)

    (tmp_path / "x.zip").write_bytes(data)
    ziparchive.check(tmp_path / "x.zip")
    methods = {
        info.filename: info.compress_type for info in zipfile.ZipFile(io.BytesIO(data)).infolist()
    }
    assert methods["zeros"] == zipfile.ZIP_STORED
    assert methods["noise"] == zipfile.ZIP_DEFLATED


def test_excluded_paths_stay_at_home(folder: Path) -> None:
    """Patterns of the file and of the command line together; the latter come last."""
    (folder / archive.IGNORE_FILE).write_text("# secrets\nsrc/\nrun.sh\n")

    names = _names(_packed(folder, "empty/", "!run.sh"))

    assert names == [".orchestratorignore", "Makefile", "run.sh"]


def test_an_excluded_folder_is_not_even_looked_into(folder: Path) -> None:
    """What could not be packed does not matter where it is left out."""
    (folder / "src" / "dead").symlink_to("/no/such/place")

    assert "src/" not in _names(_packed(folder, "src"))


def test_a_link_to_a_file_of_the_folder_becomes_a_copy(folder: Path) -> None:
    """Links within, relative or absolute, travel as what they lead to."""
    (folder / "relative").symlink_to("src/main.c")
    (folder / "src" / "absolute").symlink_to(folder / "run.sh")
    (folder / "chain").symlink_to("relative")

    zipped = zipfile.ZipFile(io.BytesIO(_packed(folder)))

    assert zipped.read("relative") == zipped.read("chain") == zipped.read("src/main.c")
    assert zipped.read("src/absolute") == b"#!/bin/sh\n"
    assert zipped.getinfo("src/absolute").external_attr >> 16 == stat.S_IFREG | 0o755


@pytest.mark.parametrize(
    "target",
    ["/etc/hostname", "../outside", "/etc", "nowhere", "loop", ".", "an over-long name " * 20],
)
def test_any_other_link_stays_at_home_and_is_named(folder: Path, target: str) -> None:
    """Where it lies and where it leads; everything else goes along."""
    (folder.parent / "outside").write_text("secret")
    without = _packed(folder)
    (folder / "loop").symlink_to(target)

    assert _packed(folder) == without
    assert archive.look(folder, []).left_out == (f"loop -> {target}",)
    assert archive.look(folder, ["loop"]).left_out == ()


def test_a_link_to_a_folder_within_becomes_a_copy(folder: Path) -> None:
    """As a link to a file does; one that leads round in a circle ends there."""
    (folder / "lib").symlink_to("src")
    (folder / "src" / "deep" / "up").symlink_to("../../src")

    names = _names(_packed(folder))

    assert {"lib/", "lib/main.c", "lib/deep/grüße.txt"} <= set(names)
    assert archive.look(folder, []).left_out == (
        "lib/deep/up -> ../../src",
        "src/deep/up -> ../../src",
    )


@pytest.mark.parametrize("target", ["../secret/key", "../secret/deep/key", "../secret", "../.git"])
def test_a_link_is_no_way_around_what_stays_at_home(folder: Path, target: str) -> None:
    """What a rule leaves out does not travel as the copy of a link to it, which is named."""
    for kept in ("secret/key", "secret/deep/key", ".git/HEAD"):
        (folder / kept).parent.mkdir(parents=True, exist_ok=True)
        (folder / kept).write_text("secret")
    (folder / ".orchestratorignore").write_text("/secret/\n")
    without = _packed(folder)
    (folder / "src" / "link").symlink_to(target)

    assert _packed(folder) == without
    assert archive.look(folder, []).left_out == (f"src/link -> {target}",)
    assert "src/link" in "".join(_names(_packed(folder, "!secret", "!.git")))


def test_a_linked_folder_leaves_out_what_the_folder_does(folder: Path) -> None:
    """A rule that is tied to a place holds by whichever name that place is reached."""
    (folder / "src" / "deep" / "key").write_text("secret")
    (folder / "lib").symlink_to("src")
    (folder / "below").symlink_to("src/deep")

    for rule, gone in (
        ("/src/deep/key", {"lib/deep/key", "below/key"}),
        ("/src/deep/", {"lib/deep/", "below/"}),
    ):
        names = set(_names(_packed(folder, rule)))

        assert "lib/main.c" in names
        assert not names & gone


def test_a_link_into_a_folder_that_one_may_not_enter_stays_at_home(folder: Path) -> None:
    """It is named as any other link that leads nowhere."""
    shut = folder.parent / "shut"
    shut.mkdir(mode=0)
    (folder / "link").symlink_to(shut / "file")

    def look() -> None:
        assert archive.look(folder, []).left_out == (f"link -> {shut}/file",)

    as_anybody(look)


def test_an_ordinary_python_project_can_be_sent(folder: Path) -> None:
    """Its history, its environment and its caches stay at home, unless somebody wants them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "other"], check=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "src" / "__pycache__").mkdir()
    (folder / "src" / "__pycache__" / "x.pyc").write_bytes(b"x")

    names = _names(_packed(folder))

    assert not [name for name in names if name.startswith((".git", ".venv"))]
    assert "src/__pycache__/" not in names
    assert "other/pyvenv.cfg" in names
    assert any(link.startswith("other/bin/python") for link in archive.look(folder, []).left_out)
    assert ".git/HEAD" in _names(_packed(folder, "!.git"))


def test_a_folder_that_is_reached_by_a_link_is_packed(folder: Path) -> None:
    """The folder that was named may itself be a link."""
    (folder / "within").symlink_to("Makefile")
    (folder.parent / "link").symlink_to(folder)

    assert _packed(folder.parent / "link") == _packed(folder)


def test_what_is_no_file_is_refused(folder: Path) -> None:
    """A pipe or a socket cannot travel."""
    os.mkfifo(folder / "pipe")
    with pytest.raises(RequestInvalid, match="pipe is neither a file nor a folder"):
        archive.look(folder, [])

    (folder / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(folder / "sock"))
        with pytest.raises(RequestInvalid, match="sock is neither"):
            archive.look(folder, [])


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    """A file name that is not UTF-8 is shown escaped."""
    (folder / os.fsdecode(b"caf\xe9")).write_text("x")

    with pytest.raises(RequestInvalid, match="is not UTF-8") as refused:
        archive.look(folder, [])

    assert refused.value.message.isascii()


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """The path and the system's word."""
    (folder / "Makefile").chmod(0)

    def pack() -> None:
        with pytest.raises(RequestInvalid, match="Makefile cannot be read: Permission denied"):
            _packed(folder)

    as_anybody(pack)


def test_a_folder_with_nothing_to_send_is_refused(folder: Path) -> None:
    """An upload without any file is a mistake."""
    with pytest.raises(RequestInvalid, match="nothing to upload"):
        archive.look(folder / "empty", [])
    with pytest.raises(RequestInvalid, match="nothing to upload"):
        archive.look(folder, ["*"])


def test_far_too_much_is_refused_before_it_is_packed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's whole home directory is a mistake that is found at once."""
    monkeypatch.setattr(limits, "ZIP_ENTRIES", 3)
    with pytest.raises(RequestInvalid, match="more than 3 files"):
        archive.look(folder, [])

    monkeypatch.setattr(limits, "ZIP_ENTRIES", 100)
    monkeypatch.setattr(limits, "ZIP_TOTAL_BYTES", 10)
    with pytest.raises(RequestInvalid, match="more than 10 bytes"):
        archive.look(folder, [])
