"""The server's schedules as commands see them: one function for each thing that can be asked."""

import secrets
from typing import Final

from orchestrator.client.answers import Answer
from orchestrator.commands.remote import Remote, again
from orchestrator.protocol import limits
from orchestrator.protocol.schedules import SchedulePatch, ScheduleSpec

SCHEDULES: Final = "/api/v1/schedules"


def page(remote: Remote, cursor: str | None) -> Answer:
    """Return one page of the list."""
    return remote.api.get(SCHEDULES, {"cursor": cursor, "limit": limits.PAGE_MAX})


def one(remote: Remote, name: str) -> Answer:
    """Return a schedule."""
    return remote.api.get(f"{SCHEDULES}/{name}")


def add(remote: Remote, spec: ScheduleSpec) -> Answer:
    """Keep a schedule; the same once more is the same, so it may be asked again."""
    return again(lambda: remote.api.post(SCHEDULES, spec))


def edit(remote: Remote, name: str, patch: SchedulePatch) -> Answer:
    """Change a schedule."""
    return remote.api.patch(f"{SCHEDULES}/{name}", patch)


def preview_new(remote: Remote, spec: ScheduleSpec) -> Answer:
    """Return what a schedule would do."""
    return remote.api.post(f"{SCHEDULES}/preview", spec)


def preview(remote: Remote, name: str, count: int) -> Answer:
    """Return what a schedule will do."""
    return remote.api.get(f"{SCHEDULES}/{name}/preview", {"count": count})


def history(remote: Remote, name: str, cursor: str | None, limit: int) -> Answer:
    """Return one page of what became of its moments."""
    return remote.api.get(f"{SCHEDULES}/{name}/history", {"cursor": cursor, "limit": limit})


def pause(remote: Remote, name: str) -> Answer:
    """Let nothing of it fire."""
    return again(lambda: remote.api.post(f"{SCHEDULES}/{name}/pause", None))


def resume(remote: Remote, name: str) -> Answer:
    """Let it go on."""
    return again(lambda: remote.api.post(f"{SCHEDULES}/{name}/resume", None))


def run(remote: Remote, name: str) -> Answer:
    """Submit its job once, however often the request is sent."""
    headers = {"Idempotency-Key": secrets.token_urlsafe(24)}
    return again(lambda: remote.api.post(f"{SCHEDULES}/{name}/run", None, headers=headers))


def delete(remote: Remote, name: str) -> None:
    """Forget it."""
    remote.api.delete(f"{SCHEDULES}/{name}")
