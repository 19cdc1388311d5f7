"""Mistakes about how something ends, and who hears of it: G7, G8, G11 and G12."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_OPERATIONS: Final = "orchestrator/server/operations"

MUTANTS: Final = (
    Mutant(
        name="news-of-a-session-are-no-answer",
        breaks=("G11.2",),
        file="orchestrator/server/live/claiming.py",
        old="            return await renewed()\n",
        new="            while not (reply := await renewed()).orders:\n"
        "                await watch.changed(timeout_s=15)\n",
        tests=tests_in(
            "integration/server/test_heartbeats.py",
            "test_what_is_ended_by_force_is_abandoned_at_once",
        ),
    ),
    Mutant(
        name="terminal-state-left",
        breaks=("G7.1",),
        file="orchestrator/core/job_lifecycle.py",
        old="        (S.CANCELLING, E.CANCEL_FORCED): S.CANCELLED,\n",
        new="        (S.CANCELLING, E.CANCEL_FORCED): S.CANCELLED,\n"
        "        (S.SUCCEEDED, E.RETRY_PLANNED): S.SCHEDULED,\n",
        tests=tests_in("unit/core/test_job_lifecycle.py", "test_nothing_leaves_a_terminal_state"),
    ),
    Mutant(
        name="retry-not-linked",
        breaks=("G7.2",),
        file=f"{_OPERATIONS}/repeat.py",
        old="spec=wanted, retry_of=job_id)",
        new="spec=wanted)",
        tests=tests_in(
            "integration/store/test_hold.py", "test_a_finished_job_is_repeated_as_a_new_one"
        ),
    ),
    Mutant(
        name="repeated-end-refused",
        breaks=("G7.3",),
        file=f"{_OPERATIONS}/report.py",
        old="            elif _is_repeated(held.attempt, accepted):\n",
        new="            elif _is_repeated(held.attempt, accepted) and not accepted.job_id:\n",
        tests=tests_in(
            "integration/store/test_report.py", "test_a_report_repeated_gives_the_same_answer"
        ),
    ),
    Mutant(
        name="any-end-is-the-same",
        breaks=("G7.3", "G7.4"),
        file=f"{_OPERATIONS}/report.py",
        old="            return same and (event.outcome",
        new="            return attempt.outcome is not None or (event.outcome",
        tests=tests_in(
            "integration/store/test_report.py", "test_another_end_is_kept_and_changes_nothing"
        ),
    ),
    Mutant(
        name="late-result-replaced",
        breaks=("G7.4",),
        file=f"{_OPERATIONS}/report.py",
        old="        AND outcome IS NOT NULL AND late_result IS NULL\n",
        new="        AND outcome IS NOT NULL\n",
        tests=tests_in("integration/store/test_report.py", "test_a_late_result_is_kept_once"),
    ),
    Mutant(
        name="late-result-thrown-away",
        breaks=("G7.4", "G6.5"),
        file=f"{_OPERATIONS}/report.py",
        old="            self._late.append((held, event))\n",
        new="",
        tests=tests_in(
            "integration/store/test_report.py", "test_another_end_is_kept_and_changes_nothing"
        ),
    ),
    Mutant(
        name="told-before-recorded",
        breaks=("G8.1",),
        file="worker/shim/attempt.py",
        old='        reached("shim.exit_before_record")\n        office.journal.exit(record)\n',
        new='        reached("shim.exit_before_record")\n',
        tests=tests_in(
            "integration/shim/test_reattach.py",
            "test_a_command_that_ended_alone_is_found_with_its_end",
        ),
    ),
    Mutant(
        name="lost-report-forgotten",
        breaks=("G8.2",),
        file="worker/logic/outbox.py",
        old="            if lane := self._lanes.get(key):\n                lane.flight = None\n",
        new="            if (lane := self._lanes.get(key)) and lane.flight is None:\n"
        "                lane.flight = None\n",
        tests=tests_in("unit/worker/logic/test_outbox.py", "test_a_lost_report_is_made_again"),
    ),
    Mutant(
        name="spool-not-read-at-start",
        breaks=("G8.2", "G14.3"),
        file="worker/agent.py",
        old="            attempts.adopt(found)\n",
        new="            attempts.adopt([])\n",
        tests=tests_in(
            "integration/worker/test_restarts.py",
            "test_what_ended_while_nobody_looked_is_told",
        ),
    ),
    Mutant(
        name="settled-before-acknowledged",
        breaks=("G8.2",),
        file="worker/logic/lifecycle.py",
        old="        (S.RUNNING, E.OVER): S.ENDED,\n",
        new="        (S.RUNNING, E.OVER): S.SETTLED,\n",
        tests=tests_in("unit/worker/logic/test_attempt.py", "test_a_command_that_runs_to_its_end"),
    ),
    Mutant(
        name="ledger-settles-too-much",
        breaks=("G8.2",),
        file="worker/spool/spool.py",
        old="            if segment.disposable:\n",
        new="            if segment.closed:\n",
        tests=tests_in(
            "integration/spool/test_settling.py", "test_a_restart_finds_what_is_not_settled"
        ),
    ),
    Mutant(
        name="exit-never-synced",
        breaks=("G8.3",),
        file="worker/spool/spool.py",
        old="        at = time.monotonic() + EXIT_SYNC_S\n",
        new="        at = time.monotonic() + OUTPUT_SYNC_S\n",
        tests=tests_in(
            "integration/spool/test_settling.py",
            "test_an_end_that_nobody_acknowledges_is_synced",
        ),
    ),
    Mutant(
        name="output-never-synced",
        breaks=("G8.3",),
        file="worker/spool/spool.py",
        old="        self._sync_by(log, segment, time.monotonic() + OUTPUT_SYNC_S)\n",
        new="        assert segment\n",
        tests=tests_in(
            "integration/spool/test_settling.py",
            "test_output_is_synced_in_the_segment_that_it_is_in",
        ),
    ),
    Mutant(
        name="left-segment-not-synced",
        breaks=("G8.3",),
        file="worker/shim/journal.py",
        old="        os.fdatasync(old)\n",
        new="",
        tests=tests_in(
            "integration/shim/test_segments.py", "test_a_shim_syncs_what_it_leaves_behind"
        ),
    ),
    Mutant(
        name="cut-off-attempt-succeeded",
        breaks=("G8.4",),
        file="worker/logic/attempt.py",
        old="        outcome=Outcome.LOST if ran else Outcome.INDETERMINATE,\n"
        "        reason=Reason.WORKER_LOST if ran else Reason.OUTCOME_UNKNOWN,\n",
        new="        outcome=Outcome.SUCCEEDED,\n        reason=None,\n        exit_code=0,\n",
        tests=tests_in("unit/worker/logic/test_attempt.py", "test_what_vanished_is_not_guessed_at"),
    ),
    Mutant(
        name="wrong-exit-code",
        breaks=("G8.2",),
        file="worker/shim/escort.py",
        old="os.waitstatus_to_exitcode(status)\n",
        new="os.waitstatus_to_exitcode(status) & 127\n",
        tests=tests_in("integration/shim/test_surroundings.py", "test_an_exit_code_is_exact"),
    ),
    Mutant(
        name="cancelled-job-stays-queued",
        breaks=("G11.1",),
        file="orchestrator/core/job.py",
        old="    if job.state in PENDING:\n        return _walk(job, E.CANCELLED, reason",
        new="    if job.state in PENDING:\n        return _stay(job)\n"
        "        return _walk(job, E.CANCELLED, reason",
        tests=tests_in(
            "integration/store/test_cancel.py", "test_a_job_that_waits_is_cancelled_at_once"
        ),
    ),
    Mutant(
        name="cancelled-grant-started",
        breaks=("G11.1",),
        file="worker/logic/attempt.py",
        old="    if attempt.stop is not None:\n        return decide(attempt, Withdrawn",
        new="    if attempt.stop is Cause.PREEMPTED:\n        return decide(attempt, Withdrawn",
        tests=tests_in(
            "unit/worker/logic/test_attempt.py",
            "test_an_order_before_the_start_gives_the_attempt_back",
        ),
    ),
    Mutant(
        name="cancelled-job-retried",
        breaks=("G11.1", "G11.4"),
        file="orchestrator/core/job.py",
        old="    if job.state is S.CANCELLING:\n        return _brought_to_its_end(job,"
        " E.CANCEL_CONFIRMED)\n    return _walk(job, E.RELEASED)",
        new="    return _walk(replace(job, state=S.LEASED), E.RELEASED)",
        tests=tests_in(
            "integration/store/test_cancel.py",
            "test_a_grant_is_cancelled_before_it_starts",
        ),
    ),
    Mutant(
        name="cancel-order-said-once",
        breaks=("G11.2",),
        file=f"{_OPERATIONS}/heartbeat.py",
        old="        and not (pair in listed and listed[pair].cancelling)\n",
        new="        and pair not in listed\n",
        tests=tests_in(
            "integration/store/test_heartbeat.py",
            "test_a_cancel_is_ordered_until_the_worker_shows_it",
        ),
    ),
    Mutant(
        name="cancel-is-no-signal",
        breaks=("G11.2",),
        file="worker/shim/escort.py",
        old="                os.killpg(self._pid, signal.SIGTERM)\n",
        new="",
        tests=tests_in("integration/shim/test_ends.py", "test_a_stopped_command_may_tidy_up"),
    ),
    Mutant(
        name="leader-alone-told",
        breaks=("G11.2",),
        file="worker/shim/escort.py",
        old="                os.killpg(self._pid, signal.SIGTERM)\n",
        new="                os.kill(self._pid, signal.SIGTERM)\n",
        tests=tests_in(
            "integration/shim/test_ends.py",
            "test_who_is_told_has_the_grace_even_without_a_leader",
            "test_a_cancel_finds_everybody",
        ),
    ),
    Mutant(
        name="grace-never-over",
        breaks=("G11.2", "G12.2"),
        file="worker/shim/watch.py",
        old="        if now >= self._kill_at:\n",
        new="        if now >= self._kill_at + 3600:\n",
        tests=tests_in("unit/worker/shim/test_watch.py", "test_a_stop_gives_its_grace"),
    ),
    Mutant(
        name="found-shim-not-told",
        breaks=("G11.3",),
        file="worker/spool/shims.py",
        old="        self._signal(layout.CANCEL_SIGNAL if cause is Cause.CANCELLED else"
        " layout.PREEMPT_SIGNAL)\n",
        new="",
        tests=tests_in("integration/shim/test_reattach.py", "test_a_found_command_can_be_ended"),
    ),
    Mutant(
        name="end-overrules-cancel",
        breaks=("G11.4",),
        file="orchestrator/core/job.py",
        old="    if job.state is S.CANCELLING:\n        return _brought_to_its_end(job,"
        " E.CANCEL_CONFIRMED)\n    match",
        new="    if job.state is S.CANCELLING:\n        job = replace(job, state=S.RUNNING)\n"
        "    match",
        tests=tests_in(
            "integration/store/test_cancel.py",
            "test_whatever_happens_after_the_cancel_the_job_is_cancelled",
        ),
    ),
    Mutant(
        name="cancel-overrules-end",
        breaks=("G11.4", "G7.1"),
        file="orchestrator/core/job.py",
        old="    if job.state in TERMINAL:\n        return _stay(job)\n",
        new="",
        tests=tests_in("integration/store/test_cancel.py", "test_an_end_before_the_cancel_wins"),
    ),
    Mutant(
        name="timeout-of-the-wall-clock",
        breaks=("G12.1", "G12.3"),
        file="worker/shim/escort.py",
        old="            now = time.monotonic()\n            if watch",
        new="            now = time.time()\n            if watch",
        tests=tests_in(
            "integration/worker/test_jobs.py", "test_output_and_code_are_the_commands_own"
        ),
    ),
    Mutant(
        name="no-timeout",
        breaks=("G12.1",),
        file="worker/shim/watch.py",
        old="        if now >= self._run_until:\n",
        new="        if now >= self._quiet_until:\n",
        tests=tests_in(
            "integration/shim/test_ends.py", "test_a_command_that_takes_too_long_is_stopped"
        ),
    ),
    Mutant(
        name="timeout-postponed-by-words",
        breaks=("G12.1",),
        file="worker/shim/watch.py",
        old="            self._quiet_until = now + self._silence_s\n\n",
        new="            self._quiet_until = now + self._silence_s\n"
        "            self._run_until += self._silence_s\n\n",
        tests=tests_in(
            "unit/worker/shim/test_watch.py", "test_words_postpone_silence_and_not_the_end"
        ),
    ),
    Mutant(
        name="grace-grows-with-each-order",
        breaks=("G12.2",),
        file="worker/shim/watch.py",
        old="        self._kill_at = min(self._kill_at, now + grace_s)\n",
        new="        self._kill_at = now + grace_s\n",
        tests=tests_in(
            "unit/worker/shim/test_watch.py", "test_a_second_stop_only_shortens_the_grace"
        ),
    ),
    Mutant(
        name="stopped-shim-escapes",
        breaks=("G12.3",),
        file="worker/spool/shims.py",
        old="        overdue = anyio.current_time() >= self._kill_at\n",
        new="        overdue = False\n",
        tests=tests_in(
            "integration/shim/test_stopped.py",
            "test_a_found_shim_that_is_never_let_go_on_does_not_escape_its_timeout",
        ),
    ),
)
