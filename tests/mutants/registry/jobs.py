"""Mistakes about jobs that people submit: G1, and the numbers of G3."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_OPERATIONS: Final = "orchestrator/server/operations"

MUTANTS: Final = (
    Mutant(
        name="synchronous-off",
        breaks=("G1.1",),
        file="orchestrator/server/store/sqlite_connection.py",
        old='"synchronous = FULL",',
        new='"synchronous = NORMAL",',
        tests=tests_in("integration/store/test_sqlite.py", "test_the_writer_is_durable"),
    ),
    Mutant(
        name="answered-before-commit",
        breaks=("G1.1",),
        file="orchestrator/server/store/writer.py",
        old="self._deliver(group, self._settled(group))",
        new="self._deliver(group, ()); self._settled(group)",
        tests=tests_in(
            "integration/store/test_interface.py", "test_what_was_answered_is_there_for_others"
        )
        + tests_in("integration/store/test_sqlite.py", "test_a_commit_that_fails_answers_nobody"),
    ),
    Mutant(
        name="failed-commit-survived",
        breaks=("G1.1",),
        file="orchestrator/server/store/writer.py",
        old="            self._broken = error\n            self._fail(group, error)\n"
        "            self._fatal(error)\n            return False",
        new="            return True",
        tests=tests_in(
            "integration/store/test_sqlite.py",
            "test_a_commit_that_fails_answers_nobody",
            "test_a_commit_that_fails_ends_the_process",
        ),
    ),
    Mutant(
        name="young-jobs-forgotten",
        breaks=("G1.1", "G1.4"),
        file="orchestrator/core/retention.py",
        old="return now_us - max(kept_us, KEY_KEPT_US)",
        new="return now_us - kept_us",
        tests=tests_in(
            "integration/store/test_retention.py", "test_a_job_is_kept_as_long_as_its_key"
        ),
    ),
    Mutant(
        name="unfinished-jobs-forgotten",
        breaks=("G1.1",),
        file=f"{_OPERATIONS}/retention.py",
        old="    state = :state AND finished_us < :before AND EXISTS (",
        new="    :state <> '' AND created_us < :before AND EXISTS (",
        tests=tests_in("integration/store/test_retention.py", "test_what_is_not_finished_stays"),
    ),
    Mutant(
        name="needed-jobs-forgotten",
        breaks=("G1.1",),
        file=f"{_OPERATIONS}/retention.py",
        old="WHERE job_dependency.parent_id = job.id AND job_dependency.failure IS NULL",
        new="WHERE job_dependency.parent_id = '' AND job_dependency.failure IS NULL",
        tests=tests_in(
            "integration/store/test_retention.py", "test_what_another_job_depends_on_is_kept"
        ),
    ),
    Mutant(
        name="step-for-many-taken-twice",
        breaks=("G1.2",),
        file=f"{_OPERATIONS}/bulk.py",
        old='if row is None or row["position"] != was or row["finished_us"] is not None:',
        new="if row is None:",
        tests=tests_in(
            "integration/store/test_bulk.py",
            "test_an_order_goes_on_behind_the_last_job_after_a_crash",
        ),
    ),
    Mutant(
        name="key-not-looked-up",
        breaks=("G1.2",),
        file=f"{_OPERATIONS}/idempotency.py",
        old="    if known is not None:",
        new="    if known is not None and known['body_sha256'] != key.body_sha256:",
        tests=tests_in(
            "integration/store/test_people.py",
            "test_a_repeated_request_is_answered_and_not_repeated",
        ),
    ),
    Mutant(
        name="key-of-everybody",
        breaks=("G1.2",),
        file=f"{_OPERATIONS}/idempotency.py",
        old='"WHERE principal = :principal AND route = :route AND request_key = :key",',
        new="\"WHERE :principal <> '' AND route = :route AND request_key = :key\",",
        tests=tests_in(
            "integration/store/test_people.py", "test_a_key_belongs_to_one_principal_and_route"
        ),
    ),
    Mutant(
        name="key-takes-any-body",
        breaks=("G1.3",),
        file=f"{_OPERATIONS}/idempotency.py",
        old='if known["body_sha256"] != key.body_sha256:',
        new="if key is None:",
        tests=tests_in(
            "integration/store/test_people.py", "test_a_key_with_another_request_is_refused"
        )
        + tests_in(
            "integration/server/test_jobs.py", "test_the_same_key_with_another_body_is_refused"
        ),
    ),
    Mutant(
        name="refused-request-uses-its-key",
        breaks=("G1.3",),
        file="orchestrator/server/store/writer.py",
        old="            self._engine.undo_operation()\n",
        new="",
        tests=tests_in(
            "integration/store/test_interface.py", "test_a_refusal_leaves_nothing_behind"
        ),
    ),
    Mutant(
        name="attempt-not-raised",
        breaks=("G3.4",),
        file=f"{_OPERATIONS}/claim.py",
        old="attempt = 1 + CASE",
        new="attempt = 0 + CASE",
        tests=tests_in(
            "integration/store/test_claim.py",
            "test_a_claimed_job_is_leased_with_the_next_attempt_number",
        ),
    ),
    Mutant(
        name="claimed-while-leased",
        breaks=("G3.1",),
        file=f"{_OPERATIONS}/claim.py",
        old="    UPDATE job SET state = 'leased', pending_reason = 'starting',",
        new="    UPDATE job SET state = 'queued', pending_reason = NULL,",
        tests=tests_in("integration/store/test_claim.py", "test_each_job_is_given_once"),
    ),
    Mutant(
        name="claim-of-a-dead-session",
        breaks=("G3.1",),
        file=f"{_OPERATIONS}/ownership.py",
        old='    if row["ended_us"] is not None:',
        new='    if row["ended_us"] == 0:',
        tests=tests_in(
            "integration/store/test_claim.py", "test_a_session_that_is_over_gets_nothing"
        ),
    ),
    Mutant(
        name="repeated-claim-gives-more",
        breaks=("G3.2",),
        file=f"{_OPERATIONS}/claim.py",
        old='    if request.number == session["claim_number"]:',
        new='    if request.number == session["claim_number"] - 1:',
        tests=tests_in(
            "integration/store/test_claim.py",
            "test_a_repeated_claim_returns_the_same_attempts",
        ),
    ),
    Mutant(
        name="overtaken-claim-served",
        breaks=("G3.2",),
        file=f"{_OPERATIONS}/claim.py",
        old='    if request.number < session["claim_number"]:',
        new='    if request.number < session["claim_number"] - 1000:',
        tests=tests_in(
            "integration/store/test_claim.py",
            "test_a_claim_that_went_astray_is_given_nothing",
        ),
    ),
    Mutant(
        name="lost-claim-asked-anew",
        breaks=("G3.2",),
        file="worker/logic/session.py",
        old="        if self._asked is None:\n",
        new="        if True:\n            self.seen += self._asked is not None\n",
        tests=tests_in(
            "unit/worker/logic/test_session.py",
            "test_a_claim_whose_answer_was_lost_is_repeated_word_for_word",
        )
        + tests_in(
            "integration/worker/test_outages.py",
            "test_a_claim_whose_answer_was_lost_is_repeated_with_its_number",
        ),
    ),
    Mutant(
        name="lost-grant-never-missed",
        breaks=("G3.3",),
        file=f"{_OPERATIONS}/heartbeat.py",
        old="    give_back(tx, changes, lost_on_the_way)",
        new="    give_back(tx, changes, lost_on_the_way[:0])",
        tests=tests_in(
            "integration/store/test_heartbeat.py", "test_a_grant_that_never_arrived_goes_back"
        ),
    ),
    Mutant(
        name="grant-under-way-taken-back",
        breaks=("G3.1", "G3.3"),
        file=f"{_OPERATIONS}/heartbeat.py",
        old="        and held.attempt.claim_number <= request.claim_seen\n",
        new="",
        tests=tests_in(
            "integration/store/test_heartbeat.py",
            "test_a_grant_that_is_under_way_is_left_alone",
        ),
    ),
    Mutant(
        name="unwanted-claim-taken",
        breaks=("G3.1",),
        file="worker/services/claimer.py",
        old="return claims.awaits(request) and claims is self._keeper.claims",
        new="return claims.awaits(request)",
        tests=tests_in(
            "integration/worker/test_services.py",
            "test_what_arrives_just_as_a_session_ends_is_not_taken",
        ),
    ),
)
