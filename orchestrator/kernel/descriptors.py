"""Open files of this process: how many it may have, and how many it still can open.

It opens nothing and knows nobody's needs. A limit that is raised here is inherited by nothing that
a launcher starts, so no job finds itself with more descriptors than `select` can count.
"""

import resource
from pathlib import Path
from typing import Final

MANY: Final = 2**31
"""As good as no limit."""


def raise_limit(wanted: int) -> None:
    """Allow this process that many open files, or as many as it may allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """Return how many files this process may have open; many, where there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MANY if soft == resource.RLIM_INFINITY else soft


def left() -> int:
    """Return how many more files this process may open; many, where nobody can say."""
    allowed = limit()
    if allowed == MANY:
        return allowed
    try:
        return allowed - len(list(Path("/dev/fd").iterdir()))
    except FileNotFoundError:
        return allowed
    except OSError:
        return 0
