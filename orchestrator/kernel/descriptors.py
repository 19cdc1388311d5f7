"""Open files of this process: how many it may have, and how many it still can open.

It opens nothing and knows nobody's needs. A limit that is raised here is inherited by nothing that
a launcher starts, so no job finds itself with more descriptors than `select` can count.
"""

import resource
from pathlib import Path


def raise_limit(wanted: int) -> None:
    """Allow this process that many open files, or as many as it may allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def left() -> int:
    """Return how many more files this process may open; many, where nobody can say."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2**31
    try:
        return soft - len(list(Path("/dev/fd").iterdir()))
    except FileNotFoundError:
        return soft
    except OSError:
        return 0
