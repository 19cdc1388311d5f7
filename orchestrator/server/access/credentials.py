"""From the Authorization header to who is asking.

Only hashes are compared, with the database's or with those that were just found there: the answer
is remembered until any key changes, so a revoked key is refused from the next request on. Nothing
else about a request is believed, least of all an id in its body.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import anyio

from orchestrator.protocol.tokens import KEY_PREFIXES, WorkerToken, is_well_formed, token_hash
from orchestrator.server.access.guesses import Guesses
from orchestrator.server.edge.refusals import Declined
from orchestrator.server.facts import Fact, KeysChanged, NewsLost
from orchestrator.server.operations.keys import Principal, find_principal
from orchestrator.server.store.interface import Store

REMEMBERED: Final = 4096
"""More principals than one server has; above it, all are asked for again."""
_SCHEMES: Final = {b"bearer": False, b"worker": True}
_CHALLENGE: Final = (("www-authenticate", 'Bearer realm="orchestrator", Worker'),)


class Credentials:
    """Looks up principals, and remembers whom it found."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: dict[str, Principal] = {}
        self._changes = 0
        self._guesses = Guesses()

    def hear(self, facts: Sequence[Fact]) -> None:
        """Forget everybody when a credential was made, replaced or withdrawn, or may have been."""
        if any(isinstance(fact, KeysChanged | NewsLost) for fact in facts):
            self._found.clear()
            self._changes += 1

    async def principal(self, authorization: bytes | None, address: str) -> Principal:
        """Return who is asking, or refuse with 401 and say which form was expected."""
        given = _given(authorization)
        hashed = token_hash(given.words)
        principal = self._found.get(hashed)
        if principal is None:
            principal = await self._look_up(hashed) if given.is_well_formed() else None
        # A worker's words under the other scheme are refused, too: one form for each kind.
        if principal is None or (principal.worker_id is not None) != given.by_worker:
            # Only now: behind a proxy all have one address, and a right key is never held up.
            self._guesses.check(address, now=anyio.current_time())
            self._guesses.wrong(address)
            raise unauthenticated("the credential is mistyped, not known here, or was withdrawn")
        return principal

    async def _look_up(self, hashed: str) -> Principal | None:
        changes = self._changes
        principal = await self._store.read(lambda reader: find_principal(reader, hashed))
        # A key that changed while we read may have made this answer old: give it, but only once.
        if principal is not None and changes == self._changes:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[hashed] = principal
        return principal


class _Given(NamedTuple):
    """A credential as it was sent: whether a worker's, and its words."""

    by_worker: bool
    words: str

    def is_well_formed(self) -> bool:
        """Tell a credential that we could have made from any other text."""
        if self.by_worker:
            return WorkerToken.parse(self.words) is not None
        return any(is_well_formed(self.words, prefix) for prefix in KEY_PREFIXES)


def _given(authorization: bytes | None) -> _Given:
    if authorization is None:
        raise unauthenticated("no credential came with the request")
    scheme, _, words = authorization.partition(b" ")
    known = _SCHEMES.get(scheme.lower())
    if known is None or not words.isascii():
        raise unauthenticated("the credential has none of the forms that are understood")
    return _Given(known, words.decode("ascii").strip())


def unauthenticated(message: str) -> Declined:
    """Return the 401 that says which forms of a credential are understood."""
    return Declined(
        401,
        "unauthenticated",
        message,
        hint="send Authorization: Bearer pak_… (or sak_…, wak_…), a worker Authorization: Worker "
        "machine_…:worker_…:secret_…",
        headers=_CHALLENGE,
    )
