"""The short way in for calls that make up most of the traffic.

A path without parameters needs no router and no framework: one look into a table finds what
answers. Everything else goes on to the application behind it.
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class Hot:
    """A table from method and exact path to what answers, and the rest of the application."""

    def __init__(self, calls: Mapping[tuple[str, str], ASGIApp], others: ASGIApp) -> None:
        self._calls = calls
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        app = self._calls.get((scope["method"], scope["path"]), self._others)
        await app(scope, receive, send)
