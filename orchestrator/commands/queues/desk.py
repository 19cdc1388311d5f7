"""The server's queues as commands see them: one function for each thing that can be asked.

Each may be asked again: what is said twice of a queue is so once.
"""

from typing import Final

from orchestrator.client.answers import Answer
from orchestrator.commands.remote import Remote, again
from orchestrator.protocol.queues import PauseRequest, QueueSettings

QUEUES: Final = "/api/v1/queues"


def everything(remote: Remote) -> Answer:
    """Return all queues."""
    return remote.api.get(QUEUES)


def one(remote: Remote, name: str) -> Answer:
    """Return a queue."""
    return remote.api.get(f"{QUEUES}/{name}")


def change(remote: Remote, name: str, settings: QueueSettings) -> Answer:
    """Change a queue, or make it."""
    return again(lambda: remote.api.patch(f"{QUEUES}/{name}", settings))


def pause(remote: Remote, name: str, reason: str | None) -> Answer:
    """Start nothing more of it."""
    return again(lambda: remote.api.post(f"{QUEUES}/{name}/pause", PauseRequest(reason=reason)))


def resume(remote: Remote, name: str) -> Answer:
    """Let it go on."""
    return again(lambda: remote.api.post(f"{QUEUES}/{name}/resume", None))


def delete(remote: Remote, name: str) -> None:
    """Forget it."""
    remote.api.delete(f"{QUEUES}/{name}")
