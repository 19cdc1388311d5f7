"""What the programs of a site use while they work: memory, descriptors, the database's log.

`sample` looks; everything else is pure.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.figures import percentile
from tests.chaos.records import now
from tests.chaos.site import Site

MIB: Final = 1024 * 1024
HOUR_S: Final = 3_600
WAL_MAX_MIB: Final = 64
FDS_MORE: Final = 16
"""More descriptors at the end than after the warm-up; connections come and go by a few."""
RSS_MORE_MIB: Final = 16
"""The same of memory. A short soak finds a leak by the request, a long one by the hour."""
SLOPE_MAX_MIB_H: Final = 1.0
LONG_S: Final = 4 * HOUR_S
"""From here on the slope says something about the program and not about its warm-up."""
WARM: Final = 1 / 3
"""The part of a soak that is not measured: caches fill, pools grow, pages are touched."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one program."""

    at: float
    role: str
    rss_mib: float
    fds: int


def sample(site: Site) -> Iterator[Sample]:
    """Look at every long-lived program of a site once."""
    at = now()
    yield from _look(at, "server", site.server.pid)
    for host in site.hosts:
        for role in ("supervisor", "launcher", "nursery", "worker"):
            for pid in host.pids(role):
                yield from _look(at, f"{host.name} {role}", pid)


def _look(at: float, role: str, pid: int) -> Iterator[Sample]:
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        rss_mib = pages * os.sysconf("SC_PAGE_SIZE") / MIB
        yield Sample(at, role, rss_mib, len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 – counts


def wal_mib(site: Site) -> float:
    """Return the size of the database's log."""
    with contextlib.suppress(OSError):
        return (site.data / "orchestrator.db-wal").stat().st_size / MIB
    return 0.0


@dataclass(frozen=True, slots=True)
class Gauge:
    """What one program used, after the warm-up."""

    role: str
    rss_mib: tuple[float, float]
    """Median of the first and of the last quarter."""
    slope_mib_h: float
    fds: tuple[float, float]
    seconds: float

    def complaints(self) -> Iterator[str]:
        """Yield what grows that should not."""
        if self.fds[1] > self.fds[0] + FDS_MORE:
            yield f"{self.role}: {self.fds[0]:.0f} descriptors became {self.fds[1]:.0f}"
        if self.rss_mib[1] > self.rss_mib[0] + RSS_MORE_MIB:
            yield f"{self.role}: {self.rss_mib[0]:.0f} MiB became {self.rss_mib[1]:.0f}"
        if self.seconds >= LONG_S and self.slope_mib_h > SLOPE_MAX_MIB_H:
            yield f"{self.role}: grows by {self.slope_mib_h:.1f} MiB an hour"


def gauges(samples: Sequence[Sample]) -> list[Gauge]:
    """Return what each program used."""
    roles = sorted({each.role for each in samples})
    return [_gauge(role, [each for each in samples if each.role == role]) for role in roles]


def _gauge(role: str, samples: list[Sample]) -> Gauge:
    warm = samples[int(len(samples) * WARM) :]
    quarter = max(1, len(warm) // 4)
    first, last = warm[:quarter], warm[-quarter:]
    return Gauge(
        role,
        (_median([s.rss_mib for s in first]), _median([s.rss_mib for s in last])),
        slope([(s.at, s.rss_mib) for s in warm]) * HOUR_S,
        (_median([float(s.fds) for s in first]), _median([float(s.fds) for s in last])),
        warm[-1].at - warm[0].at,
    )


def _median(values: Sequence[float]) -> float:
    return percentile(values, 0.5)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much a line through these points rises with each unit (least squares)."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def table(found: Sequence[Gauge], wal_mib_max: float) -> str:
    """Return the gauges for people."""
    lines = [f"{'':<20}{'MiB':>8}{'after':>8}{'MiB/h':>9}{'fds':>6}{'after':>7}"]
    lines += [
        f"{gauge.role:<20}{gauge.rss_mib[0]:>8.1f}{gauge.rss_mib[1]:>8.1f}"
        f"{gauge.slope_mib_h:>9.1f}{gauge.fds[0]:>6.0f}{gauge.fds[1]:>7.0f}"
        for gauge in found
    ]
    return "\n".join([*lines, f"the database's log was at most {wal_mib_max:.1f} MiB long"])
