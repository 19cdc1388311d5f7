"""One long job, and its worker killed again and again: `make chaos ARGS="--cycles 200"`.

The worker is `worker run` under a keeper that starts it again at once, so that hundreds of kills
fit into minutes; each comes at another moment of its life. The job must never notice: one process,
one attempt, every line once.
"""

import hashlib
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos import actor
from tests.chaos.caller import Caller
from tests.chaos.figures import percentile
from tests.chaos.keeper import Keeper
from tests.chaos.plans import Plan, spec_of
from tests.chaos.proxy import HERE
from tests.chaos.records import Entry, entries, now, read
from tests.chaos.site import Site, site
from tests.support.waiting import wait_until

JOBS: Final = "/api/v1/jobs"
LONGEST_LIFE_S: Final = 1.0
"""A worker is killed within this after its start: before, while and after it finds its job."""
LOOK_EVERY: Final = 10
"""In one cycle of so many the worker lives until new output has arrived at the server."""
BACK_S: Final = 30.0
END_S: Final = 60.0


@dataclass
class Tally:
    """What came of the cycles."""

    kills: int = 0
    lines: int = 0
    back_s: list[float] = field(default_factory=list)
    """From a kill until output that was written after it is at the server."""
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        back = f"median {percentile(self.back_s, 0.5):.1f} s, longest {max(self.back_s):.1f} s"
        told = f"{self.kills} kills of the worker, {self.lines} lines; output was back after {back}"
        return "\n".join([told, *self.complaints]) if self.complaints else f"{told}\nexact"


def run_cycles(count: int, seed: int, folder: Path, say: Callable[[str], None]) -> Tally:
    """Kill the worker `count` times while one job runs; nothing is left running."""
    tally, draw, gate = Tally(), random.Random(seed), folder / "gate"
    with site(folder, seed, hosts=0) as place:
        worker = _worker(place)
        try:
            worker.start()
            plan = _plan(place.ledger, gate)
            caller = place.judge()
            job_id = caller.post_once(JOBS, spec_of(plan), plan["op"]).json["id"]
            wait_until(place.ledger.exists, timeout_s=END_S)
            start = entries(read(place.ledger))[0]
            for number in range(count):
                _cycle(worker, draw, start, tally)
                if number % LOOK_EVERY == 0:
                    tally.back_s.append(_back(caller, job_id))
                    say(f"{tally.kills} kills, back after {tally.back_s[-1]:.1f} s")
            gate.touch()
            job = _ended(caller, job_id)
            tally.complaints += _complaints(plan, job, place, caller, tally)
        finally:
            worker.stop()
    return tally


def _plan(ledger: Path, gate: Path) -> Plan:
    plan: Plan = {"op": "long", "kind": "endless", "lines": 0, "width": 16, "pace_ms": 10}
    return plan | {"code": 0, "tries": 1, "ms": 0, "ledger": str(ledger), "gate": str(gate)}


def _worker(place: Site) -> Keeper:
    """Enrol a worker as the manual says, and return who keeps it."""
    home = place.folder / "host-0"
    for folder in (home, home / "project"):
        folder.mkdir(mode=0o700)
    key = (place.data / "enrol.key").read_text().strip()
    host: dict[str, Any] = {"hostname": "oak", "platform": "linux", "arch": "x86_64"}
    host |= {"cpu_count": 2, "memory_bytes": 2**30, "python": "3.11"}
    request = {"name": "oak", "fingerprint": "the machine called oak", "host": host}
    answer = Caller(place.port, key).call("POST", "/api/worker/v1/enrol", request)
    token = home / "token"
    token.touch(mode=0o600)
    token.write_text(answer.json["token"])
    argv = [sys.executable, "-m", "worker", "run", f"--server-url=http://{HERE}:{place.port}"]
    argv += [f"--token-file={token}", f"--directory={home / 'project'}"]
    argv += [f"--state-dir={home / 'state'}"]
    return Keeper("worker", argv, place.environment(home), place.folder / "host-0.log")


def _cycle(worker: Keeper, draw: random.Random, start: Entry, tally: Tally) -> None:
    """Let a worker live for a moment, and kill it; look at the job from outside."""
    threading.Event().wait(draw.uniform(0, LONGEST_LIFE_S))
    before = worker.pid
    worker.signal(signal.SIGKILL)
    tally.kills += 1
    wait_until(lambda: worker.pid != before, timeout_s=BACK_S)
    if actor.born(start.pid) != start.born:
        tally.complaints.append(f"after {tally.kills} kills the process is another one")


def _back(caller: Caller, job_id: str) -> float:
    """Wait until the server has more output than now; return how long that took."""
    path = f"{JOBS}/{job_id}/output/raw?attempt=1&stream=stdout"
    began, size = now(), len(caller.call("GET", path).body)
    wait_until(lambda: len(caller.call("GET", path).body) > size, timeout_s=BACK_S)
    return now() - began


def _ended(caller: Caller, job_id: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = caller.call("GET", f"{JOBS}/{job_id}").json
        return job if job["finished_at"] else None

    job = wait_until(ended, timeout_s=END_S)
    assert job is not None
    return job


def _complaints(
    plan: Plan, job: dict[str, Any], place: Site, caller: Caller, tally: Tally
) -> Iterator[str]:
    """Yield what is not as if nothing had happened."""
    ledger = entries(read(place.ledger))
    starts = [entry for entry in ledger if entry.what == "start"]
    exits = [entry for entry in ledger if entry.what == "exit"]
    if len(starts) != 1 or len(exits) != 1:
        yield f"{len(starts)} starts, {len(exits)} exits"
        return
    if (job["state"], job["attempt"], job["exit_code"]) != ("succeeded", 1, 0):
        yield f"the job is {job['state']}, attempt {job['attempt']}, code {job['exit_code']}"
    if job["attempts"][0]["output_missing_bytes"]:
        yield f"{job['attempts'][0]['output_missing_bytes']} bytes are missing"
    tally.lines = exits[0].lines or 0
    told = plan | {"kind": "ledger", "lines": tally.lines}
    for stream, lines in (("stdout", actor.out_lines), ("stderr", actor.err_lines)):
        path = f"{JOBS}/{job['id']}/output/raw?attempt=1&stream={stream}"
        body, wanted = caller.call("GET", path).body, b"".join(lines(told, 1))
        if hashlib.sha256(body).digest() != hashlib.sha256(wanted).digest():
            yield f"{stream}: {len(body)} bytes, not the {len(wanted)} that were written"
