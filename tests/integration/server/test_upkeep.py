"""What the server does on its own: leases end, old things go, and both wait for their time."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from orchestrator.kernel.clock import SystemClock
from orchestrator.protocol.limits import LEASE_S
from orchestrator.server.operations import retention
from orchestrator.server.operations.upkeep import tick
from orchestrator.server.upkeep import reaper
from orchestrator.server.upkeep.housekeeping import Housekeeping
from tests.integration.server.site import Site, problem, running
from tests.integration.server.worker import at_work
from tests.support.builders import command, delay
from tests.support.waiting import until

DAY_S = 24 * 3600.0


@dataclass
class MovedClock:
    """The machine's clocks, set forward by a test."""

    ahead_s: float = 0.0
    real: SystemClock = field(default_factory=SystemClock)

    def now(self) -> float:
        """Return wall time as it is here."""
        return self.real.now() + self.ahead_s

    def monotonic(self) -> float:
        """Return monotonic time as it is here."""
        return self.real.monotonic() + self.ahead_s


async def test_a_lost_worker_s_job_is_tried_again(site: Site) -> None:
    """When a lease ends without renewal, the attempt is lost and the job goes to another worker."""
    worker, other = await at_work(site), await at_work(site, name="two")
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    for _ in range(2 + round(LEASE_S / 10)):
        await site.services.store.write(lambda tx: tick(tx, elapsed_us=10_000_000))

    with anyio.fail_after(10):
        (grant,) = await other.claim(wait_s=9)

    assert (grant["job_id"], grant["attempt"]) == (job_id, 2)
    attempts = (await site.job(job_id))["attempts"]
    assert attempts[0]["outcome"] == "lost"


async def test_a_server_that_slept_costs_nobody_a_lease(tmp_path: Path) -> None:
    """A machine that was suspended for an hour wakes up with its workers still entitled."""
    clock = MovedClock()
    async with running(tmp_path, clock=clock) as site:
        worker = await at_work(site)
        job_id = await site.submit(command())
        await worker.claim()
        await worker.start(job_id)

        clock.ahead_s = 3600.0
        pulse = site.services.pulse
        with anyio.move_on_after(0.3):
            await reaper.reap(site.services.store, clock, pulse, period_s=0.02)

        assert (await site.job(job_id))["state"] == "running"


async def test_readiness_is_the_pulse_of_the_writer(site: Site) -> None:
    """A server whose upkeep has stopped committing says that it is not ready."""
    assert (await site.http.get("/ready")).status_code == 200

    site.services.pulse.stop()
    answer = await site.http.get("/ready")

    assert (answer.status_code, answer.json()) == (503, {"ready": False})
    assert answer.headers["retry-after"] == "1"
    assert (await site.http.get("/health")).status_code == 200


async def test_old_jobs_are_forgotten_with_everything_of_theirs(tmp_path: Path) -> None:
    """After thirty days a finished job, its output and its unused input are gone; others stay."""
    clock = MovedClock()
    async with running(tmp_path, clock=clock) as site:
        worker = await at_work(site)
        answer = await site.http.post("/api/v1/files", content=b"input", headers=site.admin)
        inputs = [{"file": answer.json()["sha256"], "name": "in"}]
        old = await site.submit(command(inputs=inputs), **{"Idempotency-Key": "k"})
        await worker.claim()
        await worker.start(old)
        await worker.write(old, b"x" * 50_000)
        await worker.end(old)
        open_job = await site.submit(delay())
        services = site.services
        keeper = Housekeeping(services.store, services.outputs, services.files, clock)

        clock.ahead_s = 29 * DAY_S
        await keeper.clean()
        assert (await site.job(old))["state"] == "succeeded"
        clock.ahead_s = 40 * DAY_S
        await keeper.clean()

        problem(await site.get(f"/api/v1/jobs/{old}"), 404, "not_found")
        assert (await site.job(open_job))["state"] == "queued"
        assert [path for path in (tmp_path / "output").rglob("*") if path.is_file()] == []
        assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


async def test_old_jobs_are_counted_and_forgotten_at_once(tmp_path: Path) -> None:
    """An administrator sees what would go, and lets it go without waiting for the next hour."""
    clock = MovedClock()
    async with running(tmp_path, clock=clock) as site:
        old = await site.submit(delay())
        await site.post(f"/api/v1/jobs/{old}/cancel", {})
        clock.ahead_s = 31 * DAY_S

        seen = (await site.get("/api/v1/retention")).json()
        done = (await site.post("/api/v1/retention/prune")).json()

        counts = {item["state"]: (item["jobs"], item["kept_days"]) for item in seen["items"]}
        assert counts == {
            "succeeded": (0, 30.0),
            "cancelled": (1, 30.0),
            "failed": (0, 90.0),
            "expired": (0, 90.0),
        }
        assert (seen["forgotten"], done["forgotten"]) == (None, 1)
        problem(await site.get(f"/api/v1/jobs/{old}"), 404, "not_found")


async def test_all_idle_lines_are_forgotten_in_one_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that no job has any more go batch by batch, until none of them is left."""
    monkeypatch.setattr(retention, "ROWS", 2)
    clock = MovedClock()
    async with running(tmp_path, clock=clock) as site:
        for number in range(5):
            job_id = await site.submit(command(requires={"tags": [f"tag-{number}"]}))
            await site.post(f"/api/v1/jobs/{job_id}/cancel", {})
        services = site.services

        clock.ahead_s = 2 * DAY_S
        await Housekeeping(services.store, services.outputs, services.files, clock).clean()

        count = "SELECT (SELECT count(*) FROM requirement) + (SELECT count(*) FROM line)"
        assert await services.store.read(lambda reader: reader.tuples(count)) == [(0,)]


async def test_a_job_falls_due_although_an_earlier_one_was_set_later(site: Site) -> None:
    """The alarm is set anew when a job with an earlier moment arrives."""
    now = datetime.now(UTC)
    later = await site.submit(delay(run_at=(now + timedelta(hours=1)).isoformat()))
    sooner = await site.submit(delay(run_at=(now + timedelta(seconds=0.4)).isoformat()))

    async def is_queued() -> bool:
        return bool((await site.job(sooner))["state"] == "queued")

    await until(is_queued, timeout_s=5, what="the sooner job was queued")
    assert (await site.job(later))["state"] == "scheduled"
