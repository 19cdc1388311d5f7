"""What a job's command will do, and what is known of what it did: the truth to compare with."""

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

KINDS: Final = ("command", "delay")


@dataclass(slots=True)
class Plan:
    """What the command of one job does, each time that it is started."""

    number: int
    seconds: float = 1.0
    codes: tuple[int, ...] = (0,)
    """Of the first start, the second … The last one stays."""
    lines: int = 0
    line_bytes: int = 20
    ignores_term: bool = False
    leaves_child: bool = False
    clears_environment: bool = False
    missing: bool = False
    kind: str = "command"
    fields: dict[str, Any] = field(default_factory=dict)
    starts: int = 0

    def code(self, start: int) -> int:
        """Return with which code that start ends."""
        return self.codes[min(start, len(self.codes)) - 1]

    def line(self, attempt: int, index: int) -> bytes:
        """Return a line of output: it says whose it is and which."""
        text = f"{self.number}.{attempt}.{index} "
        return (text * (self.line_bytes // len(text) + 1)).encode()[: self.line_bytes] + b"\n"


@dataclass(slots=True)
class Truth:
    """What really happened to one attempt, as nobody but the world knows."""

    started: int = 0
    own: bytearray = field(default_factory=bytearray)
    """What the command said, as far as its shim could write it down."""
    heard: int = 0
    """The bytes that the command said to its shim, written down or not."""
    code: int | None = None
    signal: int | None = None
    by_itself: bool = False
    recorded_at: float = math.inf
    durable: bool = False
    """Whether its end was synced before the power was cut."""
    worker: str = ""
    runs: bool = False
    machine: str = ""


class Ledger:
    """The external ledger: each command writes into it when it starts and when it ends."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, int], Truth] = {}
        self.starts: Counter[str] = Counter()

    def of(self, job_id: str, attempt: int) -> Truth:
        """Return what is known of an attempt."""
        return self.attempts.setdefault((job_id, attempt), Truth())


def drawn(number: int, chance: random.Random) -> Plan:
    """Return what one more job of a seed is to do."""
    plan = Plan(number)
    plan.seconds = chance.choice((0.0, 0.2, 1.0, 5.0, 20.0, 90.0)) * chance.uniform(0.2, 1.0)
    plan.lines = chance.choice((0, 0, 1, 3, 10))
    plan.line_bytes = chance.choice((10, 40, 300, 300, 4000))
    plan.codes = chance.choice(((0,), (0,), (0,), (3,), (1, 0), (2, 2, 0)))
    plan.ignores_term = chance.random() < 0.15
    plan.leaves_child = chance.random() < 0.15
    plan.clears_environment = chance.random() < 0.1
    plan.missing = chance.random() < 0.05
    fields: dict[str, Any] = {"grace_s": chance.choice((0, 1, 10))}
    if chance.random() < 0.3:
        fields["retry"] = {
            "max_attempts": chance.choice((2, 3)),
            "on": chance.choice((["any"], ["any"], ["exit:2"], ["timeout"])),
            "backoff": {"initial_s": 1.0},
        }
    if chance.random() < 0.15:
        fields["timeout_s"] = chance.choice((0.5, 3.0, 30.0))
    if chance.random() < 0.1:
        fields["silence_s"] = chance.choice((1.0, 10.0))
    if chance.random() < 0.2:
        fields["priority"] = chance.choice((-5, 5))
    if chance.random() < 0.2:
        fields["max_lost"] = chance.choice((0, 1))
    if chance.random() < 0.2:
        fields["execution"] = "at_most_once"
        fields["reattach_window_s"] = chance.choice((60.0, 100.0, 300.0))
        fields.pop("retry", None)
        fields.pop("max_lost", None)
    if chance.random() < 0.1:
        plan.kind = "delay"
    plan.fields = fields
    return plan
