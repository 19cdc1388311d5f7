"""Mistakes about how often something runs: G4, G5 and G6."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_OPERATIONS: Final = "orchestrator/server/operations"
_CORE_TESTS: Final = "unit/core/test_job.py"

MUTANTS: Final = (
    Mutant(
        name="grant-replayed",
        breaks=("G4.2",),
        file="worker/attempts.py",
        old="        if key not in self._runners:\n            once",
        new="        if key not in self._runners or True:\n            once",
        tests=tests_in(
            "integration/worker/test_outages.py",
            "test_an_attempt_that_is_granted_twice_is_started_once",
        ),
    ),
    Mutant(
        name="opening-repeated",
        breaks=("G4.2",),
        file=f"{_OPERATIONS}/sessions.py",
        old='request.number <= (newest["number"] or 0):',
        new="request.number <= 0:",
        tests=tests_in(
            "integration/store/test_sessions.py",
            "test_a_request_that_was_overtaken_ends_nothing",
        ),
    ),
    Mutant(
        name="grant-not-written",
        breaks=("G4.1", "G4.3"),
        file="worker/shim/journal.py",
        old="        has_room = self._note(FrameType.GRANT, self._grant)\n",
        new="        has_room = True\n",
        tests=tests_in(
            "integration/shim/test_deaths.py", "test_a_killed_shim_is_told_and_its_job_is_gone"
        ),
    ),
    Mutant(
        name="grant-without-news-given-back",
        breaks=("G4.5",),
        file="worker/spool/attempt_log.py",
        old="        return Vanished(may_have_run=tail.granted,",
        new="        return Vanished(may_have_run=tail.process is not None,",
        tests=tests_in(
            "integration/spool/test_found.py", "test_an_attempt_without_end_has_vanished"
        ),
    ),
    Mutant(
        name="indeterminate-called-failed",
        breaks=("G4.5", "G8.4"),
        file="worker/logic/attempt.py",
        old="outcome=Outcome.LOST if ran else Outcome.INDETERMINATE,",
        new="outcome=Outcome.LOST if ran else Outcome.FAILED,",
        tests=tests_in("unit/worker/logic/test_attempt.py", "test_what_vanished_is_not_guessed_at"),
    ),
    Mutant(
        name="forgotten-attempt-ignored",
        breaks=("G4.6",),
        file=f"{_OPERATIONS}/sessions.py",
        old="    lose(tx, changes, forgotten, Outcome.INDETERMINATE)\n",
        new="",
        tests=tests_in(
            "integration/store/test_sessions.py",
            "test_what_the_spool_forgot_is_lost_by_policy",
        ),
    ),
    Mutant(
        name="torn-record-believed",
        breaks=("G4.6", "G8.4"),
        file="orchestrator/protocol/frames.py",
        old="_CHECKED.pack(frame_type, time_us))) != crc:",
        new="_CHECKED.pack(frame_type, time_us))) == -1:",
        tests=tests_in(
            "integration/spool/test_found.py",
            "test_what_is_written_after_a_flipped_bit_is_not_believed",
        ),
    ),
    Mutant(
        name="other-spool-keeps-attempts",
        breaks=("G4.7",),
        file=f"{_OPERATIONS}/sessions.py",
        old='        lose(tx, changes, held_by(tx, old["id"]), Outcome.LOST)\n',
        new="",
        tests=tests_in("integration/store/test_sessions.py", "test_another_spool_may_take_over"),
    ),
    Mutant(
        name="one-retry-too-many",
        breaks=("G5.1",),
        file="orchestrator/core/retry.py",
        old="        return failures < self.max_attempts and",
        new="        return failures <= self.max_attempts and",
        tests=tests_in(
            "unit/core/test_retry.py",
            "test_a_job_is_tried_again_only_for_what_its_policy_names",
        )
        + tests_in(
            "integration/store/test_report.py",
            "test_a_failure_is_tried_again_as_the_policy_says",
        ),
    ),
    Mutant(
        name="two-tries-by-default",
        breaks=("G5.1",),
        file="orchestrator/core/retry.py",
        old="    max_attempts: int = 1\n",
        new="    max_attempts: int = 2\n",
        tests=tests_in(_CORE_TESTS, "test_each_happening_leads_where_it_should"),
    ),
    Mutant(
        name="every-failure-retried",
        breaks=("G5.1",),
        file="orchestrator/core/retry.py",
        old="and any(covers(word, failure) for word in self.on)",
        new="and bool(self.on)",
        tests=tests_in(
            "unit/core/test_retry.py",
            "test_a_job_is_tried_again_only_for_what_its_policy_names",
        ),
    ),
    Mutant(
        name="losses-not-counted",
        breaks=("G5.2",),
        file="orchestrator/core/job.py",
        old="    counted = replace(job, lost=job.lost + 1)\n",
        new="    counted = replace(job, lost=job.lost)\n",
        tests=tests_in("integration/store/test_upkeep.py", "test_a_lost_job_ends_as_poison"),
    ),
    Mutant(
        name="one-loss-too-many",
        breaks=("G5.2",),
        file="orchestrator/core/job.py",
        old="    if counted.lost > job.max_lost:\n",
        new="    if counted.lost > job.max_lost + 1:\n",
        tests=tests_in("integration/store/test_upkeep.py", "test_a_lost_job_ends_as_poison"),
    ),
    Mutant(
        name="losses-use-up-retries",
        breaks=("G5.1", "G5.2"),
        file="orchestrator/core/job.py",
        old="    counted = replace(job, lost=job.lost + 1)\n",
        new="    counted = replace(job, lost=job.lost + 1, failures=job.failures + 1)\n",
        tests=tests_in("integration/store/test_upkeep.py", "test_losses_do_not_use_up_retries"),
    ),
    Mutant(
        name="release-costs-a-try",
        breaks=("G5.1",),
        file="orchestrator/core/job.py",
        old="    return _walk(job, E.RELEASED)\n\n\ndef _lost",
        new="    return _walk(replace(job, failures=job.failures + 1), E.RELEASED)\n\n\ndef _lost",
        tests=tests_in(
            "integration/store/test_report.py",
            "test_a_release_puts_the_job_back_where_it_stood",
        )
        + tests_in(_CORE_TESTS, "test_preempted_and_released_attempts_count_in_nothing"),
    ),
    Mutant(
        name="lost-at-most-once-retried",
        breaks=("G5.3", "G5.5", "G6.4"),
        file="orchestrator/core/job.py",
        old="    if job.execution is Execution.AT_MOST_ONCE:\n        return _walk(counted",
        new="    if job.execution is None:\n        return _walk(counted",
        tests=tests_in(
            "integration/store/test_at_most_once.py",
            "test_when_the_window_is_over_the_outcome_is_unknown",
            "test_a_worker_that_forgot_it_ends_it",
        ),
    ),
    Mutant(
        name="failed-at-most-once-retried",
        breaks=("G5.5",),
        file="orchestrator/core/job.py",
        old="    once = job.execution is Execution.AT_MOST_ONCE\n",
        new="    once = False\n",
        tests=tests_in(_CORE_TESTS, "test_each_happening_leads_where_it_should"),
    ),
    Mutant(
        name="started-before-recorded",
        breaks=("G5.5",),
        file="worker/logic/attempt.py",
        old="    if attempt.once:\n        key",
        new="    if attempt.once and attempt.cancelling:\n        key",
        tests=tests_in(
            "unit/worker/logic/test_attempt.py",
            "test_what_may_run_only_once_waits_for_the_servers_word",
        )
        + tests_in(
            "integration/worker/test_at_most_once.py",
            "test_nothing_runs_before_the_server_has_the_start",
        ),
    ),
    Mutant(
        name="start-confirmed-to-nobody",
        breaks=("G5.5",),
        file=f"{_OPERATIONS}/report.py",
        old="            started=held.may_run(self._session_id),\n",
        new="            started=True,\n",
        tests=tests_in(
            "integration/store/test_at_most_once.py",
            "test_no_start_is_confirmed_that_nobody_wants",
        ),
    ),
    Mutant(
        name="finished-job-started-again",
        breaks=("G5.4", "G7.2"),
        file=f"{_OPERATIONS}/repeat.py",
        old="    if JobState(state) not in TERMINAL:\n",
        new="    if JobState(state) is JobState.HELD:\n",
        tests=tests_in("integration/store/test_hold.py", "test_what_is_not_over_is_not_repeated"),
    ),
    Mutant(
        name="stale-report-believed",
        breaks=("G6.1", "G7.4"),
        file=f"{_OPERATIONS}/report.py",
        old="            if held.is_entitled(self._session_id):\n",
        new="            if held.attempt.outcome is None or held.job.session_id is not None:\n",
        tests=tests_in("integration/store/test_report.py", "test_a_stale_report_changes_nothing")
        + tests_in(
            "integration/store/test_sessions.py",
            "test_the_old_session_does_not_speak_for_what_was_kept",
        ),
    ),
    Mutant(
        name="abandoned-attempt-goes-on",
        breaks=("G6.3",),
        file="worker/logic/attempt.py",
        old="    return replace(moved, stop=Cause.CANCELLED), (_ending(attempt, Cause.CANCELLED),)",
        new="    return replace(moved, stop=Cause.CANCELLED), ()",
        tests=tests_in(
            "integration/worker/test_orders.py",
            "test_an_abandoned_attempt_is_ended_in_silence",
        ),
    ),
    Mutant(
        name="nobody-told-to-abandon",
        breaks=("G6.3",),
        file=f"{_OPERATIONS}/heartbeat.py",
        old="    return [pair for pair in strange if pair not in reported]",
        new="    return [pair for pair in strange[:0] if pair not in reported]",
        tests=tests_in(
            "integration/store/test_heartbeat.py",
            "test_what_is_not_the_sessions_is_to_be_abandoned",
        ),
    ),
    Mutant(
        name="late-end-not-asked-for",
        breaks=("G6.3",),
        file=f"{_OPERATIONS}/sessions.py",
        old='    if one.phase == "ended" and pair in wanted_late:\n',
        new='    if one.phase == "ended" and pair in live:\n',
        tests=tests_in(
            "integration/store/test_sessions.py",
            "test_a_lost_attempt_that_ended_is_asked_for_its_account",
        ),
    ),
    Mutant(
        name="no-patience-with-absent-workers",
        breaks=("G6.4", "G6.5"),
        file="orchestrator/core/lease.py",
        old="    return max(0, window_us - LEASE_US) if execution",
        new="    return max(0, LEASE_US - LEASE_US) if execution",
        tests=tests_in(
            "integration/store/test_at_most_once.py", "test_an_absent_worker_is_waited_for"
        ),
    ),
)
