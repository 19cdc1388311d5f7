"""The options of `jobs submit` that say where a job waits, and what may keep it back.

They become the fields `queue`, `fairness_key`, `concurrency` and `rate_limit` of the spec.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypedDict, TypeVar

import click

from orchestrator.commands.options import Duration
from orchestrator.protocol.words import IfTaken

F = TypeVar("F", bound=Callable[..., Any])
_LIMITED: Final = re.compile(r"(?P<key>.+?)(?:=(?P<limit>\d+))?", re.ASCII)
_RATED: Final = re.compile(r"(?P<key>.+)=(?P<count>\d+)/(?P<per>[0-9a-z.]+)", re.ASCII)


class PlaceOptions(TypedDict):
    """What click hands over, by the names of the parameters."""

    queue: str | None
    fairness_key: str | None
    concurrency: tuple[dict[str, Any], ...]
    if_taken: str | None
    rate_limit: tuple[dict[str, Any], ...]


class Limited(click.ParamType[dict[str, Any]]):
    """A key, and how many jobs may hold it: `deploy` or `deploy=3`."""

    name = "limit"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Return the key and its limit."""
        match = _LIMITED.fullmatch(str(value))
        if match is None:
            self.fail("write KEY, or KEY=3 for three at the same time", param, ctx)
        return {"key": match["key"], "limit": int(match["limit"] or 1)}


class Rated(click.ParamType[dict[str, Any]]):
    """A key, how many jobs with it may start, and in which time: `api=10/1m`."""

    name = "rate"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Return the key, the count and the window."""
        match = _RATED.fullmatch(str(value))
        if match is None:
            self.fail(f"{str(value)[:100]!r} is no rate; write KEY=10/1m", param, ctx)
        per_s = Duration().convert(match["per"], param, ctx)
        return {"key": match["key"], "count": int(match["count"]), "per_s": per_s}


_OPTIONS: Final = (
    click.option("--queue", metavar="NAME", help="The queue in which it waits (default)."),
    click.option(
        "--fairness-key", metavar="KEY", help="Jobs with other keys take turns with it (you)."
    ),
    click.option(
        "--concurrency",
        type=Limited(),
        multiple=True,
        metavar="KEY[=N]",
        help="At most N (1) jobs with this key run at the same time.",
    ),
    click.option(
        "--if-taken",
        type=click.Choice([word.value for word in IfTaken]),
        help="What it does while a --concurrency key is taken (wait).",
    ),
    click.option(
        "--rate",
        "rate_limit",
        type=Rated(),
        multiple=True,
        metavar="KEY=N/TIME",
        help="At most N jobs with this key start in that time.",
    ),
)


def place_options(command: F) -> F:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def place_of(options: PlaceOptions) -> dict[str, Any]:
    """Return the fields of the spec that were named."""
    if options["if_taken"] and not options["concurrency"]:
        raise click.UsageError("--if-taken is about a key: name it with --concurrency")
    strategy = {"strategy": IfTaken(options["if_taken"])} if options["if_taken"] else {}
    fields = {
        "queue": options["queue"],
        "fairness_key": options["fairness_key"],
        "concurrency": tuple({**one, **strategy} for one in options["concurrency"]) or None,
        "rate_limit": options["rate_limit"] or None,
    }
    return {name: value for name, value in fields.items() if value is not None}
