"""`orchestrator schema`: what an editor needs to know of `workers.yaml`."""

import click

from orchestrator.commands import output


@click.command()
def schema() -> None:
    """Print the JSON Schema of workers.yaml, for editors.

    Save it beside the file as workers.schema.json; the first line of the file names it.
    """
    from orchestrator.supervisor.config.first.schema import schema as described

    output.document(described())
