"""One word to one thing that has a name: it is given, and people hear what is so now."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.commands import output
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer
    from orchestrator.commands.remote import Remote


def ordered(
    surroundings: Surroundings,
    order: "Callable[[Remote], Answer]",
    words: "Callable[[Answer], str]",
    *,
    as_json: bool,
    undo: str | None = None,
) -> int:
    """Give an order; print the API's JSON, or say in words what is so now."""
    with surroundings.connect() as remote:
        answer = order(remote)
    if as_json:
        output.document(answer.body)
        return 0
    output.say(words(answer))
    if undo is not None:
        output.advise(f"let it go on: {undo}")
    return 0


def deleted(surroundings: Surroundings, order: "Callable[[Remote], object]", name: str) -> int:
    """Have something forgotten, and say so."""
    with surroundings.connect() as remote:
        order(remote)
    output.say(f"{name} is deleted")
    return 0
