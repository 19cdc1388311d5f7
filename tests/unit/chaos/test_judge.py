"""The judge complains: each forged history breaks one promise, and that one is named."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.judge import judge
from tests.chaos.records import Blow, Note, Output, Run
from tests.unit.chaos.forgery import Forger, good_run, place, prefix_of, retold

Spoil = Callable[[Run], object]


def _attempt(run: Run, job: int = 0, number: int = 1) -> dict[str, object]:
    found: dict[str, object] = run.seen[job].job["attempts"][number - 1]
    return found


def _event(run: Run, job: int, index: int) -> dict[str, object]:
    return run.seen[job].events[index]


def _again(run: Run, what: str) -> None:
    """Let the ledger tell of the same thing twice."""
    entry = next(each for each in run.entries if each.what == what)
    run.entries.append(replace(entry, pid=entry.pid + 1))


def _twice(run: Run) -> None:
    """Let there be two jobs of one name."""
    job = run.seen[0].job | {"id": "job_" + "9" * 26}
    run.seen.append(replace(run.seen[0], job=job))


def _unplanned(run: Run) -> None:
    job = run.seen[0].job | {"id": "job_" + "9" * 26, "name": "nobody"}
    run.seen.append(replace(run.seen[0], job=job))


def _third_try(run: Run) -> None:
    """Let a job that may be tried once have been tried twice."""
    first = run.seen[0].job["attempts"][0]
    later = "2026-02-01T00:00:00+00:00"
    second = first | {"number": 2, "claimed_at": later, "finished_at": later}
    run.seen[0].job["attempts"].append(second)


def _forgotten(run: Run) -> None:
    """Let nobody know of an attempt that ran, though nobody killed its shim."""
    _attempt(run).update(outcome="indeterminate", reason="outcome_unknown")


def _once(run: Run) -> None:
    """Let a job that ran twice be one that may run once."""
    op = run.seen[3].job["name"]
    plan = next(note for note in run.notes if note.op == op).told["plan"]
    plan |= {"kind": "once"}


def _late_cancel(run: Run) -> None:
    """Let a job go on that was told to be cancelled."""
    retold(run, place(run, "cancel"), state="cancelled", attempt=0)


def _repeated_id(run: Run) -> None:
    run.notes.append(Note(0, 0, "c0-00000", "submit", "ok", {"id": run.seen[1].job["id"]}))


def _follower(run: Run, seen: list[int]) -> None:
    retold(run, place(run, "follow_events"), seen=[{"seq": number} for number in seen])


def _upload(run: Run, stored: str) -> None:
    run.notes.append(Note(0, 0, "c0-00000", "upload", "invoke", {"sha256": "0" * 64}))
    run.notes.append(Note(0, 0, "c0-00000", "upload", "ok", {"sha256": stored}))


def _conflict(run: Run, status: int) -> None:
    run.notes.append(Note(0, 0, "c0-00000", "conflict", "ok", {"status": status}))


def _stranger(run: Run, job: str | None = None, attempt: int = 1) -> None:
    entry = run.entries[0]
    run.entries.append(replace(entry, job=job or entry.job, attempt=attempt))


def _changed_err(run: Run) -> None:
    kept = run.seen[0].err["1"]
    run.seen[0].err["1"] = Output(kept.length, "0" * 64)


def _lost_with_wrong_output(run: Run) -> None:
    """Let an attempt be lost whose output is not even a beginning."""
    _attempt(run).update(outcome="lost", reason="worker_lost")
    run.seen[0].out["1"] = Output(20, "0" * 64)


def _nonsense(run: Run) -> None:
    pieces = [{"attempt": 1, "stream": "stdout", "text": "nonsense"}]
    retold(run, place(run, "follow_output"), seen=pieces)


def _mistake(run: Run, kind: str, status: int) -> None:
    run.notes.append(Note(0, 0, "c0-err", "err", kind, {"status": status, "why": ""}))


def _swapped(run: Run) -> None:
    _event(run, 0, 1).update(type="started")
    _event(run, 0, 2).update(type="claimed")


FORGED: list[tuple[str, str, Spoil]] = [
    ("an acknowledged job is gone", "I1", lambda run: run.seen.pop(2)),
    ("an id leads to another job", "I1", lambda run: run.seen[2].job.update(name="c0-00001")),
    ("an upload was changed", "I1", lambda run: _upload(run, "f" * 64)),
    ("a job that nobody submitted", "I2", _unplanned),
    ("a command that nobody submitted", "I2", lambda run: _stranger(run, job="job_x")),
    ("an attempt that the server forgot", "I2", lambda run: _stranger(run, attempt=7)),
    ("a key made two jobs", "I3", _twice),
    ("a key was answered with two ids", "I3", _repeated_id),
    ("a key took another body", "I3", lambda run: _conflict(run, 201)),
    ("a command was started twice", "I4", lambda run: _again(run, "start")),
    ("an end was left again", "I5", lambda run: run.seen[0].job.update(finished_at="later")),
    ("a success became a failure", "I5", lambda run: run.seen[0].job.update(state="failed")),
    ("a job ended otherwise than planned", "I5", lambda run: run.seen[3].job.update(exit_code=0)),
    ("cancelled by nobody", "I5", lambda run: run.seen[1].job.update(state="cancelled")),
    ("ended twice", "I5", lambda run: _event(run, 0, 1).update(type="finished")),
    ("a wrong exit code", "I6", lambda run: _attempt(run, 3).update(exit_code=4)),
    ("an exit code from nowhere", "I6", lambda run: run.entries.pop(1)),
    ("output is cut short", "I7", lambda run: run.seen[0].out.update({"1": prefix_of(run, 0, 99)})),
    ("output is empty", "I7", lambda run: run.seen[0].out.update({"1": prefix_of(run, 0, 0)})),
    ("output is of another job", "I7", lambda run: run.seen[0].out.update(run.seen[1].out)),
    ("output is repeated", "I7", lambda run: run.seen[0].out.update({"1": Output(10**6, "x")})),
    ("errors are changed", "I7", _changed_err),
    ("output is missing", "I7", lambda run: _attempt(run).update(output_missing_bytes=1)),
    ("nothing is declared", "I7", lambda run: _attempt(run).update(declared_stdout_bytes=None)),
    ("more is declared", "I7", lambda run: _attempt(run).update(declared_stderr_bytes=10**6)),
    ("a prefix is not a beginning", "I7", _lost_with_wrong_output),
    ("a follower read nonsense", "I7", _nonsense),
    ("an attempt number is missing", "I8", lambda run: _attempt(run, 3, 2).update(number=3)),
    ("two attempts at once", "I8", lambda run: _attempt(run, 3, 2).update(claimed_at="2026-01")),
    ("a job is never done", "I10", lambda run: run.seen[0].job.update(state="running")),
    ("an attempt is never done", "I10", lambda run: _attempt(run).update(outcome=None)),
    ("a process is left", "I11", lambda run: run.remains.update(processes={"7": "sleep"})),
    ("a workspace is left", "I11", lambda run: run.remains.update(workspaces=["x"])),
    ("a daemon lives", "I11", lambda run: run.remains.update(daemons={"7": "c0-00000"})),
    ("an event is missing", "I12", lambda run: run.seen[0].events.pop(2)),
    ("a follower missed an event", "I12", lambda run: _follower(run, [1, 3])),
    ("a follower read an event twice", "I12", lambda run: _follower(run, [1, 2, 2])),
    ("the database is damaged", "I13", lambda run: run.remains.update(database=["row 7"])),
    ("a key is in a log", "I14", lambda run: run.remains.update(secrets=["server.log"])),
    ("a program crashed", "I15", lambda run: run.remains["ends"].update(server=[[1.0, 1]])),
    ("a fault of the server", "I16", lambda run: run.remains["statuses"].append(["GET /", 500, 1])),
    ("a mistake was accepted", "I16", lambda run: _mistake(run, "ok", 201)),
    ("a mistake was answered with 500", "I16", lambda run: _mistake(run, "fail", 500)),
    ("a log tells of a fault", "I16", lambda run: run.remains.update(log_lines=["Traceback"])),
    ("started before it was claimed", "I18", _swapped),
    ("a hidden retry", "G5", _third_try),
    ("a job for once ran twice", "G5", _once),
    ("a command that ran is forgotten", "G8", _forgotten),
    ("a cancelled job went on", "G11", _late_cancel),
]


def test_a_good_run_is_clean() -> None:
    """A run in which everything went well is not complained of."""
    assert judge(good_run()).complaints == {}


@pytest.mark.parametrize(("promise", "spoil"), [f[1:] for f in FORGED], ids=[f[0] for f in FORGED])
def test_a_broken_promise_is_named(promise: str, spoil: Spoil) -> None:
    """Whatever breaks a promise is found, and under the promise's own name."""
    run = good_run()
    spoil(run)

    found = judge(run).complaints

    assert promise in {title.split()[0] for title in found}, found


def test_what_nobody_knows_may_have_happened() -> None:
    """A submit without an answer is not held against the system, whether or not it arrived."""
    run = good_run()
    plan = run.notes[0].told["plan"]
    arrived, lost = "c0-00001", "c9-00001"
    index = next(n for n, note in enumerate(run.notes) if note.op == arrived and note.type == "ok")

    run.notes[index] = replace(run.notes[index], type="info", told={})
    run.notes.append(Note(0, 0, lost, "submit", "invoke", {"plan": plan | {"op": lost}}))
    run.notes.append(Note(0, 0, lost, "submit", "info", {}))

    assert judge(run).is_clean


def test_a_lost_attempt_may_be_followed_by_another() -> None:
    """An attempt that was lost, and whose command was cut off, is no fault."""
    forger = Forger()
    forger.job(0, "failer", tries=2, code=3)
    run = forger.run()
    run.notes[0].told["plan"]["tries"] = 1
    run.entries.pop(1)
    _attempt(run).update(outcome="lost", reason="worker_lost", exit_code=None)
    _attempt(run).update(declared_stdout_bytes=None, declared_stderr_bytes=None)
    run.seen[0].out["1"] = prefix_of(run, 0, 50)
    run.remains["where"] = {f"{run.seen[0].job['id']} 1": "host-0"}
    run.blows.append(Blow(run.entries[0].at, "kill", "shim", "host-0", 7))

    assert judge(run).complaints == {}
