"""A folder's worker that has a key instead of a token: it is enrolled once, and its token is kept.

The key stays where it was written. The token is with the folder's other memory, for its owner
alone; it is taken as long as the server knows it, and only at the server that it came from.
"""

import json
import re
from typing import Final

import anyio
import click

from orchestrator.client import inquiry
from orchestrator.client.enrolment import enrol_with
from orchestrator.client.inquiry import Verdict
from orchestrator.kernel.errors import ConfigInvalid, Unauthenticated
from orchestrator.kernel.files import write_private
from orchestrator.protocol.tokens import WorkerToken, is_well_formed
from worker.dotenv_file import TOKEN, URL, Told

PREFIX: Final = "wak"
FILE: Final = "enrolled.json"
"""A token and the server that it is of: in one file, so that neither is ever beside another's."""
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


def is_key(text: str) -> bool:
    """Tell whether a text is meant to be a key that enrols workers."""
    return text.startswith(f"{PREFIX}_")


def with_token(told: Told) -> Told:
    """Return what is known, with a token in place of a key."""
    key = told.get(TOKEN)
    if not is_key(key):
        return told
    url, folder = told.get(URL), told.state_dir()
    token = _kept(told)
    # Nobody answers: then it is as good as it was.
    if token is None or inquiry.ask(url, token).verdict is Verdict.REFUSED:
        token = enrolled(told, key)
        write_private(folder / FILE, json.dumps({"url": url, "token": token}) + "\n")
        worker = WorkerToken.parse(token)
        name = "a worker" if worker is None else worker.worker_id
        click.echo(f"worker: enrolled as {name}; its token is in {folder / FILE}", err=True)
    return Told(told.folder, {**told.values, TOKEN[0]: token})


def enrolled(told: Told, key: str) -> str:
    """Return a new token for this folder's worker, which stays the same worker."""
    if not is_well_formed(key, PREFIX):
        raise ConfigInvalid(
            f"{told.name_of(TOKEN)} is a mistyped key for enrolling workers",
            hint="copy the key again: it is wak_ and 49 letters and digits",
        )
    name = _NO_NAME.sub("-", told.name()).strip("._-") or "worker"
    folder, url = told.state_dir(), told.get(URL)
    try:
        return anyio.run(lambda: enrol_with(key, url=url, name=name, folder=folder))
    except Unauthenticated as error:
        raise Unauthenticated(
            f"{url} does not take the key for enrolling workers: {error.message}",
            hint="use a key of that server which was not withdrawn (enrol.key of its data "
            "directory), or a worker's own token",
        ) from None


def _kept(told: Told) -> str | None:
    """Return the token that this folder's worker got from the same server."""
    try:
        kept = json.loads((told.state_dir() / FILE).read_text(encoding="utf-8"))
        url, token = kept["url"], kept["token"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the key brings another one
    return token if url == told.get(URL) and isinstance(token, str) else None
