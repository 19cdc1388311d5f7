"""Mistakes about bytes: uploads (G2), output (G9) and event streams (G18)."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_OPERATIONS: Final = "orchestrator/server/operations"
_PLAN: Final = f"{_OPERATIONS}/output_plan.py"

MUTANTS: Final = (
    Mutant(
        name="uploader-not-woken",
        breaks=("G9.5",),
        file="worker/services/courier.py",
        old="        self.outbox.land(keys)\n        self._work.ring()\n",
        new="        self.outbox.land(keys)\n",
        tests=tests_in(
            "integration/worker/test_outages.py",
            "test_output_that_became_too_much_for_a_report_while_one_was_lost_arrives",
        ),
    ),
    Mutant(
        name="unknown-input-accepted",
        breaks=("G2.3",),
        file=f"{_OPERATIONS}/submit.py",
        old="    if missing:\n",
        new="    if len(missing) > len(seen):\n",
        tests=tests_in(
            "integration/store/test_submit.py",
            "test_a_job_whose_input_is_not_stored_is_refused",
        ),
    ),
    Mutant(
        name="wrong-bytes-used",
        breaks=("G2.3",),
        file="worker/inputs.py",
        old="                if found == sha256:\n",
        new="                if found:\n",
        tests=tests_in("integration/worker/test_inputs.py", "test_wrong_bytes_are_never_used"),
    ),
    Mutant(
        name="used-file-forgotten",
        breaks=("G2.1", "G2.3"),
        file=f"{_OPERATIONS}/retention.py",
        old="AND NOT EXISTS (SELECT 1 FROM job_file WHERE job_file.sha256 = file.sha256)\n",
        new="\n",
        tests=tests_in(
            "integration/store/test_retention.py", "test_a_file_goes_a_week_after_its_last_use"
        ),
    ),
    Mutant(
        name="name-is-not-of-the-content",
        breaks=("G2.2",),
        file="orchestrator/server/files.py",
        old="        if len(waiting) >= PIECE_BYTES:\n"
        "            await to_thread.run_sync(_append, file, digest, bytes(waiting))\n",
        new="        if len(waiting) >= PIECE_BYTES:\n"
        "            await to_thread.run_sync(_append, file, digest.copy(), bytes(waiting))\n",
        tests=tests_in("integration/server/test_files.py", "test_a_file_is_named_by_its_content"),
    ),
    Mutant(
        name="cut-off-upload-stays",
        breaks=("G2.4",),
        file="orchestrator/server/files.py",
        old="        finally:\n            temporary.unlink(missing_ok=True)\n",
        new="        finally:\n            pass\n",
        tests=tests_in(
            "integration/server/test_files.py", "test_an_upload_that_is_cut_off_leaves_nothing"
        ),
    ),
    Mutant(
        name="leftovers-of-a-crash-stay",
        breaks=("G2.4",),
        file="orchestrator/server/files.py",
        old="            leftover.unlink()\n",
        new="            leftover.exists()\n",
        tests=tests_in(
            "integration/server/test_files.py",
            "test_what_a_crash_left_is_removed_at_the_next_start",
        ),
    ),
    Mutant(
        name="known-output-stored-twice",
        breaks=("G9.1",),
        file=_PLAN,
        old="    new = frames[ends.index(known) :]\n",
        new="    new = frames\n",
        tests=tests_in("integration/store/test_output.py", "test_repeated_output_is_stored_once")
        + tests_in(
            "unit/server/test_output_plan.py", "test_however_it_is_sent_the_log_is_the_same"
        ),
    ),
    Mutant(
        name="output-behind-a-gap-taken",
        breaks=("G9.1",),
        file=_PLAN,
        old="    if known < 0 or known >= len(data):\n        return None\n",
        new="    known = max(0, known)\n    if known >= len(data):\n        return None\n",
        tests=tests_in("integration/store/test_output.py", "test_output_behind_a_gap_is_not_taken"),
    ),
    Mutant(
        name="damaged-output-stored",
        breaks=("G9.1",),
        file=_PLAN,
        old="    if ends[-1] != len(data) or known not in ends:\n",
        new="    if known not in ends:\n",
        tests=tests_in("integration/store/test_output.py", "test_damaged_output_is_refused"),
    ),
    Mutant(
        name="anybody-writes-output",
        breaks=("G9.1", "G6.1"),
        file=f"{_OPERATIONS}/output.py",
        old='        AND attempt.session_id = :session_id AND attempt.outcome IS NULL\n"""\n_SAVE:',
        new='        AND :session_id <> \'\'\n"""\n_SAVE:',
        tests=tests_in("integration/store/test_output.py", "test_nobody_else_may_write"),
    ),
    Mutant(
        name="output-counts-before-it-is-written",
        breaks=("G9.1",),
        file="orchestrator/server/output_intake.py",
        old="            self._logs.write(key.job_id, key.attempt, growth.pieces)\n",
        new="            self._logs.write(key.job_id, key.attempt, growth.pieces[:0])\n",
        tests=tests_in("integration/store/test_output_files.py", "test_large_output_goes_to_files"),
    ),
    Mutant(
        name="streams-mixed-up",
        breaks=("G9.1",),
        file="worker/shim/attempt.py",
        old="        given.append(stderr := output.pipe(FrameType.ERR))\n",
        new="        given.append(stderr := output.pipe(FrameType.OUT))\n",
        tests=tests_in(
            "integration/shim/test_output.py", "test_both_streams_are_kept_apart_and_exact"
        ),
    ),
    Mutant(
        name="last-words-lost",
        breaks=("G9.1",),
        file="worker/shim/escort.py",
        old="        self._output.read_rest()\n",
        new="        self._output.close()\n",
        tests=tests_in(
            "integration/shim/test_output.py", "test_the_last_words_of_the_stopped_are_kept"
        ),
    ),
    Mutant(
        name="head-not-kept",
        breaks=("G9.3",),
        file=_PLAN,
        old="        parts=head + tail[fallen:],\n",
        new="        parts=tail[fallen:],\n",
        tests=tests_in(
            "integration/store/test_output_files.py", "test_over_the_cap_head_and_tail_stay"
        ),
    ),
    Mutant(
        name="gap-counted-wrongly",
        breaks=("G9.3",),
        file=_PLAN,
        old="sum(part.own_bytes for part in tail[:fallen]),",
        new="sum(part.length for part in tail[:fallen]),",
        tests=tests_in(
            "integration/store/test_output_files.py", "test_over_the_cap_head_and_tail_stay"
        ),
    ),
    Mutant(
        name="no-cap",
        breaks=("G9.3", "G21.1"),
        file=_PLAN,
        old="    if not _fills(log.parts, OUTPUT_CAP_BYTES + 1):\n",
        new="    if not _fills(log.parts, 2 * OUTPUT_CAP_BYTES + 1):\n",
        tests=tests_in(
            "integration/store/test_output_files.py", "test_over_the_cap_head_and_tail_stay"
        ),
    ),
    Mutant(
        name="gap-told-wrongly",
        breaks=("G9.3",),
        file="orchestrator/server/live/following.py",
        old="    if chunk.offset > position.offset:\n        gap =",
        new="    if chunk.offset > output.length:\n        gap =",
        tests=tests_in("integration/server/test_output.py", "test_what_was_left_out_is_said"),
    ),
    Mutant(
        name="end-does-not-wait-for-output",
        breaks=("G9.4",),
        file=f"{_OPERATIONS}/report.py",
        old="        if log.length < event.output_length and not event.output_final:\n",
        new="        if log.length > event.output_length:\n",
        tests=tests_in("integration/store/test_output.py", "test_an_end_waits_for_its_output"),
    ),
    Mutant(
        name="digest-not-compared",
        breaks=("G9.4",),
        file=f"{_OPERATIONS}/report.py",
        old="and log.digest.hex() != digest:\n",
        new="and not digest:\n",
        tests=tests_in(
            "integration/store/test_output.py",
            "test_output_that_was_altered_is_shown_as_missing",
        ),
    ),
    Mutant(
        name="digest-of-the-rest-told",
        breaks=("G9.4",),
        file="worker/spool/tail.py",
        old="            self._length, self._digest = offset, None\n",
        new="            self._length = offset\n",
        tests=tests_in(
            "integration/spool/test_holes.py",
            "test_what_a_power_cut_took_between_two_segments_is_a_hole",
        ),
    ),
    Mutant(
        name="missing-output-not-told",
        breaks=("G9.4",),
        file=f"{_OPERATIONS}/report.py",
        old="    attempt.missing_bytes = _missing_bytes(log, event)\n",
        new="    attempt.missing_bytes = 0\n",
        tests=tests_in(
            "integration/store/test_output.py",
            "test_output_that_will_never_come_is_shown_as_missing",
        ),
    ),
    Mutant(
        name="unsent-output-removed",
        breaks=("G9.5",),
        file="worker/spool/attempt_log.py",
        old="            if not place.reached or place.log.length > offset:\n",
        new="            if not place.reached:\n",
        tests=tests_in(
            "integration/spool/test_settling.py",
            "test_acknowledged_output_of_a_long_attempt_goes_first",
        )
        + tests_in(
            "integration/shim/test_segments.py",
            "test_a_long_attempt_does_not_keep_all_its_output",
            "test_a_long_attempt_is_found_in_all_its_segments",
        ),
    ),
    Mutant(
        name="spool-without-a-limit",
        breaks=("G9.6", "G21.1"),
        file="worker/shim/journal.py",
        old="+ layout.ROTATE_BYTES <= self.most_bytes",
        new="+ layout.ROTATE_BYTES <= 1000 * self.most_bytes",
        tests=tests_in(
            "integration/shim/test_spool_limit.py",
            "test_what_nobody_fetches_is_bounded_and_the_gap_is_told",
        ),
    ),
    Mutant(
        name="gap-in-silence",
        breaks=("G9.6",),
        file="worker/shim/output.py",
        old="            self._write(FrameType.NOTE, _BEGIN.encode())\n",
        new="            pass\n",
        tests=tests_in("integration/shim/test_gap.py", "test_a_gap_is_counted_to_the_byte")
        + tests_in(
            "integration/shim/test_spool_limit.py",
            "test_what_nobody_fetches_is_bounded_and_the_gap_is_told",
        ),
    ),
    Mutant(
        name="gap-miscounted",
        breaks=("G9.6",),
        file="worker/shim/output.py",
        old="        self._gap = (self._gap or 0) + size\n",
        new="        self._gap = (self._gap or 0) + 1\n",
        tests=tests_in("integration/shim/test_gap.py", "test_a_gap_is_counted_to_the_byte"),
    ),
    Mutant(
        name="stream-repeats-its-last-piece",
        breaks=("G18.1",),
        file="orchestrator/server/live/following.py",
        old="exclude_none=True), id=view.cursor)\n",
        new="exclude_none=True), id=str(position))\n",
        tests=tests_in(
            "integration/server/test_output.py", "test_a_stream_goes_on_where_it_was_cut"
        ),
    ),
    Mutant(
        name="timeline-repeats-its-last-event",
        breaks=("G18.1",),
        file="orchestrator/server/live/timeline.py",
        old="                after = events[-1].seq\n",
        new="                after = events[-1].seq - 1\n",
        tests=tests_in(
            "integration/server/test_timeline.py",
            "test_a_stream_of_events_has_no_gap_and_no_repeat",
        ),
    ),
    Mutant(
        name="timeline-skips-an-event",
        breaks=("G18.1",),
        file="orchestrator/server/live/timeline.py",
        old="                after = events[-1].seq\n",
        new="                after = events[-1].seq + 1\n",
        tests=tests_in(
            "integration/server/test_timeline.py",
            "test_a_stream_of_events_has_no_gap_and_no_repeat",
        ),
    ),
    Mutant(
        name="news-between-look-and-watch-lost",
        breaks=("G18.1",),
        file="orchestrator/server/live/bus.py",
        old="        if not self._raised:\n            self._event",
        new="        self._raised = False\n        if not self._raised:\n            self._event",
        tests=tests_in("unit/server_api/test_bus.py", "test_news_before_the_wait_are_not_lost"),
    ),
    Mutant(
        name="unread-answers-kept",
        breaks=("G18.2", "G21.1"),
        file="orchestrator/server/edge/connection.py",
        old="        elif self._is_trickling(now) or self._is_unread(now):\n",
        new="        elif self._is_trickling(now):\n",
        tests=tests_in(
            "integration/server/test_output_readers.py",
            "test_a_reader_that_takes_nothing_is_hung_up_on",
        ),
    ),
)
