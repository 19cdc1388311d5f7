"""What a process finds around it: the limits, the PATH and the rights that it was started with.

A running orchestrator tells its own on its socket, because a service is started with others than
the shell of the person who asks. There is no value of a variable in it but that of PATH.
"""

from orchestrator.protocol.base import Reply


class ProcessFacts(Reply):
    """One process. A limit that is `None` is none, or cannot be known.

    `proxies` are the names of the variables that name a proxy. `unit` is the service of systemd in
    which it runs. `hidden` tells whether others of its user are kept from its memory.
    """

    version: str
    python: str
    pid: int
    uid: int
    path: list[str] = []
    proxies: list[str] = []
    open_files: int | None = None
    processes: int | None = None
    tasks: int | None = None
    unit: str | None = None
    of_a_user: bool = False
    hidden: bool | None = None
    pidfd: bool = False
