"""Long polls of workers: a claim that waits for work, a heartbeat that waits for an order."""

from collections import Counter
from functools import partial

import anyio
from starlette.types import Receive

from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.limits import REAPER_S
from orchestrator.protocol.wire import ClaimReply, ClaimRequest, HeartbeatReply, HeartbeatRequest
from orchestrator.server.live.bus import Bus
from orchestrator.server.live.dispatch import Dispatch, Waiter
from orchestrator.server.live.presence import unless_gone
from orchestrator.server.operations.claim import claim
from orchestrator.server.operations.heartbeat import heartbeat
from orchestrator.server.store.interface import Store


async def wait_for_work(
    store: Store,
    dispatch: Dispatch,
    request: ClaimRequest,
    receive: Receive,
    *,
    worker_id: str,
) -> ClaimReply:
    """Return attempts as soon as there are any, or none after the time that the worker waits."""
    until = anyio.current_time() + request.wait_s
    with dispatch.waiter(request.session_id, request.slots, request.job_id) as waiter:
        while True:
            promised = waiter.take()
            asked = _share(request, promised)
            try:
                given = await store.write(partial(claim, request=asked, worker_id=worker_id))
            except BaseException:
                # It took nothing that it knows of; what it was woken for must not lie.
                dispatch.pass_on(promised)
                raise
            reached("claim.after_commit")
            dispatch.restrict(waiter, restricted=given.restricted)
            if not given.fresh or given.restricted or len(given.grants) >= asked.slots:
                # It may have taken other work than it was woken for; what is left must not lie.
                dispatch.pass_on(promised - Counter(given.taken))
            left = until - anyio.current_time()
            if given.grants or not given.fresh or left <= 0 or dispatch.is_closing():
                return ClaimReply(grants=given.grants)
            if given.restricted:
                # What is for it alone changes with every other worker that comes or goes.
                left = min(left, REAPER_S)
            await unless_gone(receive, partial(_sleep, waiter, left))


def _share(request: ClaimRequest, promised: Counter[int]) -> ClaimRequest:
    """Return what to ask for: what was promised, so that who wakes first leaves the others theirs.

    Who was promised nothing asks for all that it has room for. Whoever is given its share asks
    again at once, for whatever nobody took.
    """
    count = promised.total()
    return request.model_copy(update={"slots": count}) if count else request


async def _sleep(waiter: Waiter, timeout_s: float) -> None:
    with anyio.move_on_after(timeout_s):
        await waiter.sleep()


async def wait_for_orders(
    store: Store, bus: Bus, request: HeartbeatRequest, receive: Receive, *, worker_id: str
) -> HeartbeatReply:
    """Renew the session, and return orders as soon as there are any that the worker lacks.

    News of the session are an answer in any case: they may be of an attempt that it was given since
    it asked, and cannot have listed. It asks again at once, with what it has now.
    """
    until = anyio.current_time() + request.wait_s

    async def renewed() -> HeartbeatReply:
        reply = await store.write(partial(heartbeat, request=request, worker_id=worker_id))
        reached("heartbeat.after_commit")
        return reply

    with bus.watch(request.session_id) as watch:
        reply = await renewed()
        left = until - anyio.current_time()
        if reply.orders or left <= 0 or bus.is_closing():
            return reply
        if await unless_gone(receive, partial(watch.changed, timeout_s=left)):
            return await renewed()
        return reply
