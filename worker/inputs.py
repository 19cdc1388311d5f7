"""The inputs of an attempt: fetched, verified, and put into its workspace.

It says why an attempt cannot have them, and it never starts with less: exactly the bytes of that
SHA-256, or not at all. A server that is away is waited for.
"""

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from orchestrator.kernel.errors import (
    NotFound,
    OrchestratorError,
    PeerBroken,
    RequestInvalid,
    StateUnavailable,
)
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.ziparchive import extract
from orchestrator.protocol.jobs import Input
from orchestrator.protocol.words import Reason
from worker.link import Link
from worker.logic.attempt import Key
from worker.services.session import SessionKeeper
from worker.workspace import FILES, Workspaces

AT_ONCE: Final = 4
"""Downloads and unpacking at a time: more would only keep each other from ending."""
_WRONG_BYTES_TRIES: Final = 3
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Unavailable(Exception):
    """The attempt cannot have its inputs: a reason, and a sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Inputs:
    """Fills workspaces."""

    def __init__(self, link: Link, keeper: SessionKeeper, workspaces: Workspaces) -> None:
        self._link = link
        self._keeper = keeper
        self._workspaces = workspaces
        self._limiter = anyio.CapacityLimiter(AT_ONCE)

    async def place(self, key: Key, inputs: Sequence[Input]) -> Path:
        """Return the folder that holds all inputs, or raise `Unavailable`."""
        try:
            async with self._limiter:
                folder = await to_thread.run_sync(self._workspaces.make, key)
                for item in inputs:
                    await self._place_one(key, item, folder)
        except OSError as error:
            full = error.errno in _FULL
            raise Unavailable(
                Reason.DISK_FULL if full else Reason.INPUT_UNAVAILABLE,
                f"the inputs cannot be written to {self._workspaces.files(key)}: {error.strerror}"
                + (": make room on this worker's disk" if full else ""),
            ) from error
        except StateUnavailable as error:
            raise Unavailable(Reason.INPUT_UNAVAILABLE, error.message) from error
        return self._workspaces.files(key)

    async def _place_one(self, key: Key, item: Input, folder: Path) -> None:
        fetched = await self._fetch(key, item.file, folder)
        reached("inputs.fetched")
        try:
            await to_thread.run_sync(_put, fetched, item, folder / FILES)
            reached("inputs.placed")
        except RequestInvalid as error:
            raise Unavailable(Reason.INPUT_UNAVAILABLE, _sentence(error)) from error
        except FileExistsError as error:
            raise Unavailable(
                Reason.INPUT_UNAVAILABLE,
                f"two inputs are both called {item.name!r}: give one of them another name",
            ) from error

    async def _fetch(self, key: Key, sha256: str, folder: Path) -> Path:
        """Return a file with exactly these bytes."""
        tries = self._keeper.contact.tries()
        into = folder / sha256
        wrong = 0
        while True:
            claims = await self._keeper.current()
            into.unlink(missing_ok=True)
            try:
                found = await self._link.download(claims.session_id, key, sha256, into)
                if found == sha256:
                    tries.succeeded()
                    return into
                wrong += 1
                raise PeerBroken(f"the server sent {found} where {sha256} was asked for")
            except RequestInvalid as error:
                raise Unavailable(Reason.INPUT_UNAVAILABLE, error.message) from error
            except NotFound as error:
                raise Unavailable(
                    Reason.INPUT_UNAVAILABLE, f"the input {sha256} is not on the server any more"
                ) from error
            except OrchestratorError as error:
                if wrong == _WRONG_BYTES_TRIES:
                    raise Unavailable(Reason.INPUT_UNAVAILABLE, error.message) from error
                await self._keeper.trouble(claims, error, tries)


def _put(fetched: Path, item: Input, files: Path) -> None:
    """Unpack an input, or give it its name; what came is gone afterwards."""
    if item.name is None:
        extract(fetched, files)
    else:
        (files / item.name).hardlink_to(fetched)  # refuses a name that is there already
    fetched.unlink()


def _sentence(error: OrchestratorError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message
