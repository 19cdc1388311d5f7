"""How this worker stands, read off its services: what `services/herald.py` tells.

It changes nothing. Which word it is, and which of several matters comes first, is decided by
`logic/standing.py`.
"""

import math
from collections import Counter
from dataclasses import dataclass

import anyio

from orchestrator.kernel.errors import OrchestratorError
from worker.attempts import Attempts
from worker.capacity import Capacity
from worker.logic.standing import Facts, Matter, standing
from worker.services.claimer import Claimer
from worker.services.herald import NAME_CHARS, RUNNING_SHOWN, News, words
from worker.services.session import SessionKeeper
from worker.terms import Terms


@dataclass(frozen=True, slots=True)
class Standing:
    """Everybody who knows a part of it."""

    terms: Terms
    capacity: Capacity
    keeper: SessionKeeper
    attempts: Attempts
    claimer: Claimer

    def read(self) -> News:
        """Return how it stands now, in the words of the lifeline."""
        contact, capacity, now = self.keeper.contact, self.capacity, anyio.current_time()
        state, matter = standing(self._facts())
        running = self.attempts.running()
        again_s, age_s = contact.next_try_at - now, now - contact.reached_at
        return {
            "state": state,
            "reason": words(matter.reason),
            "hint": words(matter.hint),
            "retry_in_s": None if math.isinf(again_s) else round(max(0.0, again_s), 1),
            "slots": capacity.slots,
            "allowed": capacity.slots if capacity.allowed is None else capacity.allowed,
            "running": [
                {
                    "job": runner.attempt.key.job_id,
                    "attempt": runner.attempt.key.number,
                    "name": words(runner.name, NAME_CHARS),
                    "pid": runner.pid,
                    "started_at": runner.began_us and runner.began_us / 1_000_000,
                }
                for runner in running[:RUNNING_SHOWN]
            ],
            "running_count": len(running),
            "ended": dict(self.attempts.ended),
            "ended_kinds": dict(self.attempts.ended_kinds),
            "running_kinds": dict(Counter(runner.kind for runner in running)),
            "leftovers": self.attempts.leftovers,
            "unbound": capacity.unbound,
            "waiting_bytes": capacity.waiting_bytes,
            "contact_age_s": None if math.isinf(age_s) else round(age_s, 1),
        }

    def _facts(self) -> Facts:
        keeper, contact = self.keeper, self.keeper.contact
        paused, short = self.terms.now.paused, self.capacity.shortage
        unproven = self.capacity.unproven
        return Facts(
            in_session=keeper.claims is not None,
            rival=keeper.rival,
            unreached=_matter(contact.unreached or (keeper.refusal if not keeper.claims else None)),
            draining=self.claimer.draining,
            paused=None if paused is None else Matter(paused.reason),
            unproven=None if unproven is None else Matter(unproven.reason, unproven.hint or None),
            short=None if short is None else Matter(short.reason, short.hint),
            put_off=_matter(contact.put_off),
            running=len(self.attempts.running()),
            skew_s=keeper.skew_s,
        )


def _matter(error: OrchestratorError | None) -> Matter | None:
    return None if error is None else Matter(error.message, error.hint)
