"""Mistakes of a whole server: upgrades (G19), backup and restore (G20), and bounds (G21)."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_OPERATIONS: Final = "orchestrator/server/operations"

MUTANTS: Final = (
    Mutant(
        name="newer-database-opened",
        breaks=("G19.2",),
        file="orchestrator/server/store/migration.py",
        old="    if newest > len(known):\n",
        new="    if newest > len(known) + 1000:\n",
        tests=tests_in(
            "integration/store/test_sqlite.py", "test_a_newer_database_is_refused_untouched"
        ),
    ),
    Mutant(
        name="backup-of-many-moments",
        breaks=("G20.1",),
        file="orchestrator/server/store/sqlite_snapshot.py",
        old='        raw.execute("BEGIN")\n',
        new="",
        tests=tests_in(
            "integration/server/test_backup.py",
            "test_a_backup_is_one_moment_of_a_server_that_goes_on",
        ),
    ),
    Mutant(
        name="backup-without-output",
        breaks=("G20.1",),
        file="orchestrator/server/backup/making.py",
        old="        wanted = [*self._parts(copy), *self._uploads(copy)]\n",
        new="        wanted = [*self._uploads(copy)]\n",
        tests=tests_in(
            "integration/server/test_backup.py", "test_everything_of_a_server_comes_back"
        ),
    ),
    Mutant(
        name="damaged-backup-restored",
        breaks=("G20.1",),
        file="orchestrator/server/backup/restoring.py",
        old="    compare(manifest, found)\n",
        new="    assert found\n",
        tests=tests_in(
            "integration/server/test_backup.py",
            "test_a_damaged_backup_is_refused_and_nothing_is_changed",
        ),
    ),
    Mutant(
        name="restored-jobs-run-by-themselves",
        breaks=("G20.2",),
        file="orchestrator/core/job.py",
        old="    return _walk(job, E.RESTORED, reason=Reason.RESTORED, pending_reason="
        "PendingReason.HELD)\n",
        new="    return _stay(job)\n",
        tests=tests_in("integration/store/test_restoration.py", "test_what_waited_is_held"),
    ),
    Mutant(
        name="only-some-jobs-held",
        breaks=("G20.2",),
        file="orchestrator/server/backup/restoring.py",
        old="        if not some:\n            return held\n",
        new="        return held\n",
        tests=tests_in("integration/store/test_restoration.py", "test_many_jobs_are_held"),
    ),
    Mutant(
        name="numbers-of-tries-come-twice",
        breaks=("G20.3", "G4.7"),
        file=f"{_OPERATIONS}/restoration.py",
        old="    floor = max(job.attempt, tx.now_us // 1000) + leap\n",
        new="    floor = job.attempt\n",
        tests=tests_in(
            "integration/store/test_restoration.py", "test_no_number_of_a_try_comes_twice"
        ),
    ),
    Mutant(
        name="numbers-of-tries-by-the-clock-alone",
        breaks=("G20.3", "G4.7"),
        file=f"{_OPERATIONS}/restoration.py",
        old="    floor = max(job.attempt, tx.now_us // 1000) + leap\n",
        new="    floor = max(job.attempt, tx.now_us // 1000)\n",
        tests=tests_in(
            "integration/store/test_restoration.py",
            "test_no_number_comes_twice_although_the_clock_was_set_back",
        ),
    ),
    Mutant(
        name="try-of-another-restore-not-heard",
        breaks=("G20.3",),
        file=f"{_OPERATIONS}/restoration.py",
        old="job.attempt_floor IS NOT NULL\n",
        new="job.attempt_floor >= column2\n",
        tests=tests_in(
            "integration/store/test_restoration.py",
            "test_a_try_that_another_restore_gave_out_is_heard_of_as_well",
        ),
    ),
    Mutant(
        name="try-of-another-restore-given-out-again",
        breaks=("G20.3",),
        file=f"{_OPERATIONS}/restoration.py",
        old="    tx.many(_NUMBER_ON, tries)\n",
        new="",
        tests=tests_in(
            "integration/store/test_restoration.py",
            "test_a_try_that_another_restore_gave_out_is_heard_of_as_well",
        ),
    ),
    Mutant(
        name="unknown-try-not-heard",
        breaks=("G20.3",),
        file=f"{_OPERATIONS}/sessions.py",
        old="    note_unknown(tx, pairs, worker_id=worker_id, session_id=session_id)\n",
        new="",
        tests=tests_in(
            "integration/store/test_restoration.py",
            "test_a_try_that_the_backup_did_not_know_is_heard_of_as_well",
        ),
    ),
    Mutant(
        name="unknown-try-not-heard-in-old-session",
        breaks=("G20.3",),
        file=f"{_OPERATIONS}/report.py",
        old="        if unknown and note_unknown(\n",
        new="        if len(unknown) > len(pairs) and note_unknown(\n",
        tests=tests_in(
            "integration/store/test_restoration.py", "test_a_session_of_before_is_heard_as_well"
        ),
    ),
    Mutant(
        name="sessions-outlive-a-restore",
        breaks=("G20.3",),
        file=f"{_OPERATIONS}/restoration.py",
        old='    tx.execute("UPDATE session SET ended_us = :now WHERE ended_us IS NULL",'
        " now=tx.now_us)\n",
        new="",
        tests=tests_in("integration/store/test_restoration.py", "test_sessions_of_before_are_over"),
    ),
    Mutant(
        name="pieces-not-added-up",
        breaks=("G21.1", "G21.2"),
        file="orchestrator/server/edge/body.py",
        old="        size += len(part)\n        if size",
        new="        size = len(part)\n        if size",
        tests=tests_in(
            "integration/server/test_bad_requests.py",
            "test_a_body_of_two_mebibytes_is_refused",
        )
        + tests_in(
            "integration/server/test_files.py", "test_a_file_that_is_too_long_leaves_nothing"
        ),
    ),
    Mutant(
        name="heads-of-any-size",
        breaks=("G21.2",),
        file="orchestrator/server/edge/head.py",
        old="    if len(headers) > HEADERS or size > HEAD_BYTES:\n",
        new="    if len(headers) > 1000 * HEADERS:\n",
        tests=tests_in("integration/server/test_edge.py", "test_long_heads_are_refused"),
    ),
    Mutant(
        name="endless-head-kept",
        breaks=("G21.1", "G21.2"),
        file="orchestrator/server/edge/connection.py",
        old="            if self._head_bytes > _RAW_HEAD_BYTES and",
        new="            if self._head_bytes < 0 and",
        tests=tests_in("integration/server/test_edge.py", "test_a_head_without_end_is_cut_off"),
    ),
    Mutant(
        name="connections-without-end",
        breaks=("G21.1", "G21.2"),
        file="orchestrator/server/edge/connection.py",
        old="        full = len(self.connections) > self.config.connections\n",
        new="        full = len(self.connections) < 0\n",
        tests=tests_in("integration/server/test_edge.py", "test_connections_have_an_end"),
    ),
    Mutant(
        name="refused-without-a-when",
        breaks=("G21.2",),
        file="orchestrator/server/edge/connection.py",
        old='            more["retry-after"] = str(retry_s)\n',
        new='            more["x-retry-after"] = str(retry_s)\n',
        tests=tests_in("integration/server/test_edge.py", "test_connections_have_an_end"),
    ),
    Mutant(
        name="streams-without-end",
        breaks=("G21.1", "G21.2"),
        file="orchestrator/server/live/sse.py",
        old="        if full or self._open[principal] >= self._per_principal:\n",
        new="        if full:\n",
        tests=tests_in("unit/server_api/test_streams.py", "test_streams_are_counted_and_given_back")
        + tests_in("integration/server/test_output.py", "test_streams_are_counted_by_principal"),
    ),
    Mutant(
        name="guesses-without-end",
        breaks=("G21.2",),
        file="orchestrator/server/access/guesses.py",
        old="        if self._wrong[address] >= TRIES:\n",
        new="        if self._wrong[address] < 0:\n",
        tests=tests_in(
            "unit/server_api/test_access_rules.py",
            "test_guesses_are_counted_by_address_and_forgotten",
        ),
    ),
    Mutant(
        name="trickling-body-kept",
        breaks=("G21.1",),
        file="orchestrator/server/edge/connection.py",
        old="        elif self._is_trickling(now) or self._is_unread(now):\n",
        new="        elif self._is_unread(now):\n",
        tests=tests_in("integration/server/test_edge.py", "test_a_trickling_body_is_cut_off"),
    ),
    Mutant(
        name="result-of-any-size",
        breaks=("G21.1",),
        file=f"{_OPERATIONS}/results.py",
        old="    if size > RESULT_BYTES:\n",
        new="    if not RESULT_BYTES:\n",
        tests=tests_in(
            "integration/store/test_report_results.py",
            "test_a_result_that_is_too_large_fails_the_job",
        ),
    ),
    Mutant(
        name="no-room-kept-back",
        breaks=("G21.2",),
        file="orchestrator/server/reserve.py",
        old="            self._give_up(self._free())\n            return was_held\n",
        new="            return False\n",
        tests=tests_in(
            "integration/server/test_full_disk.py",
            "test_ends_are_taken_in_while_the_disk_is_full",
        ),
    ),
    Mutant(
        name="stream-without-end",
        breaks=("G21.1",),
        file="orchestrator/server/live/sse.py",
        old="            with anyio.move_on_after(STREAM_S):\n",
        new="            with anyio.move_on_after(1e9):\n",
        tests=tests_in(
            "integration/server/test_timeline.py", "test_a_stream_does_not_live_for_ever"
        ),
    ),
)
