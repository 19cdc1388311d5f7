"""The server's batches as commands see them: one function for each thing that can be asked.

What changes something carries a key, so that it is done once however often it is sent.
"""

import secrets
from typing import Final

from orchestrator.client.answers import Answer
from orchestrator.commands.remote import Remote, again
from orchestrator.protocol.batches import AppendRequest, BatchOrder, BatchRequest

BATCHES: Final = "/api/v1/batches"


def page(remote: Remote, cursor: str | None, limit: int) -> Answer:
    """Return one page of the list."""
    return remote.api.get(BATCHES, {"cursor": cursor, "limit": limit})


def one(remote: Remote, batch_id: str) -> Answer:
    """Return a batch."""
    return remote.api.get(f"{BATCHES}/{batch_id}")


def unsuccessful(remote: Remote, batch_id: str) -> Answer:
    """Return a page of its jobs that came to nothing."""
    return remote.api.get(f"{BATCHES}/{batch_id}/jobs", {"state": ["failed", "expired"]})


def submit(remote: Remote, request: BatchRequest, *, key: str) -> Answer:
    """Submit a batch."""
    headers = {"Idempotency-Key": key}
    return again(lambda: remote.api.post(BATCHES, request, headers=headers))


def append(remote: Remote, batch_id: str, request: AppendRequest, *, key: str) -> Answer:
    """Add jobs to one that is open."""
    headers = {"Idempotency-Key": key}
    return again(lambda: remote.api.post(f"{BATCHES}/{batch_id}/jobs", request, headers=headers))


def close(remote: Remote, batch_id: str) -> Answer:
    """Let it take no more jobs."""
    return _order(remote, batch_id, "close")


def cancel(remote: Remote, batch_id: str, comment: str | None) -> Answer:
    """End all of it."""
    return _order(remote, batch_id, "cancel", comment)


def retry_failed(remote: Remote, batch_id: str) -> Answer:
    """Submit what failed, or as much of it as one call does, as new jobs of it."""
    return _order(remote, batch_id, "retry-failed")


def _order(remote: Remote, batch_id: str, verb: str, comment: str | None = None) -> Answer:
    headers = {"Idempotency-Key": secrets.token_urlsafe(24)}
    order = BatchOrder(comment=comment)
    return again(lambda: remote.api.post(f"{BATCHES}/{batch_id}/{verb}", order, headers=headers))
