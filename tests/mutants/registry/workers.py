"""Mistakes about processes: siblings and restarts (G14), draining (G15), what is left (G17)."""

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.registry.naming import tests_in

_CHILD: Final = "orchestrator/supervisor/logic/child.py"

MUTANTS: Final = (
    Mutant(
        name="dead-child-not-started-again",
        breaks=("G14.1", "G14.3"),
        file=_CHILD,
        old="(child.state in {S.BACKOFF, S.PARKED} and overdue):",
        new="(child.state is S.PARKED and overdue):",
        tests=tests_in(
            "unit/supervisor/test_child.py",
            "test_restarts_in_a_row_wait_longer_and_longer_up_to_a_minute",
        ),
    ),
    Mutant(
        name="dying-child-started-in-a-loop",
        breaks=("G14.1",),
        file=_CHILD,
        old="    wait_s = policy.backoff.delay(child.failures, draw=draw)\n",
        new="    wait_s = 0.0 * policy.backoff.delay(child.failures, draw=draw)\n",
        tests=tests_in(
            "unit/supervisor/test_child.py",
            "test_restarts_in_a_row_wait_longer_and_longer_up_to_a_minute",
        ),
    ),
    Mutant(
        name="hopeless-child-not-parked",
        breaks=("G14.1",),
        file=_CHILD,
        old="    if parked_s is not None:\n        return",
        new="    if parked_s == -1:\n        return",
        tests=tests_in(
            "unit/supervisor/test_child_recovery.py",
            "test_a_child_that_says_that_somebody_must_mend_something_is_parked",
        ),
    ),
    Mutant(
        name="two-share-a-spool",
        breaks=("G14.1",),
        file="worker/spool/spool.py",
        old='        self._lock = Lock(self.directory / "lock").take("a worker with this spool")\n',
        new='        self._lock = Lock(self.directory / f"lock{os.getpid()}").take("a worker")\n',
        tests=tests_in(
            "integration/worker/test_restarts.py",
            "test_a_second_worker_with_the_same_memory_is_refused",
        ),
    ),
    Mutant(
        name="shim-dies-with-its-worker",
        breaks=("G14.2",),
        file="worker/shim/escort.py",
        old="            self._office.poll.unregister(self._office.line.fd)\n",
        new="            self._office.poll.unregister(self._office.line.fd)\n"
        "            self._stop(Cause.PREEMPTED, now, 0.0)\n",
        tests=tests_in(
            "integration/worker/test_restarts.py", "test_a_successor_takes_up_what_runs"
        ),
    ),
    Mutant(
        name="leaving-ends-jobs",
        breaks=("G14.2",),
        file="worker/agent.py",
        old="                    self._identify(order)\n        ending.group",
        new="                    self._identify(order)\n        ending.attempts.preempt()\n"
        "        ending.group",
        tests=tests_in(
            "integration/worker/test_lifeline.py",
            "test_a_worker_without_a_parent_leaves_its_jobs_running",
        ),
    ),
    Mutant(
        name="found-attempt-started-again",
        breaks=("G14.3", "G4.1"),
        file="worker/attempts.py",
        old="            self._group.start_soon(runner.follow, log)\n",
        new="            log.settle()\n",
        tests=tests_in(
            "integration/worker/test_restarts.py", "test_a_successor_takes_up_what_runs"
        ),
    ),
    Mutant(
        name="draining-worker-takes-what-comes",
        breaks=("G15.1",),
        file="worker/services/claimer.py",
        old="return claims.awaits(request) and claims is self._keeper.claims",
        new="return claims is self._keeper.claims",
        tests=tests_in(
            "integration/worker/test_services.py",
            "test_what_arrives_just_as_a_drain_begins_is_not_taken",
        ),
    ),
    Mutant(
        name="draining-interrupts",
        breaks=("G15.2",),
        file="worker/agent.py",
        old="                    if order is Ending.STOP:\n",
        new="                    if order in Ending:\n",
        tests=tests_in(
            "integration/worker/test_orders.py",
            "test_draining_finishes_what_runs_and_takes_nothing_new",
        ),
    ),
    Mutant(
        name="drain-without-an-end",
        breaks=("G15.2",),
        file=_CHILD,
        old="    told = _moved(child, E.TOLD_TO_DRAIN, until=now + child.policy.drain_s)\n",
        new="    told = _moved(child, E.TOLD_TO_DRAIN)\n",
        tests=tests_in(
            "unit/supervisor/test_child.py",
            "test_draining_is_bounded_then_stopping_is_bounded_then_it_is_killed",
        ),
    ),
    Mutant(
        name="good-bye-too-soon",
        breaks=("G15.3",),
        file="worker/agent.py",
        old="        if claims is not None and not attempts.unsettled:\n",
        new="        if claims is not None:\n",
        tests=tests_in(
            "integration/worker/test_orders.py",
            "test_a_worker_that_could_not_tell_all_says_no_good_bye",
        ),
    ),
    Mutant(
        name="leaves-before-the-last-report",
        breaks=("G15.3",),
        file="worker/agent.py",
        old="until(lambda: not attempts.unsettled, deadline=deadline)\n",
        new="until(lambda: True, deadline=deadline)\n",
        tests=tests_in(
            "integration/worker/test_orders.py",
            "test_draining_finishes_what_runs_and_takes_nothing_new",
        ),
    ),
    Mutant(
        name="drained-with-a-bad-code",
        breaks=("G15.3",),
        file="worker/agent.py",
        old="        self._code = 0\n",
        new="        self._code = LEFT\n",
        tests=tests_in("integration/worker/test_orders.py", "test_an_idle_worker_leaves_at_once"),
    ),
    Mutant(
        name="interrupted-is-cancelled",
        breaks=("G15.4",),
        file="worker/attempts.py",
        old="            runner.happened(StopAsked(Cause.PREEMPTED))\n",
        new="            runner.happened(StopAsked(Cause.CANCELLED))\n",
        tests=tests_in("integration/worker/test_orders.py", "test_the_second_signal_interrupts"),
    ),
    Mutant(
        name="interrupted-goes-to-the-end",
        breaks=("G15.4",),
        file="orchestrator/core/rank.py",
        old="    return min(rank_before, rank(now_us, priority))\n",
        new="    return max(rank_before, rank(now_us, priority))\n",
        tests=tests_in(
            "integration/store/test_report.py",
            "test_an_interrupted_job_goes_back_to_the_head",
        )
        + tests_in("unit/core/test_rules.py", "test_a_preempted_job_goes_back_to_the_head"),
    ),
    Mutant(
        name="interrupted-once-runs-again",
        breaks=("G15.5", "G5.5"),
        file="orchestrator/core/job.py",
        old="    if job.execution is Execution.AT_MOST_ONCE:\n        return _walk(job, E.GAVE_UP,"
        " reason=Reason.INTERRUPTED)\n",
        new="",
        tests=tests_in(
            "integration/store/test_at_most_once.py",
            "test_what_would_send_another_job_back_ends_this_one",
        ),
    ),
    Mutant(
        name="nobody-is-killed",
        breaks=("G15.6",),
        file=_CHILD,
        old="    if child.state in {S.STOPPING, S.LEAVING} and overdue:\n",
        new="    if child.state in {S.STOPPING} and child.forced:\n",
        tests=tests_in(
            "unit/supervisor/test_child.py",
            "test_draining_is_bounded_then_stopping_is_bounded_then_it_is_killed",
        ),
    ),
    Mutant(
        name="nobody-swept",
        breaks=("G17.1",),
        file="worker/shim/escort.py",
        old="            self._stuck = tree.sweep(self._swept, self._group())\n",
        new="            self._reap()\n",
        tests=tests_in(
            "integration/shim/test_ends.py",
            "test_an_ended_command_leaves_nobody",
            "test_a_cancel_finds_everybody",
        ),
    ),
    Mutant(
        name="no-subreaper",
        breaks=("G17.1",),
        file="worker/shim/process.py",
        old="    linux.become_subreaper()\n",
        new="",
        tests=tests_in(
            "integration/shim/test_ends.py",
            "test_an_ended_command_leaves_nobody",
            "test_a_cancel_finds_everybody",
        ),
    ),
    Mutant(
        name="leftovers-not-counted",
        breaks=("G17.1",),
        file="worker/shim/escort.py",
        old="            self._leftovers += 1\n",
        new="            self._leftovers += 0\n",
        tests=tests_in("integration/shim/test_ends.py", "test_an_ended_command_leaves_nobody"),
    ),
    Mutant(
        name="told-before-all-are-gone",
        breaks=("G17.1",),
        file="worker/shim/tree.py",
        old="    while reap(reaped):\n        left = linux.children()\n",
        new="    if reap(reaped):\n        left = linux.children()\n",
        tests=tests_in(
            "integration/shim/test_ends.py",
            "test_programs_that_fork_without_end_are_ended",
            "test_an_ended_command_leaves_nobody",
        ),
    ),
    Mutant(
        name="orphans-of-a-dead-shim-live",
        breaks=("G17.2",),
        file="worker/spool/attempt_log.py",
        old="            await remains.end_all(self.key, tail.process, tail.segment.group())\n",
        new="            assert remains\n",
        tests=tests_in("integration/shim/test_deaths.py", "test_nobody_survives_shim_and_launcher"),
    ),
    Mutant(
        name="pid-without-its-start-time",
        breaks=("G17.2",),
        file="worker/spool/remains.py",
        old="linux.start_time(process.pid) == process.start_time)",
        new="process.pid > 0)",
        tests=tests_in(
            "integration/spool/test_remains.py",
            "test_a_stranger_with_the_pid_of_a_dead_command_is_not_killed",
        ),
    ),
    Mutant(
        name="orphans-of-a-dead-shim-kept",
        breaks=("G17.2",),
        file="orchestrator/kernel/launcher.py",
        old="        orphans = self._brood.kill_orphans()\n",
        new="        orphans = False\n",
        tests=tests_in(
            "integration/launcher/test_forks.py",
            "test_what_a_dead_shim_leaves_is_killed_to_the_last",
        ),
    ),
    Mutant(
        name="no-group-of-a-dead-shim-killed",
        breaks=("G17.2",),
        file="worker/spool/attempt_log.py",
        old="tail.process, tail.segment.group())\n",
        new="tail.process, None)\n",
        tests=tests_in(
            "integration/shim/test_cgroups.py", "test_nobody_survives_shim_and_launcher"
        ),
    ),
)
