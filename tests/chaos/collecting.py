"""Ask the server, when everything is over, for all that it knows: jobs, events, output.

Only the API is used, straight and without a proxy. Output is kept as length and digest: what it has
to be follows from the plan.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from tests.chaos.caller import Answer, Caller, Unknown
from tests.chaos.records import Output, Seen
from tests.chaos.site import Site

JOBS: Final = "/api/v1/jobs"
PAGE: Final = 500
OK: Final = 200
SUSPICIOUS: Final = ("Traceback (most recent call last)", '"request.failed"', '"critical"')
"""What a log must not hold: a fault of ours that somebody met."""
EXPECTED_CRITICAL: Final = '"launcher.died"'


def all_jobs(caller: Caller) -> Iterator[dict[str, Any]]:
    """Yield every job, the newest first."""
    cursor = ""
    while True:
        page = _asked(caller, f"{JOBS}?limit={PAGE}{cursor}").json
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


def collected(caller: Caller) -> Iterator[Seen]:
    """Yield every job with its events and what is kept of its output."""
    for item in all_jobs(caller):
        path = f"{JOBS}/{item['id']}"
        job = _asked(caller, path).json
        seen = Seen(job, _events(caller, path))
        for attempt in job["attempts"]:
            number = attempt["number"]
            seen.out[str(number)] = _output(caller, path, number, "stdout")
            seen.err[str(number)] = _output(caller, path, number, "stderr")
        yield seen


def _asked(caller: Caller, path: str) -> Answer:
    """Return an answer that is one: what is not there yet is as good as none."""
    answer = caller.call("GET", path)
    if answer.status != OK:
        raise Unknown(f"{path} was answered {answer.status}: {answer.body.decode()}")
    return answer


def _events(caller: Caller, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["seq"] if found else 0
        page = _asked(caller, f"{path}/events?after={after}&limit={PAGE}").json["items"]
        found += page
        if len(page) < PAGE:
            return found


def _output(caller: Caller, path: str, attempt: int, stream: str) -> Output:
    body = _asked(caller, f"{path}/output/raw?attempt={attempt}&stream={stream}").body
    return Output(len(body), hashlib.sha256(body).hexdigest())


def remains(site: Site, left: dict[str, str], secrets: list[str]) -> dict[str, Any]:
    """Return what there is after everything was stopped, for the judge."""
    logs = sorted(site.folder.glob("*.log"))
    return {
        "processes": left,
        "workspaces": [
            str(path.relative_to(site.folder))
            for host in site.hosts
            for path in (host.home / "data/workers/local/workspaces").glob("*")
        ],
        "log_lines": [
            f"{log.name}: {line}"
            for log in logs
            for line in log.read_text(errors="replace").splitlines()
            if any(word in line for word in SUSPICIOUS) and EXPECTED_CRITICAL not in line
        ],
        "ends": {keeper.name: keeper.ends for keeper in _keepers(site)},
        "statuses": [
            [route, status, count]
            for link in site.links()
            for (route, status), count in sorted(link.statuses.items())
        ],
        "met": _met(site),
        "secrets": list(_leaks(site, secrets)),
        "database": site.database.faults(),
        "where": _whereabouts(site),
    }


def _whereabouts(site: Site) -> dict[str, str]:
    """Return `job attempt` → machine of every attempt: the API tells only the worker's name."""
    machines = site.workers()
    return {key: machines[worker] for key, worker in site.database.workers().items()}


def _keepers(site: Site) -> list[Any]:
    return [site.server, *(host.keeper for host in site.hosts)]


def _met(site: Site) -> dict[str, int]:
    met: dict[str, int] = {}
    for link in site.links():
        for fault, count in link.met.items():
            met[fault] = met.get(fault, 0) + count
    return met


def _leaks(site: Site, secrets: list[str]) -> Iterator[str]:
    """Yield the files that hold a secret in clear and are not its home."""
    home = {"admin.key", "enrol.key", "token"}
    for path in site.folder.rglob("*"):
        if path.is_file() and path.name not in home:
            content = path.read_bytes()
            if any(secret.encode() in content for secret in secrets):
                yield str(path.relative_to(site.folder))
