"""The command of a job under chaos: it writes down outside the system what it does, and when.

Each start and each exit is one synced line of a ledger that nobody else writes, so what really
happened is known without asking the system. Its output is numbered lines, each with a checksum, and
follows from its plan alone: whoever knows the plan knows every byte.

It imports next to nothing, because thousands of it are started.
"""

import itertools
import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any, Final

ERR_EVERY: Final = 10
"""One line in ten goes to standard error as well."""
FOREVER_S: Final = 3_600
PAYLOAD: Final = "payload.txt"
"""The file of an uploaded project, which its command repeats word for word."""


def line(op: str, attempt: int, number: int, width: int) -> bytes:
    """Return one line: whose it is, its number, filling, and its checksum."""
    seed = f"{op} {attempt} {number} "
    filling = f"{zlib.crc32(seed.encode()):08x}" * (width // 8)
    body = seed + filling
    return f"{body} {zlib.crc32(body.encode()):08x}\n".encode()


def out_lines(plan: dict[str, Any], attempt: int) -> Iterator[bytes]:
    """Yield all that an attempt with this plan writes to standard output."""
    # An archive is packed before anybody knows which attempt will print it.
    told = 0 if plan["kind"] == "upload" else attempt
    return (line(plan["op"], told, number, plan["width"]) for number in numbers(plan))


def numbers(plan: dict[str, Any]) -> Iterator[int]:
    """Yield the numbers of all lines; an endless job goes on until its gate is there."""
    if plan["kind"] != "endless":
        return iter(range(plan["lines"]))
    return itertools.takewhile(lambda _: not os.path.exists(plan["gate"]), itertools.count())  # noqa: PTH110 – as below


def err_lines(plan: dict[str, Any], attempt: int) -> Iterator[bytes]:
    """Yield all that it writes to standard error."""
    if plan["kind"] == "upload":
        return iter(())
    some = (number for number in numbers(plan) if number % ERR_EVERY == 0)
    return (line(plan["op"], attempt, number, 0) for number in some)


class Ledger:
    """The only witness: lines that are on the disk before anything else happens."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._path = plan["ledger"]
        self._common = {
            "op": plan["op"],
            "job": os.environ["ORCHESTRATOR_JOB_ID"],
            "attempt": int(os.environ["ORCHESTRATOR_ATTEMPT"]),
            "home": os.environ.get("HOME", ""),
        }

    def note(self, what: str, **more: object) -> None:
        """Add one line and sync it."""
        pid = os.getpid()
        told = {"what": what, "at": time.time(), "pid": pid, "born": born(pid)}
        text = json.dumps(self._common | told | more) + "\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.write(file, text.encode())
        os.fsync(file)
        os.close(file)


def born(pid: int) -> int:
    """Return when a process was started, in ticks since boot: with its pid, nobody else's."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 – pathlib doubles the start
        return int(file.read().rpartition(b")")[2].split()[19])


def become_daemon(ledger: Ledger) -> None:
    """Leave a descendant behind that nobody waits for: forked twice, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            ledger.note("daemon")
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            time.sleep(FOREVER_S)  # it is swept away; this only bounds a failure
        os._exit(0)
    os.wait()


def main(told: str) -> int:
    """Do what the plan says."""
    plan = json.loads(told)
    attempt = int(os.environ["ORCHESTRATOR_ATTEMPT"])
    ledger = Ledger(plan)
    if plan["kind"] == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ledger.note("start")
    if plan["kind"] == "daemon":
        become_daemon(ledger)
    if plan["kind"] == "upload":
        with open(PAYLOAD, "rb") as file:  # noqa: PTH123 – as above
            os.write(1, file.read())
        lines = plan["lines"]
    else:
        lines = speak(plan, attempt)
    if plan["kind"] == "stubborn":
        time.sleep(FOREVER_S)  # until it is killed, or its time is over
    ledger.note("exit", code=plan["code"], lines=lines)
    return int(plan["code"])


def speak(plan: dict[str, Any], attempt: int) -> int:
    """Write all lines, at the plan's pace, and return how many."""
    out, number = os.fdopen(1, "wb", closefd=False), -1
    for number, text in enumerate(out_lines(plan, attempt)):
        out.write(text)
        if number % ERR_EVERY == 0:
            os.write(2, line(plan["op"], attempt, number, 0))
        if plan["pace_ms"]:
            out.flush()
            time.sleep(plan["pace_ms"] / 1000)
    out.flush()
    return number + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
