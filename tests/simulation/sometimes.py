"""What must come up in a batch: a situation that never does is one that nothing tests.

Most are counted where they are met in the world; the ends of jobs and attempts and the lines of
timelines are counted as the database writes them.
"""

from typing import Final

MUST: Final = frozenset(
    {
        # How attempts end.
        "an attempt ends cancelled",
        "an attempt ends failed",
        "an attempt ends indeterminate",
        "an attempt ends lost",
        "an attempt ends preempted",
        "an attempt ends released",
        "an attempt ends succeeded",
        "an attempt ends timed_out",
        # What becomes of jobs.
        "a job is cancelled: cancelled_by_user",
        "a job is expired: queue_ttl",
        "a job is failed: dependency_failed",
        "a job is failed: exit_nonzero",
        "a job is failed: interrupted",
        "a job is failed: outcome_unknown",
        "a job is failed: signal",
        "a job is failed: spawn_error",
        "a job is failed: timeout_run",
        "a job is failed: timeout_silence",
        "a job is failed: timeout_total",
        "a job is failed: worker_lost",
        "a job is succeeded: None",
        # What timelines tell.
        "told: cancel_requested",
        "told: dependencies_met",
        "told: fell_due",
        "told: late_result",
        "told: lost",
        "told: preempted",
        "told: reattached",
        "told: released",
        "told: retry_planned",
        "told: server_restarted",
        "told: worker_back",
        "told: worker_offline",
        "told: held",
        "told: released_by_user",
        "told: restored",
        "told: a breaker is closed",
        "told: a breaker is half_open",
        "told: a breaker is open",
        # What becomes of the moments of schedules.
        "a moment of a schedule is fired",
        "a moment of a schedule is missed",
        "a moment of a schedule is skipped",
        # What people meet.
        "a backup is brought back",
        "a held job is let go",
        "a job is claimed after what it depends on",
        "a hold is refused: not_waiting",
        "a job is made once more",
        "a job is replaced",
        "a unique job is refused",
        "a unique job is there already",
        "a late result is kept of a restored attempt",
        "a retry meets a job that is not over",
        "a cancel meets a job that is cancelled",
        "a cancel meets a job that is cancelling",
        "a cancel meets a job that is failed",
        "a cancel meets a job that is succeeded",
        "a key is refused for another body",
        "a late result is kept",
        "a request is delivered again",
        "a submit is repeated",
        # What jobs share.
        "a batch is closed",
        "a batch is ended by ada",
        "a batch is ended by policy",
        "a job gives way to another one with its key",
        "a job is refused because its key is taken",
        "a queue is paused",
        "a server dies in an order for many jobs",
        "somebody orders many jobs about",
        "somebody waits for another one's turn",
        "two queues wait for each other",
        "what failed of a batch is tried again",
        # What becomes of output.
        "output ends early",
        "output is incomplete",
        "output is in several parts",
        "output is left out in the middle",
        # What the server refuses.
        "refused: idempotency_key_reused",
        "refused: illegal_transition",
        "refused: not_found",
        "refused: session_ended",
        "refused: session_overtaken",
        "refused: session_superseded",
        "refused: storage_full",
        # What happens on machines.
        "a child is given up",
        "a command is orphaned",
        "a pid is used again",
        "a segment is followed by another",
        "a shim dies before its command",
        "a shim ends for its disk",
        "a shim is found again",
        "a worker ends: state_unavailable",
        "an end is torn",
        "a start waits long for its record",
        "an end is told of a job that a restore took back",
        "an end waits for room",
        "leftovers are swept",
        "remains are killed",
    }
)


def missing(seen: set[str]) -> list[str]:
    """Return what did not come up."""
    return sorted(MUST - seen)
