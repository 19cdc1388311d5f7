"""What is asked for under chaos, and how it has to end: pure, from a seed.

A plan travels twice: as the argument of its command, and in the history, where the judge finds it.
"""

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos import actor

ACTOR: Final = Path(actor.__file__)
KINDS: Final = {
    "ledger": 8,
    "sleeper": 8,
    "failer": 2,
    "flooder": 1,
    "stubborn": 1,
    "daemon": 2,
    "upload": 2,
    "delay": 1,
    "once": 2,
}
"""kind → weight. `delay` is no command: its handler lives in the worker, and dies with it. `once`
may be started at most once, so it fails where others are tried again."""
MAX_LOST: Final = 90
"""Under chaos an attempt may be lost often; no job may be given up because of that."""
STUBBORN_S: Final = 2.0
GRACE_S: Final = 1.0
Plan = dict[str, Any]


def make_plan(draw: random.Random, op: str, ledger: Path) -> Plan:
    """Return a plan for a job."""
    kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
    plan: Plan = {
        "op": op,
        "kind": kind,
        "lines": draw.randint(1, 60),
        "width": draw.choice([0, 16, 80]),
        "pace_ms": draw.choice([0, 0, 1, 5]),
        "code": 0,
        "tries": 1,
        "ms": 0,
        "ledger": str(ledger),
    }
    match kind:
        case "sleeper" | "once":
            plan |= {"lines": draw.randint(20, 60), "pace_ms": draw.choice([40, 80, 120])}
        case "failer":
            plan |= {"code": draw.randint(1, 255), "tries": draw.choice([1, 2])}
        case "flooder":
            plan |= {"lines": draw.randint(5_000, 20_000), "width": 80, "pace_ms": 0}
        case "delay":
            plan |= {"lines": 0, "ms": draw.randint(0, 3_000)}
        case _:
            pass
    return plan


def spec_of(plan: Plan, file: str | None = None) -> dict[str, Any]:
    """Return what is sent to the server for a plan; `file` is the archive of an upload."""
    spec: dict[str, Any] = {
        "name": plan["op"],
        "grace_s": GRACE_S,
        "timeout_s": STUBBORN_S if plan["kind"] == "stubborn" else 600,
        "retry": {"max_attempts": plan["tries"], "backoff": {"initial_s": 0.1}},
    }
    spec |= {"execution": "at_most_once"} if plan["kind"] == "once" else {"max_lost": MAX_LOST}
    if plan["kind"] == "delay":
        return spec | {"kind": "delay", "params": {"ms": plan["ms"]}}
    # Neither the user's packages nor ours: a command of a job is a stranger.
    argv = [sys.executable, "-E", "-s", "-S", str(ACTOR), json.dumps(plan)]
    inputs = [{"file": file, "unpack": "zip"}] if file else []
    return spec | {"kind": "command", "params": {"argv": argv}, "inputs": inputs}


def payload_of(plan: Plan) -> bytes:
    """Return the content of an uploaded project's only file."""
    return b"".join(actor.out_lines(plan, 0))


@dataclass(frozen=True, slots=True)
class End:
    """A way in which a job may end."""

    state: str
    reason: str | None
    code: int | None = None


def ends_of(plan: Plan) -> tuple[End, ...]:
    """Return how a job may end that nobody cancels."""
    match plan["kind"]:
        case "failer":
            return (End("failed", "exit_nonzero", plan["code"]),)
        case "stubborn":
            return (End("failed", "timeout_run"),)
        case "delay":
            return (End("succeeded", None),)
        case "once":
            unknown = (End("failed", reason) for reason in ("outcome_unknown", "interrupted"))
            return (End("succeeded", None, 0), *unknown)
        case _:
            return (End("succeeded", None, 0),)
