"""Backups: what is in one, what is refused, and that it is one moment of a server at work."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import (
    AlreadyExists,
    AlreadyRunning,
    NotFound,
    Refused,
    RequestInvalid,
    VersionUnsupported,
)
from orchestrator.kernel.files import Lock
from orchestrator.server.backup import restoring, staging
from orchestrator.server.backup.containers import Advance
from orchestrator.server.backup.making import LOCK, fell_out, make
from orchestrator.server.backup.manifest import MANIFEST, Manifest
from tests.integration.server.backups import NOW, busy, folder, left_of, restore, silent
from tests.integration.server.site import running
from tests.support.builders import command
from tests.support.waiting import until


def content(below: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {
        path.relative_to(below).as_posix(): path.read_bytes()
        for path in below.rglob("*")
        if path.is_file()
    }


def reseal(backup: Path, change: Callable[[Manifest], Manifest] = lambda it: it) -> None:
    """Make a backup vouch for what is in it now."""
    manifest = Manifest.model_validate_json((backup / MANIFEST).read_bytes())
    entries = [
        entry.model_copy(
            update={
                "size": (backup / entry.name).stat().st_size,
                "sha256": sha256((backup / entry.name).read_bytes()).hexdigest(),
            }
        )
        for entry in manifest.entries
    ]
    text = change(manifest.model_copy(update={"entries": entries})).model_dump_json()
    (backup / MANIFEST).write_text(text)
    digest = sha256(text.encode()).hexdigest()
    (backup / "manifest.sha256").write_text(f"{digest}  {MANIFEST}\n")


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
async def test_everything_of_a_server_comes_back(tmp_path: Path, name: str) -> None:
    """Jobs, uploads, long output, keys and workers are on the new server as on the old one."""
    target = tmp_path / name
    async with running(folder(tmp_path / "old")) as site:
        done, going = await busy(site)
        before, key = await site.job(done), site.key()
        raw = (await site.get(f"/api/v1/jobs/{done}/output/raw")).content
        deed = partial(make, site.folder, target, silent, made_at=NOW)
        made = await anyio.to_thread.run_sync(deed)

    brought = await anyio.to_thread.run_sync(restore, target, tmp_path / "new")

    assert (made.jobs, made.lost, brought.held) == (2, [], 1)
    assert brought.manifest == made == restoring.verify(target, silent)
    objects = {path for path in content(tmp_path / "old") if path.startswith(("files", "output/"))}
    assert {
        path for path in content(tmp_path / "new") if path.startswith(("files", "output/"))
    } == (objects)
    async with running(tmp_path / "new") as site:
        assert await site.job(done) == before
        assert (await site.get(f"/api/v1/jobs/{done}/output/raw")).content == raw
        assert (await site.job(going))["state"] == "held"
        assert site.key() != key
        asked = {"Authorization": f"Bearer {key}"}
        assert (await site.http.get("/api/v1/workers", headers=asked)).status_code == 200
        assert len((await site.get("/api/v1/workers")).json()["items"]) == 1


async def test_a_backup_is_one_moment_of_a_server_that_goes_on(tmp_path: Path) -> None:
    """What is committed while the copy is made is not in it, and nothing in it is half."""
    async with running(folder(tmp_path / "server")) as site:
        many = [await site.submit(command(env={"A": "x" * 120_000})) for _ in range(80)]
        later: list[str] = []

        @contextmanager
        def interfering(what: str, _total: int) -> Iterator[Advance]:
            def advance(_size: int) -> None:
                if what == "database":
                    later.append(anyio.from_thread.run(site.submit, command()))

            yield advance

        deed = partial(make, site.folder, tmp_path / "b", interfering, made_at=NOW)
        made = await anyio.to_thread.run_sync(deed)

        assert len(later) > 1
        assert made.jobs == len(many)
        with closing(sqlite3.connect(tmp_path / "b/orchestrator.db")) as raw:
            (specs,) = raw.execute("SELECT count(*) FROM job_spec").fetchone()
            assert specs == len(many)
        assert (await site.job(later[-1]))["state"] == "queued"


def test_a_backup_is_for_its_owner_and_holds_no_key(backup: Path, tmp_path: Path) -> None:
    """Whoever finds a backup cannot enter with it: it has hashes, and not the words of any key."""
    words = [
        (tmp_path / "server" / name).read_bytes().strip() for name in ("admin.key", "enrol.key")
    ]

    everything = content(backup)

    assert not [name for name, data in everything.items() if any(word in data for word in words)]
    assert not (backup.stat().st_mode | (backup / MANIFEST).stat().st_mode) & 0o077


def test_uploads_are_linked_and_not_copied(backup: Path, tmp_path: Path) -> None:
    """On the same disk a backup of uploads takes no room; what still changes is copied."""
    [upload] = [path for path in (backup / "files").rglob("*") if path.is_file()]
    [part] = [path for path in (backup / "output").rglob("*") if path.is_file()]

    original = tmp_path / "server" / upload.relative_to(backup)
    assert upload.stat().st_ino == original.stat().st_ino
    assert part.stat().st_nlink == 1


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    shutil.copyfile(path, path.with_suffix(".copy"))  # not in place: an upload is linked
    path.with_suffix(".copy").write_bytes(data)
    path.with_suffix(".copy").replace(path)


def _file(below: str) -> Callable[[Path], Path]:
    return lambda backup: next(p for p in (backup / below).rglob("*") if p.is_file())


DAMAGE: dict[str, Callable[[Path], None]] = {
    "database": lambda backup: _flip(backup / "orchestrator.db"),
    "upload": lambda backup: _flip(_file("files")(backup)),
    "output": lambda backup: _flip(_file("output")(backup)),
    "manifest": lambda backup: _flip(backup / MANIFEST),
    "checksum": lambda backup: _flip(backup / "manifest.sha256"),
    "missing": lambda backup: _file("output")(backup).unlink(),
    "no manifest": lambda backup: (backup / MANIFEST).unlink(),
    "no checksum": lambda backup: (backup / "manifest.sha256").unlink(),
    "strange": lambda backup: (backup / "strange").touch(),
    "one too many": lambda backup: (backup / f"files/objects/aa/{'a' * 64}").touch(),
    "link": lambda backup: (backup / "link").symlink_to("/etc/passwd"),
    "cut": lambda backup: os.truncate(_file("output")(backup), 10),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_backup_is_refused_and_nothing_is_changed(
    backup: Path, tmp_path: Path, damage: str
) -> None:
    """Whatever was altered, the refusal says so, and the new folder stays empty."""
    (backup / "files/objects/aa").mkdir(exist_ok=True)

    DAMAGE[damage](backup)

    for attempt in (
        partial(restore, backup, tmp_path / "new"),
        partial(restoring.verify, backup, silent),
    ):
        with pytest.raises(Refused) as refusal:
            attempt()
        assert refusal.value.problem_code == "backup_damaged"
    assert left_of(tmp_path / "new") == []


def _of_the_future(backup: Path) -> None:
    with closing(sqlite3.connect(backup / "orchestrator.db")) as raw:
        raw.execute("INSERT INTO migration VALUES (9999, 'x', 'y', 1)")
        raw.commit()
    reseal(backup)


NEWER: dict[str, Callable[[Path], None]] = {
    "form": lambda backup: reseal(backup, lambda it: it.model_copy(update={"form": 2})),
    "database": _of_the_future,
}


@pytest.mark.parametrize("newer", NEWER)
def test_a_backup_of_a_newer_program_is_refused(backup: Path, tmp_path: Path, newer: str) -> None:
    """What this program does not understand it leaves alone."""
    NEWER[newer](backup)

    with pytest.raises(VersionUnsupported):
        restore(backup, tmp_path / "new")

    assert left_of(tmp_path / "new") == []


def test_nothing_is_overwritten(backup: Path, tmp_path: Path) -> None:
    """Neither a data directory that holds something nor an earlier backup."""
    (folder(tmp_path / "new") / "mine").touch()
    before = content(backup)

    with pytest.raises(AlreadyExists, match="is not empty: it holds mine"):
        restore(backup, tmp_path / "new")
    with pytest.raises(AlreadyExists, match="is there already"):
        make(tmp_path / "server", backup, silent, made_at=NOW)

    assert left_of(tmp_path / "new") == ["mine"]
    assert content(backup) == before


def test_a_backup_of_a_server_that_does_not_run(backup: Path, tmp_path: Path) -> None:
    """It is made of the files alone; without a database, or into itself, it is refused."""
    made = make(tmp_path / "server", tmp_path / "second", silent, made_at=NOW)

    assert restoring.verify(tmp_path / "second", silent) == made
    assert restoring.verify(backup, silent).jobs == made.jobs
    with pytest.raises(NotFound, match="no database"):
        make(tmp_path, tmp_path / "third", silent, made_at=NOW)
    with pytest.raises(RequestInvalid, match="lies in the folder"):
        make(tmp_path / "server", tmp_path / "server/third", silent, made_at=NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "second", "server"]


def test_what_is_lost_already_is_named_and_the_rest_is_saved(backup: Path, tmp_path: Path) -> None:
    """A file that somebody took from the server's disk is no reason to have no backup."""
    [upload] = [path for path in (tmp_path / "server/files").rglob("*") if path.is_file()]
    name = upload.relative_to(tmp_path / "server").as_posix()
    upload.unlink()

    made = make(tmp_path / "server", tmp_path / "second", silent, made_at=NOW)

    assert made.lost == [name]
    assert restore(tmp_path / "second", tmp_path / "new").manifest == made


OPEN_LOG = """
    UPDATE output SET length = 4000, gap_start = 0, gap_end = 0 WHERE job_id = :job_id;
    DELETE FROM output_part WHERE job_id = :job_id;
    UPDATE attempt SET outcome = NULL WHERE job_id = :job_id;
"""


def test_what_falls_out_of_a_long_output_while_it_is_saved_is_told_as_a_gap(backup: Path) -> None:
    """The copy says of its middle what the original says; its head, and what is over, never go."""
    with closing(sqlite3.connect(backup / "orchestrator.db", isolation_level=None)) as raw:
        [(job_id,)] = raw.execute("SELECT job_id FROM output").fetchall()
        for statement in OPEN_LOG.split(";")[:3]:
            raw.execute(statement, {"job_id": job_id})
        for start in range(0, 4000, 1000):
            raw.execute("INSERT INTO output_part VALUES (?, 1, ?, 1000, 900)", (job_id, start))
        gap = "SELECT gap_start, gap_end, dropped_bytes FROM output"

        assert not fell_out(raw, job_id, 1, 0)
        assert fell_out(raw, job_id, 1, 1000)
        assert not fell_out(raw, job_id, 1, 3000)
        assert fell_out(raw, job_id, 1, 2000)

        assert raw.execute(gap).fetchone() == (1000, 3000, 1800)
        assert raw.execute("SELECT start FROM output_part").fetchall() == [(0,), (3000,)]
        raw.execute("UPDATE attempt SET outcome = 'succeeded'")
        assert not fell_out(raw, job_id, 1, 3000)


def test_data_that_came_back_by_other_means_are_held_in_place(backup: Path, tmp_path: Path) -> None:
    """Who copied the files by hand tells the server so, and nothing runs again."""
    copied = tmp_path / "copied"
    shutil.copytree(backup, copied)

    held = restoring.settle(None, copied, SystemClock())

    assert held == 1
    with closing(sqlite3.connect(copied / "orchestrator.db")) as raw:
        found = raw.execute("SELECT reason FROM job WHERE state = 'held'").fetchall()
    assert found == [("restored",)]


def test_a_restore_beside_a_running_server_is_refused(backup: Path, tmp_path: Path) -> None:
    """Whoever holds the folder is named."""
    new = folder(tmp_path / "new")

    with Lock(new / staging.LOCK).take("a server"), pytest.raises(AlreadyRunning):
        restore(backup, new)


async def test_housekeeping_stays_away_while_a_backup_is_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a backup names must not go while it is copied; the clean-up says so and comes again."""
    server = folder(tmp_path / "server")

    async def told() -> bool:
        return "housekeeping.delayed" in caplog.text

    with Lock(server / LOCK).take("a backup"):
        async with running(server):
            await until(told)
