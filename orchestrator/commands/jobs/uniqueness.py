"""The options of `jobs submit` that make a job the only one of its kind.

They become the field `unique` of the spec; what there is already, the server knows alone.
"""

from collections.abc import Callable
from typing import Any, Final, TypedDict, TypeVar

import click

from orchestrator.commands.options import Duration
from orchestrator.protocol.words import JobState, OnConflict

F = TypeVar("F", bound=Callable[..., Any])


class UniqueOptions(TypedDict):
    """What click hands over, by the names of the parameters."""

    unique_key: str | None
    unique_params: bool
    unique_scope: tuple[str, ...]
    unique_window_s: float | None
    on_conflict: str | None


_OPTIONS: Final = (
    click.option("--unique-key", metavar="KEY", help="No other job with this key may be there."),
    click.option(
        "--unique-params", is_flag=True, help="No other job that does the same may be there."
    ),
    click.option(
        "--unique-scope",
        multiple=True,
        type=click.Choice([state.value for state in JobState]),
        metavar="STATE",
        help="A state of another one that is in the way (any but those that are over).",
    ),
    click.option(
        "--unique-window",
        "unique_window_s",
        type=Duration(),
        help="So long after its submit another one that succeeded is in the way, too.",
    ),
    click.option(
        "--on-conflict",
        type=click.Choice([word.value for word in OnConflict]),
        help="Take the other for this job (return), refuse, or cancel it if it has not begun.",
    ),
)


def unique_options(command: F) -> F:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def unique_of(options: UniqueOptions) -> dict[str, Any] | None:
    """Return the field of the spec, or `None` for a job like any other."""
    more = {
        "scope": tuple(map(JobState, options["unique_scope"])) or None,
        "window_s": options["unique_window_s"],
        "on_conflict": OnConflict(options["on_conflict"]) if options["on_conflict"] else None,
    }
    said = {name: value for name, value in more.items() if value is not None}
    key = options["unique_key"]
    if key is not None and options["unique_params"]:
        raise click.UsageError("--unique-key and --unique-params exclude each other")
    if key is not None:
        return {"key": key, **said}
    if options["unique_params"]:
        return {"by": "params", **said}
    for name in said:
        option = "--on-conflict" if name == "on_conflict" else f"--unique-{name.removesuffix('_s')}"
        raise click.UsageError(f"{option} needs --unique-key or --unique-params")
    return None
