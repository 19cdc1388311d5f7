"""What a command finds around it: the environment of its process, handed in once by `cli.py`.

It reads nothing itself. Everything that leads to a server is made here, late, because most of a
command line's life is spent on `--help` and typing errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.kernel.notify import Notifier

if TYPE_CHECKING:
    from orchestrator.commands.remote import Remote


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment; it may hold a key, so it is never shown."""

    environ: Mapping[str, str] = field(repr=False)
    notifier: Notifier = Notifier()
    """The line to the service manager that started this program."""

    def connect(self) -> "Remote":
        """Return the server that the environment or this machine names."""
        from orchestrator.client.connection import find
        from orchestrator.client.http import Api
        from orchestrator.commands.remote import Remote
        from orchestrator.kernel.paths import connection_files

        connection = find(self.environ, connection_files())
        return Remote(Api(connection.url, connection.credential))

    def about_the_key(self) -> str:
        """Say where the key that a server refused came from, and what to do about it."""
        from orchestrator.client.connection import API_KEY, URL

        if self.environ.get(API_KEY, "").strip():
            return (
                f"the key came from {API_KEY}: set it to one that this server knows, or unset it "
                f"(and {URL}) to use the server of this machine and its own key"
            )
        return (
            "the key came from the file admin.key in the server's data directory; if the two do "
            "not belong together, remove that file and start the server again: it writes a new one"
        )
