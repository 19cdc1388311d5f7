"""People and programs that submit and cancel: they ask again with the same key until answered."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from orchestrator.kernel.errors import (
    AlreadyExists,
    IllegalTransition,
    NotFound,
    OrchestratorError,
    Refused,
    RequestInvalid,
)
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.schedules import ScheduleSpec
from tests.simulation.parts.plan import Plan
from tests.simulation.parts.schedules import keep
from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.scene import Scene


LOOK_S: Final = (3.0, 15.0)
LET_GO: Final = 0.4
FINAL: Final = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(slots=True)
class Order:
    """One job that somebody wants."""

    plan: Plan
    key: str
    acked: str | None = None
    """The id that an answer gave."""
    is_guest: bool = False
    """Whether that is a job that was there already, for which somebody else had asked."""
    asked: bool = False
    forgotten: bool = False
    """Whether nothing need come of it: it was refused, or a restore took back what came of it."""
    cancel_acked: bool = False
    cancel_state: str = ""
    again: "Order | None" = None
    """Which finished job it asks for once more."""
    ids: set[str] = field(default_factory=set)
    needs: list[dict[str, Any]] = field(default_factory=list)
    """What it depends on, as it was asked for first."""


class People:
    """Everybody who talks to the server from outside."""

    def __init__(self, scene: "Scene", process: Process) -> None:
        self._scene = scene
        self._process = process
        self.orders: list[Order] = []
        self.schedules: list[ScheduleSpec] = []
        self.busy = 0
        """Conversations that are not over."""
        self.cancelled: set[str] = set()
        """Jobs whose end somebody asked for."""
        self.is_calm = False
        """Whether everything that is held is to be let go."""

    def submit_at(self, when: float, plan: Plan) -> Order:
        """Have a job submitted at a moment."""
        order = Order(plan, key=f"key-{plan.number}")
        self.orders.append(order)
        self.busy += 1
        self._scene.world.loop.at(when, self._begin, partial(self._submit, order))
        return order

    def keep_at(self, when: float, spec_at: Callable[[float], ScheduleSpec]) -> None:
        """Have a schedule kept; `spec_at` is given the server's wall time."""
        self.busy += 1

        async def ask() -> None:
            clocks = self._scene.server.machine.clocks
            spec = spec_at(clocks.wall(self._scene.world.loop.now))
            self.schedules.append(spec)
            await keep(self._scene, self._ask, spec)
            self.busy -= 1

        self._scene.world.loop.at(when, self._begin, ask)

    def do_at(self, when: float, what: Callable[[Any], Awaitable[None]]) -> None:
        """Have something else done at a moment; it is given how one asks."""
        self.busy += 1

        async def do() -> None:
            await what(self._ask)
            self.busy -= 1

        self._scene.world.loop.at(when, self._begin, do)

    def cancel_at(self, when: float, order: Order, *, force: bool) -> None:
        """Have a job cancelled at a moment."""
        self.busy += 1
        self._scene.world.loop.at(when, self._begin, partial(self._cancel, order, force))

    def repeat_at(self, when: float, order: Order, *, other_body: bool) -> None:
        """Have a submit made again, long after its answer."""
        self.busy += 1
        self._scene.world.loop.at(when, self._begin, partial(self._repeat, order, other_body))

    def hold_at(self, when: float, order: Order) -> None:
        """Have a job kept back at a moment."""
        self.busy += 1
        self._scene.world.loop.at(when, self._begin, partial(self._hold, order))

    def retry_at(self, when: float, order: Order) -> None:
        """Have a finished job made once more."""
        self.busy += 1
        self._scene.world.loop.at(when, self._begin, partial(self._retry, order))

    def look(self) -> None:
        """Look at what is held now and then, and let some of it go; in the end all of it."""
        world = self._scene.world
        held = sorted(self._scene.held)
        if not self.is_calm:
            held = [job_id for job_id in held if world.chance.random() < LET_GO]
        if held:
            self.busy += 1
            self._begin(partial(self._release, held))
        world.loop.after(world.chance.uniform(*LOOK_S), self.look)

    def _begin(self, what: Any) -> None:
        self._scene.world.begin(self._process, what)

    async def _ask(self, name: str, request: Any) -> Any:
        """Call until there is an answer."""
        scene = self._scene
        while True:
            try:
                return await scene.network.call(
                    self._process, name, request, who="ada", timeout_s=10.0
                )
            except OrchestratorError as error:
                if not scene.is_transient(error):
                    raise
                await scene.world.pause(scene.world.chance.uniform(0.2, 3.0))

    def _ids(self) -> dict[int, str]:
        """Return the jobs that were acknowledged, by their plans."""
        return {order.plan.number: order.acked for order in self.orders if order.acked}

    async def _submit(self, order: Order) -> None:
        order.asked = True
        order.needs = self._scene.company.dependencies(order.plan.number, self._ids())
        try:
            reply, _ = await self._ask("submit", self._request(order))
        except RequestInvalid:
            self._scene.world.sometimes("a restore takes back what a job was to depend on")
            order.forgotten = True
        except AlreadyExists:
            # Nobody remembers a refusal: if the network repeats the request later, it is done.
            self._scene.world.sometimes("a unique job is refused")
            order.forgotten = True
        except Refused as error:
            self._refused(order, error)
        else:
            self._acked(order, reply)
        self.busy -= 1

    def _refused(self, order: Order, error: Refused) -> None:
        """Do without a job whose key is taken: it asked to be refused then."""
        if error.problem_code != "concurrency_key_taken":
            raise error
        self._scene.world.sometimes("a job is refused because its key is taken")
        order.forgotten = True

    def _request(self, order: Order, name: str | None = None) -> tuple[str, str, JobSpec]:
        plan = order.plan
        params: dict[str, Any] = (
            {"ms": int(plan.seconds * 1000)}
            if plan.kind == "delay"
            else {"argv": ["sim", str(plan.number)]}
        )
        job = {"kind": plan.kind, "params": params, "name": name, **plan.fields}
        if order.needs:
            job["depends_on"] = order.needs
        body = json.dumps(job)
        spec = JobSpec.model_validate_json(body)
        return order.key, hashlib.sha256(body.encode()).hexdigest(), spec

    def _acked(self, order: Order, reply: bytes) -> None:
        job_id = from_json(reply)["id"]
        if from_json(reply)["existing"]:
            self._scene.world.sometimes("a unique job is there already")
            order.is_guest = True
            order.again = None
        order.ids.add(job_id)
        if len(order.ids) > 1:
            self._scene.world.violated("I3", f"key {order.key} gave {sorted(order.ids)}")
        order.acked = job_id
        self._scene.world.note("acked", order.plan.number, job_id)

    async def _repeat(self, order: Order, other_body: bool) -> None:
        scene = self._scene
        if order.acked is None:
            self.busy -= 1
            return
        before = order.acked
        try:
            request = self._request(order, name="another" if other_body else None)
            reply, _ = await self._ask("submit", request)
        except RequestInvalid:
            scene.world.sometimes("a key is refused for another body")
            if not other_body and not order.forgotten:
                scene.world.violated("I3", f"key {order.key} was refused for its own body")
        else:
            if other_body and order.acked != before:
                scene.world.sometimes("a restore takes back a key")
            elif other_body:
                scene.world.violated("I3", f"key {order.key} was taken with another body")
            else:
                scene.world.sometimes("a submit is repeated")
                self._acked(order, reply)
        self.busy -= 1

    def _require_vanished(self, order: Order, asked: str) -> None:
        """Take it for the truth that a job is not there, if a restore took it back meanwhile."""
        if order.acked == asked:
            self._scene.world.violated("I1", f"{asked} was acknowledged and is not there")

    async def _hold(self, order: Order) -> None:
        scene = self._scene
        asked = order.acked
        if asked is not None:
            reply = await self._ask("hold", [asked])
            for refused in reply.refused:
                scene.world.sometimes(f"a hold is refused: {refused.code}")
                if refused.code == "not_found":
                    self._require_vanished(order, asked)
            for view in reply.items:
                scene.world.note("held", view.id, view.state)
        self.busy -= 1

    async def _release(self, job_ids: list[str]) -> None:
        scene = self._scene
        reply = await self._ask("release", job_ids)
        for view in reply.items:
            scene.world.note("let go", view.id, view.state)
            scene.let_go(view.id)
        self.busy -= 1

    async def _retry(self, order: Order) -> None:
        """Ask for a new job like one's own that is over; while it is not over, that is refused."""
        scene = self._scene
        asked = order.acked
        if asked is not None and not order.is_guest:
            again = Order(order.plan, key=f"{order.key} again {len(self.orders)}", again=order)
            again.asked = True
            self.orders.append(again)
            try:
                reply, _ = await self._ask("retry", (again.key, asked))
            except NotFound:
                self._require_vanished(order, asked)
                again.forgotten = True
            except AlreadyExists:
                again.forgotten = True
            except IllegalTransition:
                # Nobody remembers a refusal: if the network repeats the request later, it is done.
                scene.world.sometimes("a retry meets a job that is not over")
                again.forgotten = True
            except Refused as error:
                self._refused(again, error)
            else:
                scene.world.sometimes("a job is made once more")
                self._acked(again, reply)
        self.busy -= 1

    async def _cancel(self, order: Order, force: bool) -> None:
        scene = self._scene
        asked = order.acked
        if asked is not None:
            self.cancelled.add(asked)
            try:
                view = await self._ask("cancel", (asked, force))
            except NotFound:
                self._require_vanished(order, asked)
                self.busy -= 1
                return
            if order.acked == asked:
                order.cancel_acked, order.cancel_state = True, str(view.state)
            scene.world.note("cancelled", asked, view.state)
            scene.world.sometimes(f"a cancel meets a job that is {view.state}")
            if force and view.state not in FINAL:
                scene.world.violated("G11", f"{asked} was cancelled by force: {view.state}")
        self.busy -= 1
