"""A server opens the database that another version left, and people find their jobs in it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.kept import HERE, read_json
from tests.integration.server.site import running


@pytest.mark.parametrize("kept", sorted(HERE.glob("*/server.sql")), ids=lambda it: it.parent.name)
async def test_the_database_of_another_version_is_opened(tmp_path: Path, kept: Path) -> None:
    """Every job is there as it was shown before; a job that waited is still there to be run."""
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(folder / "orchestrator.db")) as database:
        database.executescript(kept.read_text())
    (folder / "orchestrator.db").chmod(0o600)

    async with running(folder) as site:
        for job in read_json(kept.with_name("server.json")):
            found = await site.job(job["id"])
            assert _same(found, job), (found, job)
        waiting = (await site.get("/api/v1/jobs?state=queued")).json()["items"]
        assert {job["name"] for job in waiting} == {"given back", "waits"}


def _same(new: Any, old: Any) -> bool:
    """Tell whether everything of before is there; something may have been added."""
    match old:
        case dict():
            return all(name in new and _same(new[name], one) for name, one in old.items())
        case list():
            return len(new) == len(old) and all(map(_same, new, old))
        case _:
            return bool(new == old)
