"""Output and events: nothing lost, repeated, changed or out of order."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from tests.chaos import actor
from tests.chaos.case import Case
from tests.chaos.records import Output

WHOLE: Final = frozenset({"succeeded"})
"""Outcomes after which all of the output must be there; else a beginning of it."""
DECLARED: Final = frozenset({"succeeded", "failed", "timed_out"})
"""Outcomes that nobody but a worker tells."""


def kept(case: Case) -> Iterator[str]:
    """I7: what is kept is all that the command wrote, or a beginning when it was ended early."""
    for seen, attempt in case.attempts():
        plan = case.plans.get(seen.job["name"])
        if plan is None or seen.job["kind"] != "command":
            continue
        number = attempt["number"]
        whole = attempt["outcome"] in WHOLE or attempt["reason"] == "exit_nonzero"
        where = f"{seen.job['id']} attempt {number} ({plan['op']}, {attempt['outcome']})"
        if attempt["output_missing_bytes"] and whole:
            yield f"{where}: {attempt['output_missing_bytes']} bytes are missing"
        pairs = (
            ("stdout", seen.out, actor.out_lines(plan, number)),
            ("stderr", seen.err, actor.err_lines(plan, number)),
        )
        yield from _declared(where, attempt, [pair[1].get(str(number)) for pair in pairs])
        for stream, outputs, lines in pairs:
            fault = _fault(lines, outputs.get(str(number)), whole=whole)
            if fault:
                yield f"{where}: {stream} {fault}"


def _declared(where: str, attempt: dict[str, Any], kept: list[Output | None]) -> Iterator[str]:
    """What its worker declared at the end is here, or is called missing to the byte (G9)."""
    declared = [attempt["declared_stdout_bytes"], attempt["declared_stderr_bytes"]]
    if None in declared:
        if attempt["outcome"] in DECLARED:
            yield f"{where}: nobody declared what it wrote"
        return
    missing = sum(
        max(0, said - output.length)
        for said, output in zip(declared, kept, strict=True)
        if output is not None
    )
    if missing != attempt["output_missing_bytes"]:
        yield (
            f"{where}: {missing} bytes of what was declared are not here, and "
            f"{attempt['output_missing_bytes']} are called missing"
        )


def _fault(lines: Iterable[bytes], output: Output | None, *, whole: bool) -> str | None:
    """Return what is wrong with a stream, given the lines that the command would write."""
    if output is None:
        return "was not looked at"
    digest, left = hashlib.sha256(), output.length
    for line in lines:
        if left <= 0:
            return f"ends {len(line)} or more bytes early" if whole else _same(digest, output)
        digest.update(line[:left])
        left -= len(line)
    if left > 0:
        return f"has {left} bytes too many"
    if left < 0 and whole:
        return f"ends {-left} bytes early"
    return _same(digest, output)


def _same(digest: Any, output: Output) -> str | None:
    return None if digest.hexdigest() == output.sha256 else "is not what was written"


def streamed(case: Case) -> Iterator[str]:
    """I7: who followed the output read a beginning of it, all of it to the end."""
    for note in case.notes("follow_output", "ok"):
        plan = case.plans.get(note.op)
        for number in sorted({piece["attempt"] for piece in note.told["seen"]}):
            pieces = [piece for piece in note.told["seen"] if piece["attempt"] == number]
            for stream in ("stdout", "stderr"):
                read = "".join(p["text"] for p in pieces if p["stream"] == stream).encode()
                if plan is None:
                    yield f"{note.op}: output of a job that nobody planned"
                    continue
                lines = actor.out_lines if stream == "stdout" else actor.err_lines
                if not b"".join(lines(plan, number)).startswith(read):
                    yield f"{note.op} attempt {number}: the stream of {stream} was not the output"


def events_counted(case: Case) -> Iterator[str]:
    """I12: events are numbered from 1 without a gap."""
    for seen in case.run.seen:
        numbers = [event["seq"] for event in seen.events]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{seen.job['id']}: events {numbers}"


def events_streamed(case: Case) -> Iterator[str]:
    """I12: who followed the events read each of them once, in order."""
    for note in case.notes("follow_events", "ok"):
        numbers = [event["seq"] for event in note.told["seen"]]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{note.op}: a follower read events {numbers}"


def events_in_order(case: Case) -> Iterator[str]:
    """I18: an attempt is claimed, then started, then over; nothing precedes the submit."""
    order = {"claimed": 1, "started": 2, "ended": 3, "lost": 3, "preempted": 3, "released": 3}
    for seen in case.run.seen:
        if seen.events and seen.events[0]["type"] != "submitted":
            yield f"{seen.job['id']}: begins with {seen.events[0]['type']}"
        reached: dict[int, int] = {}
        for event in seen.events:
            place, number = order.get(event["type"]), event.get("attempt")
            if place is None or number is None:
                continue
            if place < reached.get(number, 0) or (place > 1 and number not in reached):
                yield f"{seen.job['id']} attempt {number}: {event['type']} out of order"
            reached[number] = place
