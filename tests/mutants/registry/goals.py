"""Mistakes about what one machine promises the person whose machine it is (docs/machine.md)."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_FLEET: Final = "integration/supervisor/test_fleet.py"
_DELEGATION: Final = "integration/kernel/test_delegation.py"
_RELOAD: Final = "integration/supervisor/test_reload.py"
_ROUTES: Final = "orchestrator/supervisor/control/routes.py"

MUTANTS: Final = (
    Mutant(
        name="second-request-changes-nothing",
        breaks=("M3",),
        file="orchestrator/supervisor/logic/shutdown.py",
        old="(Phase.DRAINING, Push.ASKED): Phase.INTERRUPTING",
        new="(Phase.DRAINING, Push.ASKED): Phase.DRAINING",
        tests=tests_in(_FLEET, "test_the_second_request_interrupts_everybody"),
    ),
    Mutant(
        name="silent-worker-left-alone",
        breaks=("G14.1", "M4"),
        file="orchestrator/supervisor/logic/child.py",
        old="    if now >= child.silent_at and child.state in {S.STARTING, S.READY, S.DRAINING}:",
        new="    if now >= child.silent_at and child.state is S.DRAINING:",
        tests=tests_in(_FLEET, "test_a_worker_that_hangs_is_replaced"),
    ),
    Mutant(
        name="refused-token-tried-all-the-time",
        breaks=("M5",),
        file="orchestrator/supervisor/logic/patience.py",
        old="77: 900.0, 78",
        new="77: 1.0, 78",
        tests=tests_in(_FLEET, "test_a_refused_token_waits_for_another_one"),
    ),
    Mutant(
        name="nobody-told-of-a-crash-loop",
        breaks=("M5",),
        file="orchestrator/supervisor/children.py",
        old="        if self.child.keeps_failing:\n",
        new="        if self.child.keeps_failing and self.child.was_ready:\n",
        tests=tests_in(_FLEET, "test_a_worker_that_keeps_ending_is_told_once"),
    ),
    Mutant(
        name="misspelt-key-without-a-guess",
        breaks=("M6",),
        file="orchestrator/supervisor/config/complaints.py",
        old='.replace("-", "_"), known, 1, 0.6)',
        new='.replace("-", "_"), known, 1, 0.99)',
        tests=tests_in(
            "integration/config/test_loading.py", "test_everything_that_is_wrong_is_told_at_once"
        ),
    ),
    Mutant(
        name="directory-not-looked-for",
        breaks=("M7",),
        file="orchestrator/supervisor/config/workers.py",
        old="                self._references.files.add(path)  # when it appears",
        new="                # when it appears",
        tests=tests_in(_FLEET, "test_bad_entries_stop_only_themselves"),
    ),
    Mutant(
        name="more-slots-restart-a-worker",
        breaks=("M8",),
        file="orchestrator/supervisor/logic/plan.py",
        old='        "concurrency": When.NOW,\n',
        new='        "concurrency": When.RESTARTS,\n',
        tests=tests_in(_RELOAD, "test_a_reload_does_what_its_plan_says"),
    ),
    Mutant(
        name="broken-file-without-a-banner",
        breaks=("M9",),
        file="orchestrator/supervisor/watcher.py",
        old="        self.banner = Banner(message, self._clock.now(), loaded.problems)\n",
        new="        Banner(message, self._clock.now(), loaded.problems)\n",
        tests=tests_in(
            "e2e/test_machine_verbs.py", "test_a_machine_with_a_file_is_reloaded_by_word"
        ),
    ),
    Mutant(
        name="file-that-the-group-reads-taken",
        breaks=("M10",),
        file="orchestrator/supervisor/config/modes.py",
        old="    loose = stat.S_IMODE(entry.st_mode) & 0o077\n",
        new="    loose = stat.S_IMODE(entry.st_mode) & 0o007\n",
        tests=tests_in(
            "integration/config/test_files.py", "test_a_file_with_a_token_is_for_its_owner_alone"
        ),
    ),
    Mutant(
        name="new-secret-restarts-a-worker",
        breaks=("M12",),
        file="orchestrator/supervisor/logic/plan.py",
        old='        "token": When.NOW,  # of',
        new='        "token": When.RESTARTS,  # of',
        tests=tests_in(_RELOAD, "test_a_token_in_a_file_of_its_own_is_watched"),
    ),
    Mutant(
        name="renewed-token-is-void-at-once",
        breaks=("M12",),
        file="orchestrator/server/operations/keys.py",
        old="WHERE retired_token.token_hash = :it",
        new="WHERE retired_token.token_hash IS NULL AND '' = :it",
        tests=tests_in(
            "integration/store/test_people.py", "test_a_renewed_token_is_accepted_for_a_while"
        ),
    ),
    Mutant(
        name="renewed-token-is-never-void",
        breaks=("M12",),
        file="orchestrator/server/operations/tokens.py",
        old="WHERE until_us <= :now",
        new="WHERE until_us IS NULL AND 0 <= :now",
        tests=tests_in(
            "integration/store/test_people.py", "test_a_renewed_token_is_accepted_for_a_while"
        ),
    ),
    Mutant(
        name="entry-that-waits-is-nobody",
        breaks=("M13",),
        file=_ROUTES,
        old="            if parked is None:\n",
        new="            if parked is not None:\n",
        tests=tests_in(
            "e2e/test_machine_verbs.py", "test_why_tells_of_an_entry_that_cannot_be_run"
        ),
    ),
    Mutant(
        name="end-of-a-pause-not-told",
        breaks=("M13", "M20"),
        file="orchestrator/supervisor/control/status.py",
        old="        if ends_at is None and until is not None:\n",
        new="        if ends_at is not None and until is not None:\n",
        tests=tests_in("e2e/test_machine_verbs.py", "test_a_pause_ends_by_itself"),
    ),
    Mutant(
        name="stop-takes-jobs-along",
        breaks=("M20",),
        file=_ROUTES,
        old='        if told.running_count and asked.running == "refuse":\n',
        new='        if not told.running_count and asked.running == "nothing":\n',
        tests=tests_in(
            "e2e/test_machine_verbs.py",
            "test_a_stop_is_refused_while_jobs_run_unless_somebody_says_what_of_them",
        ),
    ),
    Mutant(
        name="pause-without-an-end",
        breaks=("M20",),
        file="orchestrator/supervisor/logic/hold.py",
        old="return self.until is not None and now >= self.until",
        new="return self.until is None and now >= 0",
        tests=tests_in("unit/supervisor/test_hold.py", "test_a_hold_ends_at_its_moment"),
    ),
    Mutant(
        name="pause-forgotten-at-a-restart",
        breaks=("M20",),
        file="orchestrator/supervisor/holds.py",
        old='        write_private(self._path, json.dumps(kept, indent=2) + "\\n")\n',
        new="        json.dumps(kept)\n",
        tests=tests_in("unit/supervisor/test_hold.py", "test_holds_are_kept_for_the_next_run"),
    ),
    Mutant(
        name="everybody-may-order",
        breaks=("M22",),
        file="orchestrator/supervisor/control/http.py",
        old="    if peer.uid in {0, os.geteuid()}:\n",
        new="    if peer.uid >= 0 or os.geteuid():\n",
        tests=tests_in(
            "integration/supervisor/test_control_http.py", "test_another_user_is_not_answered"
        ),
    ),
    Mutant(
        name="secrets-pass-by-a-pattern",
        breaks=("M25",),
        file="worker/logic/environment.py",
        old="        return not (self._is_pattern and looks_secret(name, value))\n",
        new="        return self._is_pattern or not looks_secret(name, value) or True\n",
        tests=tests_in("unit/worker/logic/test_environment.py", "test_who_names_more_gets_more"),
    ),
    Mutant(
        name="disk-not-guarded",
        breaks=("M27",),
        file="worker/capacity.py",
        old="        if free < floor * relief:\n",
        new="        if free < 0 * floor * relief:\n",
        tests=tests_in(
            "integration/worker/test_live.py", "test_the_disk_is_guarded_as_it_is_said_now"
        ),
    ),
    Mutant(
        name="kept-worker-run-twice",
        breaks=("M34",),
        file="worker/cli.py",
        old="        program.check_alone(told.token())\n",
        new="",
        tests=tests_in(
            "integration/worker/test_setup.py", "test_a_worker_that_is_kept_already_is_refused"
        ),
    ),
    Mutant(
        name="second-orchestrator-runs",
        breaks=("M38",),
        file="orchestrator/supervisor/daemon.py",
        old='        with Lock(settings.state_dir / "lock").take("an orchestrator") as lock:\n',
        new='        with Lock(settings.state_dir / f"lock-{os.getpid()}").take("us") as lock:\n',
        tests=tests_in(_FLEET, "test_a_machine_has_one_orchestrator"),
    ),
    Mutant(
        name="limit-of-processes-not-told",
        breaks=("M24",),
        file="worker/shim/cell.py",
        old='after["pids"] = {"pids.max": str(grant.pids)}',
        new='after["pids"] = {"pids.max": "max"}',
        tests=tests_in("unit/worker/test_cell.py", "test_what_a_cell_is_told"),
    ),
    Mutant(
        name="shim-steps-where-nobody-may-live",
        breaks=("M24",),
        file="orchestrator/kernel/cgroups.py",
        old="places = (above, above / SUBGROUP)",
        new="places = (above,)",
        tests=tests_in(_DELEGATION, "test_groups_beside_one_that_hands_on_controllers"),
    ),
    Mutant(
        name="service-that-cannot-be-started-again",
        breaks=("M24",),
        file="orchestrator/kernel/delegation.py",
        old="is_ours = own.name == SUBGROUP or",
        new="is_ours = own.name != SUBGROUP or",
        tests=tests_in(_DELEGATION, "test_in_a_service_without_a_subgroup_nothing_is_handed_on"),
    ),
    Mutant(
        name="another-job-than-the-named-one",
        breaks=("M35",),
        file="orchestrator/server/operations/claim.py",
        old="    if request.job_id is not None:\n",
        new="    if request.job_id == worker_id:\n",
        tests=tests_in("integration/store/test_wish.py", "test_only_the_wished_job_is_given"),
    ),
    Mutant(
        name="held-job-waited-for",
        breaks=("M35",),
        file="orchestrator/core/wish.py",
        old="    if state is JobState.HELD:\n",
        new="    if state is JobState.BLOCKED:\n",
        tests=tests_in("integration/store/test_wish.py", "test_a_job_that_will_not_come_is_told"),
    ),
)
