"""Which version of a thing somebody has seen: entity tags of jobs, made from what is answered.

A tag begins with the job's version, which rises with everything that happens to it, and ends with a
digest of the answer, in which a worker's silence counts as well. An update is refused by the
version alone.
"""

import re
from hashlib import sha256
from typing import Final

from starlette.responses import Response

from orchestrator.protocol.views import JobView
from orchestrator.server.api.answers import json_answer
from orchestrator.server.edge.refusals import Declined

_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,18})-[0-9a-f]{16}"')
_KEPT_S: Final = 3600
"""What is over does not change, but for what a worker says late: an hour of that is no harm."""


def tagged(job: JobView, if_none_match: str | None, headers: dict[str, str]) -> Response:
    """Return a job with its tag, or that it is what somebody has."""
    body = job.model_dump_json().encode()
    tag = f'"{job.version}-{sha256(body).hexdigest()[:16]}"'
    kept = f"private, max-age={_KEPT_S}" if job.finished_at is not None else "private, no-cache"
    headers = {**headers, "etag": tag, "cache-control": kept}
    # A proxy that packs an answer makes its tag a weak one, and for this question that is the same.
    given = {one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")}
    if tag in given:
        return Response(None, 304, headers)
    return json_answer(body, headers=headers)


def version_wanted(if_match: str | None) -> int | None:
    """Return the version that an update is meant for, or `None` for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _TAG.fullmatch(if_match.strip())
    if match is None:
        raise Declined(
            412,
            "version_changed",
            "If-Match names no version of a job",
            hint="send the ETag of GET /api/v1/jobs/{id}, as it was",
        )
    return int(match[1])
