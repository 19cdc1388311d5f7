"""What tests of backups share: a server that has something of everything, and its backup."""

from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from orchestrator.kernel.clock import SystemClock
from orchestrator.server.backup import restoring, staging
from orchestrator.server.backup.containers import Advance
from orchestrator.server.backup.making import make
from tests.integration.server.site import Site, running
from tests.integration.server.worker import at_work
from tests.support.builders import command

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LONG = b"x" * 50_000


def folder(path: Path) -> Path:
    """Make a data directory."""
    path.mkdir(mode=0o700)
    return path


def silent(_what: str, _total: int) -> "nullcontext[Advance]":
    """Show no progress."""
    return nullcontext(lambda _: None)


def restore(source: Path, target: Path) -> restoring.BroughtBack:
    """Bring a backup back."""
    return restoring.restore(source, target, silent, SystemClock())


async def busy(site: Site) -> tuple[str, str]:
    """Let a server have an upload, long output, and a job that runs; return two ids."""
    worker = await at_work(site)
    answer = await site.http.post("/api/v1/files", content=b"input", headers=site.admin)
    job = command(inputs=[{"file": answer.json()["sha256"], "name": "in"}])
    done = await site.submit(job)
    await worker.claim()
    await worker.start(done)
    await worker.write(done, LONG)
    await worker.end(done)
    going = await site.submit(command())
    await worker.claim()
    await worker.start(going)
    return done, going


def backup_of_a_busy_server(place: Path) -> Path:
    """Return a new backup, beside the data of the server, which does not run any more."""
    target = place / "backup"

    async def made() -> None:
        async with running(folder(place / "server")) as site:
            await busy(site)
            deed = partial(make, site.folder, target, silent, made_at=NOW)
            await anyio.to_thread.run_sync(deed)

    anyio.run(made)
    return target


def left_of(data_dir: Path) -> list[str]:
    """Return what is in a data directory, but for its lock."""
    return sorted(path.name for path in data_dir.iterdir() if path.name != staging.LOCK)
