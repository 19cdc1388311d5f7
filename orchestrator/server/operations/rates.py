"""When rate limits let somebody through again, and who is told then.

Nothing of it is stored: the moments follow from the starts that are remembered, so they are the
same after a restart.
"""

from collections.abc import Iterator
from typing import Final

from orchestrator.core.gates import opens_us, room
from orchestrator.core.line import Line
from orchestrator.server.facts import Claimable
from orchestrator.server.operations.gating import read_starts
from orchestrator.server.operations.lines import line_of_row
from orchestrator.server.store.interface import Reader, Transaction

_WAITING: Final = """
    SELECT DISTINCT line.id, line.queue, line.fairness_key, line.limits, line.requirement_id
    FROM line_key JOIN line ON line.id = line_key.line_id AND line.waiting = 1
    WHERE line_key.kind = 'rate'
"""


def next_opening(reader: Reader) -> int | None:
    """Return the next moment at which a rate limit lets one of those through that wait for it."""
    moments = [
        until
        for line, _, starts in _waiting(reader)
        for rate in line.rates
        if (until := opens_us(rate, starts[rate.key])) is not None and until > reader.now_us
    ]
    return min(moments, default=None)


def call_out_opened(tx: Transaction) -> None:
    """Wake whoever could take what waited for the window of a rate limit to move on."""
    for line, requirement, starts in _waiting(tx):
        free = min(room(rate, starts[rate.key], now_us=tx.now_us) for rate in line.rates)
        if free > 0:
            tx.announce(Claimable(requirement, free))


def _waiting(reader: Reader) -> Iterator[tuple[Line, int, dict[str, list[int]]]]:
    """Yield each line that has rates and in which somebody waits, and the starts that it counts."""
    found = [(line_of_row(*row), requirement) for *row, requirement in reader.tuples(_WAITING)]
    starts = read_starts(reader, [line for line, _ in found])
    for line, requirement in found:
        yield line, requirement, starts
