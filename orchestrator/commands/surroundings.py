"""What a command finds around it: the environment of its process, handed in once by `cli.py`.

It reads nothing itself. Everything that leads to a server is made here, late, because most of a
command line's life is spent on `--help` and typing errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.commands.remote import Remote


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment; it may hold a key, so it is never shown."""

    environ: Mapping[str, str] = field(repr=False)

    def connect(self) -> "Remote":
        """Return the server that the environment or this machine names."""
        from orchestrator.client.connection import find
        from orchestrator.client.http import Api
        from orchestrator.commands.remote import Remote
        from orchestrator.kernel.paths import connection_files

        connection = find(self.environ, connection_files())
        return Remote(Api(connection.url, connection.credential))
