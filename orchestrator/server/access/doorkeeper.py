"""The middleware that lets in who may come in: default deny, before any route is looked up.

Without a valid credential every path is 401, whether it exists or not, so that nobody can map the
server from outside. With one, the table decides; the router never has to.
"""

import re
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator import __version__
from orchestrator.kernel.errors import NotFound, StorageFull, VersionUnsupported
from orchestrator.server.access.credentials import Credentials
from orchestrator.server.access.rights import require
from orchestrator.server.access.table import PUBLIC, PUBLIC_METHODS, Rule, rules_for
from orchestrator.server.edge.connection import CONNECTION
from orchestrator.server.edge.head import SEEN, Seen
from orchestrator.server.edge.refusals import Declined, body_too_large
from orchestrator.server.operations.keys import Principal
from orchestrator.server.reserve import Reserve

PRINCIPAL: Final = "orchestrator.principal"
"""The key of who is asking, in a request's scope."""
_OTHER_VERSION: Final = re.compile(r"/api/worker/v([1-9][0-9]{0,8})/")


def principal_of(scope: Scope) -> Principal:
    """Return who is asking."""
    found: Principal = scope[PRINCIPAL]
    return found


class Doorkeeper:
    """Asks for a credential, then for the right to this route, and whether it must wait."""

    def __init__(self, app: ASGIApp, credentials: Credentials, reserve: Reserve) -> None:
        self._app = app
        self._reserve = reserve
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is public or allowed; refuse everything else."""
        if scope["raw_path"].decode("latin-1") in PUBLIC:
            if scope["method"] not in PUBLIC_METHODS:
                raise _wrong_method(sorted(PUBLIC_METHODS))
        else:
            await self._admit(scope)
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        seen: Seen = scope[SEEN]
        address = scope["client"][0] if scope["client"] else ""
        principal = await self._credentials.principal(seen.authorization, address)
        if connection := scope.get(CONNECTION):
            connection.recognised()
        rule = _rule(scope)
        require(principal, rule.scopes)
        if seen.content_length is not None and seen.content_length > rule.body > 0:
            raise body_too_large(rule.body)
        if rule.may_wait and not self._reserve.is_held:
            raise StorageFull(
                "the disk of the server is full: it takes in what becomes of jobs, and nothing new"
            )
        scope[PRINCIPAL] = principal


def _rule(scope: Scope) -> Rule:
    """Return the rule of a request. No path of ours needs escapes, so one with any is unknown."""
    rules = None if b"%" in scope["raw_path"] else rules_for(scope["path"])
    if rules is None:
        spoken = _OTHER_VERSION.match(scope["path"])
        if spoken is not None and spoken[1] != "1":
            raise VersionUnsupported(
                f"this worker speaks version {spoken[1]} of the protocol between workers and "
                f"servers; this server, {__version__}, speaks version 1",
                hint="upgrade the older of the two; nothing was changed",
            )
        raise NotFound("there is nothing at this path", hint="GET /api/openapi.json lists all")
    rule = rules.get(scope["method"])
    if rule is None:
        raise _wrong_method(sorted(rules))
    return rule


def _wrong_method(allowed: list[str]) -> Declined:
    return Declined(
        405,
        "method_not_allowed",
        "this path does not know that method",
        hint=f"it knows {', '.join(allowed)}",
        headers=(("allow", ", ".join(allowed)),),
    )
