"""Two applications under one address: the workers' calls by their prefix, and everything else."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Split:
    """Passes each request to the application that it is for."""

    def __init__(self, prefix: str, below: ASGIApp, others: ASGIApp) -> None:
        self._prefix = f"{prefix}/"
        self._below = below
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        app = self._below if scope["path"].startswith(self._prefix) else self._others
        await app(scope, receive, send)
