"""Which limits of a job nothing but the kernel can hold it to.

Neither can be looked at from time to time, and neither is what a process has for itself alone. So
each needs its controller of control groups; where that is absent, the limit holds nobody.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final, Protocol

BY_KERNEL: Final[Mapping[str, str]] = MappingProxyType({"pids": "pids", "cpus": "cpu"})
"""By limit: the controller that it needs."""


class Limited(Protocol):
    """What has those limits; `None`: as much as there is."""

    @property
    def pids(self) -> int | None:
        """Return how many processes and threads."""

    @property
    def cpus(self) -> float | None:
        """Return how many processors."""


def not_held(limits: Limited, controllers: AbstractSet[str]) -> list[str]:
    """Return the limits that are wanted, and that hold nobody with these controllers alone."""
    return [
        name
        for name, controller in BY_KERNEL.items()
        if getattr(limits, name) is not None and controller not in controllers
    ]
