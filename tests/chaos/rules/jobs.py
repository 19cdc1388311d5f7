"""Jobs that were asked for, and the jobs that are there."""

from collections.abc import Iterator

from tests.chaos.case import Case


def present(case: Case) -> Iterator[str]:
    """I1: what was acknowledged is there, under the id that was told."""
    for note in case.notes("submit", "ok"):
        seen = case.jobs.get(note.told["id"])
        if seen is None:
            yield f"{note.op}: {note.told['id']} was acknowledged and is not there"
        elif seen.job["name"] != note.op:
            yield f"{note.op}: {note.told['id']} is another job, {seen.job['name']}"


def uploads_present(case: Case) -> Iterator[str]:
    """I1: an upload that was acknowledged is the one that was sent."""
    sent = {note.op: note.told["sha256"] for note in case.notes("upload", "invoke")}
    for note in case.notes("upload", "ok"):
        if note.told.get("sha256") != sent.get(note.op):
            yield f"{note.op}: {sent.get(note.op)} was sent, {note.told.get('sha256')} is stored"


def expected(case: Case) -> Iterator[str]:
    """I2: nobody but the clients made jobs."""
    for seen in case.run.seen:
        if seen.job["name"] not in case.plans:
            yield f"{seen.job['id']}: nobody asked for it (name {seen.job['name']!r})"


def one_for_a_key(case: Case) -> Iterator[str]:
    """I3: a request that was repeated with its key made one job, and every answer names it."""
    for op, found in case.named.items():
        if len(found) > 1:
            yield f"{op}: {len(found)} jobs: {', '.join(seen.job['id'] for seen in found)}"
    told: dict[str, set[str]] = {}
    for note in case.notes("submit", "ok"):
        told.setdefault(note.op, set()).add(note.told["id"])
    for op, ids in told.items():
        if len(ids) > 1:
            yield f"{op}: its key was answered with {len(ids)} ids"


def other_body_refused(case: Case) -> Iterator[str]:
    """I3: another request with a key that was used is refused."""
    for note in case.notes("conflict", "ok"):
        yield f"{note.op}: another body with the same key was answered {note.told['status']}"
