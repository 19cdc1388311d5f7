"""What a machine tells of itself when it introduces itself.

Plain facts that do not change while a process runs; no load, no address, nothing secret.
"""

import contextlib
import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Platform = Literal["linux", "macos", "windows"]
_PLATFORMS: Final[dict[str, Platform]] = {"darwin": "macos", "win32": "windows"}


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The fields of the wire's `Host`."""

    hostname: str
    platform: Platform
    arch: str
    cpu_count: int
    memory_bytes: int
    python: str


def facts() -> HostFacts:
    """Return the facts of this machine."""
    name = "".join(filter(str.isprintable, platform.node()))
    return HostFacts(
        hostname=name[:255],
        platform=_PLATFORMS.get(sys.platform, "linux"),
        arch=platform.machine()[:64],
        cpu_count=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
    )


def machine_id() -> str:
    """Return a text that no other machine has, as far as this one has an id; else an empty one.

    It is a hash, because the id itself is asked to be kept confidential (machine-id(5)).
    """
    with contextlib.suppress(OSError):
        own = Path("/etc/machine-id").read_bytes().strip()
        if own:
            return hashlib.sha256(b"orchestrator " + own).hexdigest()[:32]
    return ""
