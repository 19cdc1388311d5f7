"""How jobs end, and that they stay so."""

from collections.abc import Iterator

from tests.chaos.case import TERMINAL, Case
from tests.chaos.plans import End, ends_of


def never_left(case: Case) -> Iterator[str]:
    """I5: whoever saw an end saw the end that there is now."""
    for do in ("submit", "look", "cancel"):
        for note in case.notes(do, "ok"):
            if note.told.get("state") not in TERMINAL:
                continue
            seen = case.jobs.get(note.told["id"])
            if seen is None:
                yield f"{note.op}: {note.told['id']} had ended and is not there any more"
                continue
            names = ("state", "reason", "attempt", "exit_code", "finished_at")
            changed = [n for n in names if n in note.told and note.told[n] != seen.job[n]]
            for name in changed:
                yield f"{note.op}: {name} was {note.told[name]}, is {seen.job[name]}"


def as_planned(case: Case) -> Iterator[str]:
    """I5: each job ended as its plan says, unless somebody may have cancelled it."""
    for seen in case.run.seen:
        job, plan = seen.job, case.plans.get(seen.job["name"])
        if plan is None or job["state"] not in TERMINAL:
            continue
        if job["state"] == "cancelled":
            if job["name"] not in case.cancels:
                yield f"{job['id']} ({job['name']}): cancelled by nobody"
        elif End(job["state"], job["reason"], job["exit_code"]) not in ends_of(plan):
            end = f"{job['state']} {job['reason']} {job['exit_code']}"
            yield f"{job['id']} ({job['name']}): {end}, which a {plan['kind']} cannot be"


def ended_once(case: Case) -> Iterator[str]:
    """I5: a timeline has one end, as its last line but for late results."""
    for seen in case.run.seen:
        types = [event["type"] for event in seen.events if event["type"] != "late_result"]
        if types.count("finished") > 1:
            yield f"{seen.job['id']}: ended {types.count('finished')} times"
        elif seen.job["state"] in TERMINAL and types[-1:] != ["finished"]:
            yield f"{seen.job['id']}: its timeline ends with {types[-1:]}"


def settled(case: Case) -> Iterator[str]:
    """I10: every job has ended, and every attempt."""
    for seen in case.run.seen:
        if seen.job["state"] not in TERMINAL:
            why = seen.job.get("pending_reason")
            yield f"{seen.job['id']} ({seen.job['name']}): still {seen.job['state']} ({why})"
        for attempt in seen.job["attempts"]:
            if attempt["outcome"] is None:
                yield f"{seen.job['id']} attempt {attempt['number']}: has no outcome"


def cancel_holds(case: Case) -> Iterator[str]:
    """G11: after an acknowledged cancel the job ends cancelled, and what waited never starts."""
    for note in case.notes("cancel", "ok"):
        seen = case.jobs.get(note.told["id"])
        state = note.told["state"]
        if seen is None or state not in {"cancelled", "cancelling"}:
            continue
        if seen.job["state"] not in {"cancelled", "cancelling"}:
            yield f"{note.op}: {state} was answered, it is {seen.job['state']}"
        attempt = note.told.get("attempt", 0)
        later = [n for job, n in case.starts if job == seen.job["id"] and n > attempt]
        if later:
            yield f"{note.op}: attempt {later[0]} started after the cancel"
