"""`orchestrator pause`, `drain`, `stop`, `resume`, `restart`: orders to one worker here."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NotRequired, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.machine.finding import find, state_dir_option, worker_argument
from orchestrator.commands.options import Duration, HoldTime, Reason, json_option
from orchestrator.kernel.errors import Unavailable
from orchestrator.protocol.standing import HELD

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer
    from orchestrator.client.control import Control
    from orchestrator.protocol.machine import HoldWorkerRequest, WorkerStatus

LOOK_S: Final = 0.2
LEAVING: Final = frozenset({"stopping"})
"""A process that ends before the next one begins."""
SOON_S: Final = 15.0
"""A worker hears of an order at once; one that hangs is replaced in half a minute."""
_reason = click.option("--reason", type=Reason(), help="Why, for those who look at it later.")
_for = click.option("--for", "for_s", type=HoldTime(), help="Resume by itself after this time.")
_wait = click.option(
    "--timeout",
    "timeout_s",
    type=Duration(),
    default="0",
    help="Wait at most so long for it (as long as it takes).",
)
_no_wait = click.option("--no-wait", is_flag=True, help="Return before it is done.")


class Options(TypedDict):
    """What click hands over; each command has some of them."""

    worker: str
    reason: NotRequired[str | None]
    for_s: NotRequired[float | None]
    timeout_s: NotRequired[float]
    lets_finish: NotRequired[bool]
    interrupts: NotRequired[bool]
    no_wait: bool
    state_dir: Path | None
    as_json: bool


@click.command()
@worker_argument
@_reason
@_for
@_no_wait
@state_dir_option
@json_option
def pause(**options: Unpack[Options]) -> int:
    """Let a worker take no new jobs; what runs goes on. It stays so over restarts."""
    return _hold(options, "pause", "paused", _asked(options))


@click.command()
@worker_argument
@_reason
@_for
@_wait
@_no_wait
@state_dir_option
@json_option
def drain(**options: Unpack[Options]) -> int:
    """Let a worker take no new jobs, and wait until what runs is done."""
    return _hold(options, "drain", "drained", _asked(options))


@click.command()
@worker_argument
@click.option("--drain", "lets_finish", is_flag=True, help="Wait until what runs is done.")
@click.option("--force", "interrupts", is_flag=True, help="Interrupt what runs; it runs again.")
@_reason
@_for
@_wait
@_no_wait
@state_dir_option
@json_option
def stop(**options: Unpack[Options]) -> int:
    """End a worker's process until it is resumed, over restarts; refused while jobs run (7)."""
    from orchestrator.protocol.machine import StopRequest

    if options["lets_finish"] and options["interrupts"]:
        raise click.UsageError("--drain lets jobs finish, --force interrupts them: say one")
    running: Literal["refuse", "finish", "interrupt"] = "refuse"
    if options["lets_finish"] or options["interrupts"]:
        running = "interrupt" if options["interrupts"] else "finish"
    asked = StopRequest(reason=options.get("reason"), for_s=options.get("for_s"), running=running)
    return _hold(options, "stop", "stopped", asked)


def _asked(options: Options) -> "HoldWorkerRequest":
    from orchestrator.protocol.machine import HoldWorkerRequest

    return HoldWorkerRequest(reason=options.get("reason"), for_s=options.get("for_s"))


def _hold(options: Options, verb: str, state: str, asked: "HoldWorkerRequest") -> int:
    control, worker = find(options["state_dir"]), options["worker"]
    answer = control.post(f"/v1/workers/{worker}:{verb}", asked)
    if not options["no_wait"]:
        timeout_s = options.get("timeout_s", SOON_S)
        answer = _until(control, worker, lambda told: told.state == state, timeout_s)
    return _told(answer, f"orchestrator resume {worker}", as_json=options["as_json"])


@click.command()
@worker_argument
@_no_wait
@state_dir_option
@json_option
def resume(**options: Unpack[Options]) -> int:
    """Let a paused, drained or stopped worker take jobs again."""
    control, worker = find(options["state_dir"]), options["worker"]
    answer = control.post(f"/v1/workers/{worker}:resume")
    if not options["no_wait"]:
        answer = _until(control, worker, lambda told: told.state not in HELD | LEAVING, SOON_S)
    return _told(answer, None, as_json=options["as_json"])


@click.command()
@worker_argument
@_reason
@_wait
@_no_wait
@state_dir_option
@json_option
def restart(**options: Unpack[Options]) -> int:
    """Let a worker finish what runs, and begin anew with what the file says."""
    from orchestrator.protocol.machine import RestartRequest, WorkerStatus

    control, worker = find(options["state_dir"]), options["worker"]
    before = control.get(f"/v1/workers/{worker}").read(WorkerStatus)
    asked = RestartRequest(reason=options.get("reason"))
    answer = control.post(f"/v1/workers/{worker}:restart", asked)
    if not options["no_wait"]:
        timeout_s = options.get("timeout_s", 0.0)
        answer = _until(control, worker, lambda told: told.starts > before.starts, timeout_s)
    return _told(answer, None, as_json=options["as_json"])


def _until(
    control: "Control", worker: str, done: "Callable[[WorkerStatus], bool]", timeout_s: float
) -> "Answer":
    """Return the worker's status as soon as the order is carried out; 0 s is no limit."""
    from orchestrator.commands.moments import rough
    from orchestrator.protocol.machine import WorkerStatus

    end = time.monotonic() + (timeout_s or float("inf"))
    said = None
    while True:
        answer = control.get(f"/v1/workers/{worker}")
        told = answer.read(WorkerStatus)
        if done(told):
            return answer
        if time.monotonic() >= end:
            raise Unavailable(
                f"{worker} is {told.state} after {rough(timeout_s)}, and the order stands",
                hint=f"look at it with: orchestrator why {worker}",
            )
        if told.running_count not in {0, said} and output.people_read_words():
            said = told.running_count
            output.say(f"{worker} still runs {said} job{'' if said == 1 else 's'}")
        time.sleep(LOOK_S)


def _told(answer: "Answer", undo: str | None, *, as_json: bool) -> int:
    from orchestrator.protocol.machine import WorkerStatus

    if as_json:
        output.document(answer.body)
        return 0
    told = answer.read(WorkerStatus)
    output.say(f"{told.name} is {told.state}" + (f": {told.reason}" if told.reason else ""))
    if undo is not None:
        output.advise(f"undo it with: {undo}")
    return 0
