"""What becomes of the trust in workers, told in the log: once for each change, after its commit."""

import logging
from collections.abc import Sequence
from typing import Final

from orchestrator.kernel import logs
from orchestrator.protocol.base import moment_or_none
from orchestrator.protocol.words import BreakerState
from orchestrator.server.facts import BreakerChanged, Fact

_LOGGER: Final = logging.getLogger(__name__)


class TrustLog:
    """Hears of breakers, and tells of them."""

    def hear(self, facts: Sequence[Fact]) -> None:
        """Tell of each breaker that changed."""
        for fact in facts:
            if isinstance(fact, BreakerChanged):
                _tell(fact)


def _tell(fact: BreakerChanged) -> None:
    if fact.state is BreakerState.CLOSED:
        logs.event(
            _LOGGER,
            logging.INFO,
            "worker.trusted",
            worker=fact.worker_id,
            because=fact.event,
            by=fact.by,
            reason=fact.why,
        )
    elif fact.state is BreakerState.HALF_OPEN:
        logs.event(_LOGGER, logging.INFO, "worker.on_trial", worker=fact.worker_id)
    else:
        until = moment_or_none(fact.next_us)
        logs.event(
            _LOGGER,
            logging.WARNING,
            "worker.quarantined",
            worker=fact.worker_id,
            reason=fact.why,
            by=fact.by,
            next="one job, as a canary" if until else "nothing, until somebody releases it",
            at=until and f"{until:%Y-%m-%dT%H:%M:%SZ}",
        )
