"""What it costs to deal out a machine's jobs when it has very many workers."""

import time

from orchestrator.supervisor.logic.share import Share


def test_a_thousand_workers_are_dealt_to_in_no_time() -> None:
    """Whoever waits costs its share once, and not once for each that waits beside it."""
    share: Share[int] = Share(2)
    for key in range(1000):
        share.join(key, 1, now=0.0)
    for key in range(1000):
        share.began(key, now=0.0)
        share.heard(key, allowed=0, running=0, takes=True, now=0.0)

    begin = time.process_time()
    orders = share.decide(now=100.0)
    took_s = time.process_time() - begin

    assert sum(slots or 0 for slots in orders.values()) == 2
    assert took_s < 0.2
