"""A refusal that only HTTP has a word for: a status, a code, and what to do about it.

The error tree of the kernel tells callers what to do; this leaf of it adds the status for what goes
wrong before any operation is asked, such as a body that is too long.
"""

from orchestrator.kernel.errors import Refused


class Declined(Refused):
    """A request that is answered with `status`, and with `headers` beside the usual ones."""

    code = "declined"

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status
        self.headers = headers


def upload_too_large(limit: int) -> Declined:
    """Return the refusal of a file that is longer than an upload may be."""
    return Declined(
        413,
        "body_too_large",
        f"the file is longer than the {limit} bytes that an upload may have",
        hint="leave out what the job does not need, or allow more with "
        "ORCHESTRATOR_MAX_UPLOAD_BYTES when you start the server",
    )


def body_too_large(limit: int) -> Declined:
    """Return the refusal of a body that is longer than its route takes."""
    return Declined(
        413,
        "body_too_large",
        f"the body is longer than the {limit} bytes that this route takes",
        hint="send less; what is large belongs into an uploaded file (POST /api/v1/files)",
    )
