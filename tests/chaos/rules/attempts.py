"""Attempts: how often a command ran, and what came of it."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from tests.chaos.case import Case, seconds

EXITED: Final = frozenset({"succeeded", "failed"})
UNACCOUNTED: Final = frozenset({"lost", "indeterminate"})
LEASE_S: Final = 60.0
"""No attempt is lost before its worker was away for so long; renewals are a part of it apart."""
FREE: Final = frozenset({"lost", "indeterminate", "released", "preempted"})
"""Outcomes after which another attempt may come without being a retry."""


def started_once(case: Case) -> Iterator[str]:
    """I4: the command of an attempt is started once, or never."""
    for (job, attempt), starts in case.starts.items():
        if len(starts) > 1:
            pids = ", ".join(str(start.pid) for start in starts)
            yield f"{job} attempt {attempt} ({starts[0].op}): started {len(starts)} times ({pids})"


def ledger_expected(case: Case) -> Iterator[str]:
    """I2: what ran was asked for, as an attempt that the server knows."""
    for (job, number), starts in case.starts.items():
        seen = case.jobs.get(job)
        if seen is None:
            yield f"{job} attempt {number} ({starts[0].op}): ran, and the job is not there"
        elif number not in {attempt["number"] for attempt in seen.job["attempts"]}:
            yield f"{job} attempt {number} ({starts[0].op}): ran, and there is no such attempt"
        elif starts[0].op != seen.job["name"]:
            yield f"{job} attempt {number}: ran the command of {starts[0].op}"


def code_is_the_commands(case: Case) -> Iterator[str]:
    """I6: the exit code of an attempt is the one with which its command ended."""
    for seen, attempt in case.attempts():
        if attempt["outcome"] not in EXITED or seen.job["kind"] != "command":
            continue
        key = (seen.job["id"], attempt["number"])
        exits = case.exits.get(key, [])
        if attempt["exit_code"] is None:
            continue  # a signal, or it could not be started
        if not exits:
            yield f"{key[0]} attempt {key[1]}: exit code {attempt['exit_code']} from nowhere"
        elif exits[0].code != attempt["exit_code"]:
            yield f"{key[0]} attempt {key[1]}: {attempt['exit_code']} is not {exits[0].code}"


def counted(case: Case) -> Iterator[str]:
    """I8: attempts are numbered from 1 without a gap."""
    for seen in case.run.seen:
        numbers = [attempt["number"] for attempt in seen.job["attempts"]]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{seen.job['id']} ({seen.job['name']}): attempts {numbers}"


def one_at_a_time(case: Case) -> Iterator[str]:
    """I8: no attempt is claimed before the one before it is over."""
    for seen in case.run.seen:
        attempts = seen.job["attempts"]
        for before, after in pairwise(attempts):
            over = before["finished_at"]
            if over is None or over > after["claimed_at"]:
                number = after["number"]
                yield f"{seen.job['id']} attempt {number}: claimed before {number - 1} was over"


def no_hidden_retries(case: Case) -> Iterator[str]:
    """G5: an attempt follows another only after a loss, or because the policy says so."""
    for seen in case.run.seen:
        plan = case.plans.get(seen.job["name"])
        own = [a for a in seen.job["attempts"] if a["outcome"] not in FREE]
        allowed = 1 if plan is None else plan["tries"]
        if len(own) > allowed:
            told = ", ".join(_told(attempt) for attempt in seen.job["attempts"])
            yield f"{seen.job['id']} ({seen.job['name']}): {len(own)} own attempts ({told})"


def none_forgotten(case: Case) -> Iterator[str]:
    """G8: what started is accounted for, unless its shim was killed or its lease ran out."""
    where = case.run.remains.get("where", {})
    shims = [blow for blow in case.run.blows if (blow.what, blow.target) == ("kill", "shim")]
    for seen, attempt in case.attempts():
        key = (seen.job["id"], attempt["number"])
        if attempt["outcome"] not in UNACCOUNTED or key not in case.starts:
            continue
        began, over = case.starts[key][0].at, seconds(attempt["finished_at"])
        host = where.get(f"{key[0]} {key[1]}")
        shot = any(blow.host == host and began <= blow.at <= over for blow in shims)
        if not shot and over - began < LEASE_S / 2:
            name, outcome = seen.job["name"], attempt["outcome"]
            yield f"{key[0]} attempt {key[1]} ({name}): ran, and is {outcome}"


def once_is_once(case: Case) -> Iterator[str]:
    """G5: a job that may be started at most once was started at most once."""
    starts = Counter(job for job, _ in case.starts)
    for job, count in starts.items():
        seen = case.jobs.get(job)
        plan = case.plans.get(seen.job["name"]) if seen is not None else None
        if plan is not None and plan["kind"] == "once" and count > 1:
            yield f"{job} ({plan['op']}): started in {count} attempts"


def _told(attempt: dict[str, Any]) -> str:
    return f"{attempt['number']} {attempt['outcome']}"
