"""Make a failing seed smaller: fewer kinds of faults, fewer jobs, fewer machines, less time.

A smaller world of the same seed is another world, so a step counts only if the same promise is
broken in it. What is left is what to look at first.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.seed import Options

ATTEMPTS = 200
"""Worlds in one search: after so many it is seldom made any smaller."""


def shrunk(options: Options, still_fails: Callable[[Options], bool]) -> Options:
    """Return the smallest options that were found to fail in the same way."""
    left = ATTEMPTS
    smaller = True
    while smaller and left > 0:
        smaller = False
        for candidate in _smaller(options):
            left -= 1
            if still_fails(candidate):
                options, smaller = candidate, True
                break
            if left == 0:
                break
    return options


def _smaller(options: Options) -> Iterator[Options]:
    """Yield options that are a step smaller, the largest steps first."""
    for count in {len(options.kinds) // 2, 1} - {0, len(options.kinds)}:
        for at in range(0, len(options.kinds), count):
            kinds = options.kinds[:at] + options.kinds[at + count :]
            yield replace(options, kinds=kinds)
    if options.jobs > 1:
        yield replace(options, jobs=options.jobs // 2)
        yield replace(options, jobs=options.jobs - 1)
    if len(options.hosts) > 1:
        yield replace(options, hosts=options.hosts[:1])
    if options.hosts != ((1,),):
        yield replace(options, hosts=((1,),))
    if options.horizon > 10:
        yield replace(options, horizon=options.horizon / 2)
        yield replace(options, horizon=options.horizon * 0.9)
