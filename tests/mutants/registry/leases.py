"""Mistakes about who may still do something, and until when: G6, G13 and G16."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_OPERATIONS: Final = "orchestrator/server/operations"

MUTANTS: Final = (
    Mutant(
        name="lease-too-short",
        breaks=("G16.4",),
        file="orchestrator/core/lease.py",
        old="    latest = now - LEASE_US - TICK_MAX_US\n",
        new="    latest = now - LEASE_US // 2\n",
        tests=tests_in("integration/store/test_upkeep.py", "test_a_lease_lasts_as_long_as_promised")
        + tests_in(
            "unit/core/test_rules.py", "test_a_lease_is_over_a_minute_and_a_tick_after_its_stamp"
        ),
    ),
    Mutant(
        name="lease-never-over",
        breaks=("G16.4", "G3.3"),
        file="orchestrator/core/lease.py",
        old="    return latest if latest >= floor else -1\n",
        new="    return latest if latest >= floor + 2**62 else -1\n",
        tests=tests_in(
            "unit/core/test_rules.py",
            "test_a_lease_is_over_a_minute_and_a_tick_after_its_stamp",
        ),
    ),
    Mutant(
        name="claim-worth-no-lease",
        breaks=("G16.4",),
        file=f"{_OPERATIONS}/upkeep.py",
        old="    WHERE attempt.claimed_lease_us + job.reattach_us <= :over\n        AND session",
        new="    WHERE session",
        tests=tests_in("integration/store/test_upkeep.py", "test_a_claim_is_worth_a_lease_too"),
    ),
    Mutant(
        name="leases-run-while-down",
        breaks=("G13.2",),
        file=f"{_OPERATIONS}/upkeep.py",
        old="UPDATE lease_clock SET floor_lease_us = now_lease_us WHERE one = 1",
        new="UPDATE lease_clock SET floor_lease_us = floor_lease_us WHERE one = 1",
        tests=tests_in("integration/store/test_upkeep.py", "test_downtime_costs_nobody_a_lease"),
    ),
    Mutant(
        name="lease-by-standstill",
        breaks=("G13.2", "G16.4"),
        file="orchestrator/core/lease.py",
        old="    return lease_now + max(0, min(elapsed_us, TICK_MAX_US))\n",
        new="    return lease_now + max(0, elapsed_us)\n",
        tests=tests_in(
            "integration/store/test_upkeep.py", "test_a_server_that_stood_still_loses_nobody"
        ),
    ),
    Mutant(
        name="sessions-end-with-the-server",
        breaks=("G13.1",),
        file=f"{_OPERATIONS}/upkeep.py",
        old="    tx.execute(_TELL_ALL_LIVE, now=tx.now_us)\n",
        new='    tx.execute("UPDATE session SET ended_us = 1 WHERE ended_us IS NULL")\n'
        "    tx.execute(_TELL_ALL_LIVE, now=tx.now_us)\n",
        tests=tests_in(
            "integration/server/test_worker_calls.py",
            "test_sessions_outlive_a_restart_of_the_server",
        ),
    ),
    Mutant(
        name="work-wakes-nobody",
        breaks=("G16.1",),
        file="orchestrator/server/live/dispatch.py",
        old="            waiter.wake()\n            full, count = 0, count - 1\n",
        new="            full, count = 0, count - 1\n",
        tests=tests_in("unit/server_api/test_dispatch.py", "test_work_wakes_only_who_satisfies_it")
        + tests_in("integration/server/test_worker_calls.py", "test_a_claim_waits_for_work"),
    ),
    Mutant(
        name="promise-of-the-departed-kept",
        breaks=("G16.1",),
        file="orchestrator/server/live/dispatch.py",
        old="            self.pass_on(waiter.promised)\n",
        new="            pass\n",
        tests=tests_in(
            "unit/server_api/test_dispatch.py",
            "test_a_promise_to_who_leaves_goes_to_the_next",
        ),
    ),
    Mutant(
        name="due-job-sleeps-on",
        breaks=("G16.1",),
        file=f"{_OPERATIONS}/upkeep.py",
        old="    WHERE due_us IS NOT NULL AND due_us <= :now ORDER",
        new="    WHERE due_us IS NOT NULL AND due_us <= :now - 60000000 ORDER",
        tests=tests_in(
            "integration/store/test_submit.py", "test_a_job_for_later_waits_for_its_moment"
        ),
    ),
    Mutant(
        name="order-by-newest",
        breaks=("G16.1",),
        file="orchestrator/core/order.py",
        old="            heappush(self._places, (head.rank, head.job_id, waiting.line.id))\n",
        new="            heappush(self._places, (-head.rank, head.job_id, waiting.line.id))\n",
        tests=tests_in("integration/store/test_claim.py", "test_order_holds_across_requirements"),
    ),
    Mutant(
        name="nobody-behind-is-looked-at",
        breaks=("G16.1",),
        file="orchestrator/core/order.py",
        old="self._next[:3] <= self._turns[0]\n",
        new="self._next[:3] < ()\n",
        tests=tests_in(
            "unit/core/test_turns.py", "test_what_is_known_gives_the_same_as_looking_at_all"
        ),
    ),
    Mutant(
        name="entry-unknown-to-its-key",
        breaks=("G16.1",),
        file=f"{_OPERATIONS}/lines.py",
        old="    note_turn(tx, key, job, turn)\n",
        new="",
        tests=tests_in(
            "integration/store/test_turns.py",
            "test_a_claim_gives_what_it_would_give_if_it_looked_at_all",
        ),
    ),
    Mutant(
        name="freed-key-stays-shut",
        breaks=("G16.1",),
        file=f"{_OPERATIONS}/lines.py",
        old="        open_sharing(tx, number)\n",
        new="",
        tests=tests_in(
            "integration/store/test_turns.py",
            "test_what_is_behind_closed_gates_is_not_looked_at_again_and_again",
        ),
    ),
    Mutant(
        name="heartbeat-renews-nothing",
        breaks=("G16.2", "G15.1"),
        file=f"{_OPERATIONS}/heartbeat.py",
        old="    UPDATE session SET renewed_us = :now, renewed_lease_us = :lease_now, offline",
        new="    UPDATE session SET renewed_us = :now + :lease_now - :lease_now, offline",
        tests=tests_in(
            "integration/store/test_heartbeat.py",
            "test_a_heartbeat_keeps_every_attempt_of_a_session",
        ),
    ),
    Mutant(
        name="kept-attempt-stays-with-the-old-session",
        breaks=("G16.2", "G14.3"),
        file=f"{_OPERATIONS}/sessions.py",
        old="        _move(changes, live[pair], session_id)\n",
        new="        assert session_id\n",
        tests=tests_in("integration/store/test_sessions.py", "test_what_runs_is_kept"),
    ),
    Mutant(
        name="offline-not-shown",
        breaks=("G16.3", "G16.5"),
        file=f"{_OPERATIONS}/views.py",
        old='    return row["session_ended_us"] is not None or row["silent_us"] >= OFFLINE_US\n',
        new='    return row["session_ended_us"] is not None\n',
        tests=tests_in(
            "integration/store/test_offline.py",
            "test_an_absent_worker_is_shown_offline_within_half_a_minute",
        ),
    ),
    Mutant(
        name="session-over-and-running",
        breaks=("G16.5",),
        file=f"{_OPERATIONS}/views.py",
        old='    return row["session_ended_us"] is not None or row["silent_us"] >= OFFLINE_US\n',
        new='    return row["silent_us"] >= OFFLINE_US\n',
        tests=tests_in(
            "integration/store/test_offline.py",
            "test_a_worker_that_said_good_bye_is_shown_offline_at_once",
        ),
    ),
    Mutant(
        name="offline-too-late",
        breaks=("G16.3",),
        file="orchestrator/protocol/limits.py",
        old="OFFLINE_AFTER_S: Final = 30.0",
        new="OFFLINE_AFTER_S: Final = 45.0",
        tests=tests_in(
            "integration/store/test_offline.py",
            "test_an_absent_worker_is_shown_offline_within_half_a_minute",
        ),
    ),
    Mutant(
        name="silence-not-in-the-story",
        breaks=("G16.5",),
        file=f"{_OPERATIONS}/upkeep.py",
        old="    silent = _note_silence(tx, clock)\n",
        new="    silent = 0\n",
        tests=tests_in(
            "integration/store/test_offline.py",
            "test_the_story_tells_of_silence_and_return_once_each",
        ),
    ),
)
