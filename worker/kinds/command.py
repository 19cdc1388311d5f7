"""The kind `command`: a program of the machine, run by a shim.

Nothing is ever given to a shell unless the job said so; the shim looks up the program and the
folder, in the job's own environment, and says in a sentence what it did not find.
"""

import os
from typing import Final

from orchestrator.protocol.jobs import CommandParams
from worker.kinds import Launch, Work
from worker.logic.environment import for_job
from worker.pool import PooledShim, ShimOrder, ShimPool
from worker.spool import AttemptLog
from worker.terms import Terms

SHELL: Final = "/bin/sh"


class Command:
    """Runs commands in the shims of a pool, on a worker's terms."""

    def __init__(self, pool: ShimPool, terms: Terms) -> None:
        self._pool = pool
        self._terms = terms

    def ready(self, work: Work) -> Launch:
        """Return how to start the command."""
        params = CommandParams.model_validate(work.params)
        root = str(work.root)
        order = ShimOrder(
            job_id=work.key.job_id,
            attempt=work.key.number,
            argv=_argv(params),
            env=for_job(self._terms.environment, work.env),
            cwd=os.path.join(root, params.cwd) if params.cwd else root,  # noqa: PTH118 - may be absolute
            root=root,
            timeout_s=work.timeout_s,
            silence_s=work.silence_s,
            grace_s=work.grace_s,
            limits=work.limits,
            durable=work.durable,
            stdin=None if params.stdin is None else params.stdin.encode(),
        )
        return ShimLaunch(self._pool, order)


class ShimLaunch:
    """One command and the shim that is kept for it."""

    def __init__(self, pool: ShimPool, order: ShimOrder) -> None:
        self._pool = pool
        self._order = order
        self._shim: PooledShim | None = None

    async def secure(self) -> None:
        """Keep a shim for it."""
        self._shim = await self._pool.reserve()

    async def start(self) -> AttemptLog:
        """Hand it to the shim."""
        shim, self._shim = self._shim, None
        return await self._pool.start(self._order, shim)

    def leave(self) -> None:
        """Give the shim back."""
        if self._shim is not None:
            self._pool.take_back(self._shim)
            self._shim = None


def _argv(params: CommandParams) -> tuple[str, ...]:
    if params.argv is not None:
        return tuple(params.argv)
    return (SHELL, "-c", params.script or "")
