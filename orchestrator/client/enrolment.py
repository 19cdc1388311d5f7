"""Make a worker known to a server by a key that may enrol some, with nothing typed by hand.

It holds no token longer than it takes to write it down. A worker is the same one as long as its
fingerprint is: a random text that is made once and kept, so that a reply which was lost, or a
server whose data is gone, costs a new token and not a second worker.
"""

import dataclasses
import secrets
from pathlib import Path
from typing import Final

from orchestrator.client.http import AsyncApi
from orchestrator.kernel import host
from orchestrator.kernel.errors import StateUnavailable
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.files import write_private
from orchestrator.protocol.wire import EnrolReply, EnrolRequest, Host

PATH: Final = "/api/worker/v1/enrol"
_FINGERPRINT_BYTES: Final = 24


async def enrol(*, url: str, key_file: Path, name: str, folder: Path) -> str:
    """Return a token from the server of this machine, whose key is in a file."""
    try:
        key = key_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StateUnavailable(
            f"cannot read the key for enrolling workers, {key_file}: {error.strerror}",
            hint="the server writes it at its first start; if it was deleted, create a new key "
            "of the scope worker:enrol and put it there (mode 0600)",
        ) from error
    return await enrol_with(key, url=url, name=name, folder=folder)


async def enrol_with(key: str, *, url: str, name: str, folder: Path) -> str:
    """Return a token for the worker of that name, whose fingerprint is kept in `folder`."""
    request = EnrolRequest(
        name=name,
        fingerprint=_fingerprint(folder / "fingerprint"),
        host=Host(**dataclasses.asdict(host.facts())),
    )
    async with AsyncApi(url, key, connections=1) as api:
        reply = await api.call(PATH, request, EnrolReply)
    reached("supervisor.enrolled")
    return reply.token


def _fingerprint(path: Path) -> str:
    if not path.exists():
        write_private(path, secrets.token_hex(_FINGERPRINT_BYTES) + "\n")
    return path.read_text(encoding="ascii").strip()
