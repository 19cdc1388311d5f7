"""What is sent for a job that brings files along, and what is said when that fails."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from tests.integration.cli.commands import CommandLine
from tests.support.fake_api import CREATED, FakeApi, Reply, answer, job, problem

FILES = "/api/v1/files"
JOBS = "/api/v1/jobs"


def _stores(fake: FakeApi) -> None:
    def store(asked: object) -> Reply:
        body = getattr(asked, "body", b"")
        digest = hashlib.sha256(body).hexdigest()
        return answer({"sha256": digest, "size": len(body), "created_at": CREATED}, 201)

    fake.on("POST", FILES, store)
    fake.on("POST", JOBS, answer(job(), 201))


def test_links_that_stay_at_home_are_told(cli: CommandLine, fake: FakeApi, folder: Path) -> None:
    """On standard error, a few by name; the job is submitted all the same."""
    _stores(fake)
    for number in range(12):
        (folder / f"link{number:02}").symlink_to("/etc/hostname")

    done = cli("jobs", "submit", "--upload", str(folder), "--", "make")

    said = done.stderr.decode()
    assert done.returncode == 0
    assert "12 links do not go along" in said
    assert "link00 -> /etc/hostname" in said
    assert "and 2 more" in said


def test_a_folder_is_uploaded_and_named_by_its_content(
    cli: CommandLine, fake: FakeApi, folder: Path
) -> None:
    """First the file, checked as a zip over there, then the job that unpacks it."""
    _stores(fake)

    done = cli("jobs", "submit", "--upload", str(folder), "--exclude", "empty", "--", "make")

    upload, submit = fake.asked
    assert done.returncode == 0
    assert upload.query == {"check": ["zip"]}
    assert "empty/" not in zipfile.ZipFile(io.BytesIO(upload.body)).namelist()
    digest = hashlib.sha256(upload.body).hexdigest()
    assert submit.json()["inputs"] == [{"file": digest, "unpack": "zip"}]


def test_a_zip_file_is_sent_as_it_is(cli: CommandLine, fake: FakeApi, folder: Path) -> None:
    """Not packed again, not changed by a byte."""
    _stores(fake)
    with zipfile.ZipFile(folder.parent / "p.zip", "w") as packed:
        packed.write(folder / "Makefile", "Makefile")
    data = (folder.parent / "p.zip").read_bytes()

    assert cli("jobs", "submit", "--upload", "p.zip", "--", "make").returncode == 0
    assert fake.asked[0].body == data


def test_an_upload_that_is_cut_is_sent_again_whole(
    cli: CommandLine, fake: FakeApi, folder: Path
) -> None:
    """A lost connection costs the upload and not the job."""
    _stores(fake)
    stored = fake._handlers["POST", FILES][0]
    fake.on("POST", FILES, Reply(silent=True), stored)

    done = cli("jobs", "submit", "--upload", str(folder), "--", "make")

    first, second = fake.asked_for("POST", FILES)
    assert done.returncode == 0
    assert first.body == second.body


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a\\b", "C:evil"])
def test_an_archive_that_escapes_is_refused_before_it_is_sent(
    cli: CommandLine, fake: FakeApi, name: str
) -> None:
    """The entry is named, and the server hears nothing of it."""
    with zipfile.ZipFile(cli.folder / "evil.zip", "w") as evil:
        evil.writestr(name, "boo")

    done = cli("jobs", "submit", "--upload", "evil.zip", "--", "true")

    assert done.returncode == 2
    assert f'zip entry "{name}"' in done.stderr.decode()
    assert fake.asked == []


def test_what_is_no_archive_is_refused_before_it_is_sent(cli: CommandLine, fake: FakeApi) -> None:
    """A text file is not a zip file; and a zip file has nothing excluded from it."""
    (cli.folder / "notes.txt").write_text("hello\n")

    wrong = cli("jobs", "submit", "--upload", "notes.txt", "--", "true")
    excluding = cli("jobs", "submit", "--upload", "notes.txt", "--exclude", "x", "--", "true")

    assert (wrong.returncode, excluding.returncode) == (2, 2)
    assert b"zip" in wrong.stderr
    assert b"--exclude cannot take anything out of notes.txt" in excluding.stderr
    assert fake.asked == []


def test_a_server_that_stored_something_else_is_not_believed(
    cli: CommandLine, fake: FakeApi, folder: Path
) -> None:
    """A job never runs on an upload that was damaged on its way."""
    other = answer({"sha256": "0" * 64, "size": 1, "created_at": CREATED}, 201)
    fake.on("POST", FILES, other)

    done = cli("jobs", "submit", "--upload", str(folder), "--", "make")

    assert done.returncode == 70
    assert not fake.asked_for("POST", JOBS)


def test_an_upload_that_is_too_large_is_told_by_the_server(
    cli: CommandLine, fake: FakeApi, folder: Path
) -> None:
    """The server's own limit counts: what was too large, how large, and how that is changed."""
    fake.on("POST", FILES, problem(413, "body_too_large", "at most 10 bytes", hint="exclude more"))

    done = cli("jobs", "submit", "--upload", str(folder), "--", "make")

    assert done.returncode == 2
    said = done.stderr.decode()
    assert "at most 10 bytes" in said
    assert f"{folder} is too large to upload: it is " in said
    assert "ORCHESTRATOR_MAX_UPLOAD_BYTES" in said
    assert "--exclude" in said


def test_nothing_temporary_stays(cli: CommandLine, fake: FakeApi, folder: Path) -> None:
    """The archive on its way has no name, so it cannot be left behind even by a kill."""
    _stores(fake)
    temporary = cli.folder / "tmp"
    temporary.mkdir()

    cli("jobs", "submit", "--upload", str(folder), "--", "make", env={"TMPDIR": str(temporary)})

    assert fake.asked_for("POST", FILES)
    assert list(temporary.iterdir()) == []
