"""Send a folder or a zip file, and show how far it is.

It decides nothing about content. A folder is packed into a temporary file that has no name, so that
it is gone whatever happens to us; every archive is looked at here as the server will look at it,
because a refusal after the upload would cost the upload.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from orchestrator.commands import output
from orchestrator.commands.progress import progress
from orchestrator.commands.remote import Remote
from orchestrator.commands.upload import archive
from orchestrator.kernel import ziparchive
from orchestrator.kernel.errors import PeerBroken, RequestInvalid
from orchestrator.protocol.views import FileView

_PIECE: Final = 256 * 1024
_LINKS_SHOWN: Final = 10
_TOO_LARGE: Final = "body_too_large"


def send(remote: Remote, path: Path, excluded: Sequence[str]) -> FileView:
    """Store what is at `path`, and return what the server calls it."""
    with _opened(path, excluded) as file:
        ziparchive.check(Path(f"/dev/fd/{file.fileno()}"))
        try:
            return _upload(remote, file)
        except RequestInvalid as error:
            if error.problem_code == _TOO_LARGE:
                raise _too_large(path, file, error) from error
            raise


def _too_large(path: Path, file: IO[bytes], error: RequestInvalid) -> RequestInvalid:
    """Name what was too large and how to change that; the server speaks of a request's body."""
    size = os.fstat(file.fileno()).st_size
    return RequestInvalid(
        f"{path} is too large to upload: it is {size} bytes, packed ({error.message})",
        hint="leave something out with --exclude, or raise ORCHESTRATOR_MAX_UPLOAD_BYTES where "
        "the server runs",
        code=_TOO_LARGE,
    )


@contextmanager
def _opened(path: Path, excluded: Sequence[str]) -> Iterator[IO[bytes]]:
    if path.is_dir():
        content = archive.look(path, excluded)
        _tell_links(content.left_out)
        with tempfile.TemporaryFile() as file:
            with progress(_packing(content), content.size) as advance:
                for size in archive.pack(content, file):
                    advance(size)
            file.flush()
            yield file
        return
    if excluded:
        raise RequestInvalid(
            f"--exclude cannot take anything out of {path}",
            hint="give the folder; a zip file is sent as it is",
        )
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise RequestInvalid(
            f"--upload: {path} does not exist", hint="give a folder or a zip file"
        ) from None


def _tell_links(links: Sequence[str]) -> None:
    """Name the links that stay at home: what needs them fails over there."""
    if not links:
        return
    what = "1 link does" if len(links) == 1 else f"{len(links)} links do"
    where = "out of the folder, nowhere, in circles, or to what stays at home"
    output.say(f"{what} not go along, because they lead {where}:")
    output.advise(*links[:_LINKS_SHOWN])
    if len(links) > _LINKS_SHOWN:
        output.advise(f"… and {len(links) - _LINKS_SHOWN} more; --exclude takes them out silently")


def _packing(content: archive.Content) -> str:
    return "packing 1 file" if content.files == 1 else f"packing {content.files} files"


def _upload(remote: Remote, file: IO[bytes]) -> FileView:
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        nonlocal digest
        digest = hashlib.sha256()
        file.seek(0)
        with progress("uploading", size) as advance:
            while piece := file.read(_PIECE):
                digest.update(piece)
                yield piece
                advance(len(piece))

    stored = remote.upload(pieces, size=size)
    if stored.sha256 != digest.hexdigest():
        raise PeerBroken(
            f"the server stored {stored.sha256}, and {digest.hexdigest()} was sent",
            hint="the upload was damaged on its way: try again",
        )
    return stored
