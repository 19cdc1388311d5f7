"""Themes: faults that do much harm together and seldom meet by chance, and the jobs to show it.

Every few seeds have one, in turn. Nothing of a theme is a rule: it only makes likely what is rare.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Theme:
    """What is done often, and to what."""

    kinds: tuple[str, ...]
    mean_s: float = 5.0
    alone: bool = False
    """Whether nothing else goes wrong."""
    least_s: float = 60.0
    """The shortest time of faults."""
    longer: float = 1.0
    """How much longer commands take than elsewhere."""
    chatty: bool = False
    """Whether every command says much."""
    rotate_bytes: int | None = None
    hosts: tuple[tuple[int, ...], ...] | None = None
    crowd: int = 1
    """How many times as many jobs as elsewhere."""
    rivals: bool = False
    """Whether jobs are in each other's way, and not for everybody."""
    shared: bool = False
    """Whether jobs share queues, keys and rates."""
    crowds: bool = False
    """Whether there are batches, and orders for many jobs."""
    schedules: int = 0
    """How many schedules there are, beside what people submit."""


EVERY: Final = 4
"""Every so many seeds have a theme."""
THEMES: Final = (
    # Remains of commands, and pids that are used again.
    Theme(("shim killed", "worker stopped", "all but shims killed", "job killed", "strangers")),
    # Answers that never arrive.
    Theme(("lossy network", "server killed", "worker killed", "interrupt", "partition")),
    # Drains that cannot tell of their last ends.
    Theme(("drain", "lossy network", "server stopped")),
    # Backups that do not know what was done since.
    Theme(("restore", "worker killed", "server killed", "partition")),
    # Output and openings under way, said again much later, and cut off on the server's disk.
    Theme(
        ("lossy network", "server power cut", "worker killed"),
        mean_s=7.0,
        alone=True,
        least_s=120.0,
        longer=2.0,
        chatty=True,
        hosts=((1, 2),),
    ),
    # A drain of commands that take longer than a lease, and nothing else.
    Theme(("drain",), mean_s=30.0, alone=True, least_s=240.0, longer=5.0),
    # Ends that nobody has heard of when the power is cut.
    Theme(("server away", "power cut", "partition"), mean_s=15.0, alone=True, chatty=True),
    # Holes in logs that are in many segments.
    Theme(("disk lies", "server away"), mean_s=8.0, alone=True, chatty=True, rotate_bytes=600),
    # A worker that has two attempts of one job: what it was taken, and what it was given since.
    Theme(("cut off",), mean_s=30.0, alone=True, least_s=240.0, longer=3.0, hosts=((3,),)),
)


SELDOM: Final = 32
"""Every so many seeds have a theme of their own, which takes no turn of the others."""
BROKEN: Final = Theme(
    ("programs gone",),
    mean_s=45.0,
    alone=True,
    least_s=240.0,
    hosts=((2,), (1,), (2,)),
    crowd=4,
    longer=3.0,
)
"""Machines on which nothing can be started, beside others that are well."""
SCHEDULED: Final = Theme(
    ("server killed", "server away", "server power cut", "clock jumps"),
    mean_s=9.0,
    alone=True,
    hosts=((2, 2),),
    schedules=2,
)
"""Moments that come while no server is there, or twice, because its clock was set back."""
SCHEDULED_EVERY: Final = 16
"""Every so many seeds; none of these has another theme."""


RIVALS: Final = Theme(
    ("lossy network", "server killed", "worker killed"),
    mean_s=12.0,
    alone=True,
    hosts=((1, 2), (1,)),
    longer=4.0,
    rivals=True,
)
"""Jobs of which one of a kind may be there, and that not every worker may have."""
RIVALS_REST: Final = 13
"""Which of every `SCHEDULED_EVERY` seeds."""


ORDERLY: Final = Theme((), alone=True, least_s=60.0, hosts=((1,), (1,)), crowd=6, shared=True)
"""Nothing goes wrong: everybody has a turn, and nobody is forgotten."""
CROWDED: Final = Theme(
    ("server killed", "worker killed", "restore", "partition", "order cut off"),
    mean_s=20.0,
    alone=True,
    least_s=60.0,
    hosts=((2,), (1, 1)),
    crowd=2,
    shared=True,
    crowds=True,
)
"""The same while servers and workers die, with batches, and with orders for many jobs."""
SHARED_EVERY: Final = 32
ORDERLY_REST: Final = 4
CROWDED_RESTS: Final = (8, 20)
"""Which of every `SHARED_EVERY` seeds."""


def theme_of(seed: int) -> Theme | None:
    """Return the theme of a seed, if it has one."""
    if seed % SELDOM == SELDOM - 3:
        return BROKEN
    if seed % SCHEDULED_EVERY == SCHEDULED_EVERY // 2 + 1:
        return SCHEDULED
    if seed % SCHEDULED_EVERY == RIVALS_REST:
        return RIVALS
    if seed % SHARED_EVERY == ORDERLY_REST:
        return ORDERLY
    if seed % SHARED_EVERY in CROWDED_RESTS:
        return CROWDED
    turn, rest = divmod(seed + 1, EVERY)
    return None if rest else THEMES[turn % len(THEMES)]
