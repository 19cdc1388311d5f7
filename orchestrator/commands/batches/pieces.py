"""What the verbs of batches share: the id that people type, and a batch in words."""

from typing import TYPE_CHECKING

import click

from orchestrator.protocol.ids import is_id

if TYPE_CHECKING:
    from orchestrator.protocol.batches import BatchView


class BatchId(click.ParamType[str]):
    """The id of a batch."""

    name = "batch id"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the id."""
        if not is_id("batch", str(value)):
            self.fail(
                f"{value!r} is no batch id; one looks like batch_ and 26 letters and digits, "
                "and `orchestrator batches list` shows them",
                param,
                ctx,
            )
        return str(value)


batch_argument = click.argument("batch_id", metavar="ID", type=BatchId())


def counted(batch: "BatchView") -> str:
    """Return how many jobs are in which state: `3 succeeded, 1 running`."""
    return ", ".join(f"{count} {state}" for state, count in batch.counts.items()) or "no jobs"


def short(batch: "BatchView") -> str:
    """Return where a batch is, in a few words."""
    if batch.state == "cancelled":
        return f"cancelled by {batch.stopped_by}"
    if batch.done:
        return "done"
    return str(batch.state)
