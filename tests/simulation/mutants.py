"""Planted bugs: each undoes one protection, and the simulation must find each within 2,000 seeds.

A simulation that finds nothing may be good or blind; these tell which. Each says what it is that a
tired person might have written, and plants exactly that in the programs' own modules.
"""

from dataclasses import dataclass
from typing import Final

import orchestrator.core.matching
import worker.attempts
from tests.simulation import shared_plants
from tests.simulation.plants import (
    Plant,
    any_attempt,
    any_body,
    any_process,
    closed_up,
    counted_by_what_is_there,
    early,
    give_back_all,
    given_back,
    held_as_any,
    keyless,
    known_digest,
    marked_later,
    misplaced,
    never_synced,
    not_awaited,
    once_more,
    only_sessions,
    operations,
    put,
    replaced,
    revived,
    runs_while_down,
    server,
    sessionless,
    silent,
    soon_gone,
    unfenced,
    unnamed,
    unsynced_parts,
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug, and the first seed that is known to find it."""

    what: str
    plant: Plant
    seed: int


MUTANTS: Final = {
    "result unfenced": Mutant("no attempt check on a result", unfenced("ended"), 5),
    "output unfenced": Mutant("no attempt check on output", unfenced("output"), 186),
    "heartbeat unfenced": Mutant(
        "a heartbeat gives back what is still on its way",
        put(
            operations.heartbeat,
            "_give_back_what_never_arrived",
            lambda _tx, changes, _request, live, listed: give_back_all(changes, live, listed),
        ),
        0,
    ),
    "stale reaper": Mutant(
        "the reaper looks at the claim, and not at the renewals since",
        replaced(
            operations.upkeep, "_SELECT_OVER", "session.renewed_lease_us + job.reattach_us", "0"
        ),
        1,
    ),
    "leases run while down": Mutant("no grace when a server starts", runs_while_down, 3),
    "heartbeat revives": Mutant("a heartbeat revives a finished job", revived, 3),
    "attempt not raised": Mutant(
        "a claim keeps the number of the last one",
        replaced(
            operations.claim,
            "_TAKE",
            "1 + CASE WHEN attempt_floor > attempt THEN attempt_floor ELSE attempt END",
            "max(attempt, coalesce(attempt_floor, 0), 1)",
        ),
        0,
    ),
    "submit acked early": Mutant("a submit is answered before it is durable", early("submit"), 2),
    "claim acked early": Mutant("a claim is answered before it is durable", early("claim"), 0),
    "report acked early": Mutant("a report is answered before it is durable", early("report"), 0),
    "keys not unique": Mutant("a key makes another job each time", keyless, 0),
    "any body": Mutant("a key is taken with any body", any_body, 2),
    "marked after exec": Mutant("the grant is written after the start", marked_later, 2),
    "intent given back": Mutant("a grant without news is given back as unstarted", given_back, 90),
    "spool unheard": Mutant(
        "a new session is told nothing of what the spool holds",
        put(worker.attempts.Attempts, "held", lambda _self: []),
        3,
    ),
    "openings repeated": Mutant(
        "a repeated request opens a session once more",
        put(operations.sessions, "_refuse_what_is_old", lambda *_: None),
        267,
    ),
    "pid alone": Mutant("remains are known by their pid alone", any_process, 1223),
    "good-bye too soon": Mutant("a worker leaves before all is settled", soon_gone, 79),
    "exit not synced": Mutant("nobody syncs what was not acknowledged", never_synced, 23),
    "late overwrites": Mutant(
        "a late result replaces what was decided",
        replaced(
            operations.report,
            "_KEEP_LATE",
            "SET late_result = :late_result",
            "SET late_result = :late_result, outcome = 'succeeded'",
        ),
        0,
    ),
    "late not kept": Mutant(
        "a late result is thrown away",
        replaced(operations.report, "_KEEP_LATE", "late_result IS NULL", "1 = 0"),
        0,
    ),
    "end not compared": Mutant(
        "an end is believed without a look at what came of its output",
        put(operations.report, "_missing_bytes", lambda *_: 0),
        243,
    ),
    "counts forgotten": Mutant(
        "what a command wrote is counted by what is found of it",
        counted_by_what_is_there,
        315,
    ),
    "digest of the rest": Mutant(
        "what is left of a log is taken for all of it", known_digest, 2799
    ),
    "silent in drain": Mutant("heartbeats stop in a drain", silent, 1711),
    "output misplaced": Mutant("output is appended wherever its place is", misplaced, 159),
    "hole closed": Mutant("a log goes on behind a hole as if there were none", closed_up, 243),
    "no session check": Mutant("a session that is over may claim", sessionless, 156),
    "rename without folder sync": Mutant("a segment is synced, and its name is not", unnamed, 23),
    "cancel without a check": Mutant(
        "an order meets whatever attempt of its job is here", any_attempt, 103
    ),
    "part not synced": Mutant("output counts before it is on the disk", unsynced_parts, 159),
    "restored goes on": Mutant(
        "the jobs of a backup go on by themselves", put(server, "hold_all", only_sessions), 83
    ),
    "numbers again": Mutant(
        "a restore gives the numbers of attempts once more",
        replaced(operations.restoration, "_KEEP", "attempt_floor = :floor", "attempt_floor = 0"),
        52,
    ),
    "old session unheard": Mutant(
        "what a restore took back is heard of in new sessions alone",
        put(operations.report, "note_unknown", lambda *_, **__: False),
        828,
    ),
    "quarantine not asked": Mutant(
        "a worker in quarantine is given what any other is",
        put(operations.claim, "admit", lambda _tx, _session, _worker, *, slots: slots),
        29,
    ),
    "canaries by the dozen": Mutant(
        "a worker on trial is given one job after the other",
        put(operations.admission, "canary_of", lambda *_: None),
        29,
    ),
    "dependencies unheard": Mutant(
        "a job is taken in as if it depended on nothing",
        put(operations.submit, "needs_of", lambda *_: operations.dependencies.NOTHING),
        30,
    ),
    "dependants forgotten": Mutant(
        "the end of a job is told to none that depends on it",
        put(
            operations.changes, "following", lambda *_, **__: operations.dependents.Followed([], 0)
        ),
        46,
    ),
    "expires between tries": Mutant(
        "what was started may still expire",
        replaced(
            operations.changes,
            "_UPDATE_JOB",
            "expires_us = :expires_us",
            "expires_us = CASE WHEN :finished_us IS NULL THEN expires_us END",
        ),
        94,
    ),
    "held as any": Mutant("a claim takes what is held", held_as_any, 6),
    "start not awaited": Mutant(
        "an at_most_once job starts before its start is recorded", not_awaited, 0
    ),
    "lost twice": Mutant("an at_most_once job is tried again when lost", once_more("_lost"), 5),
    "interrupted twice": Mutant(
        "an at_most_once job is tried again when interrupted", once_more("_preempted"), 7
    ),
    "fires again": Mutant(
        "a moment whose row is there has a job once more",
        replaced(
            operations.fires,
            "_RECORD",
            "WHERE schedule_fire.outcome = 'missed' AND excluded.outcome <> 'missed'",
            "WHERE 1 = 1",
        ),
        73,
    ),
    "next taken for done": Mutant(
        "a schedule remembers the moment to come as the one that it has decided about",
        replaced(
            operations.fires,
            "_KEEP_LOOK",
            "considered_us = :considered",
            "considered_us = coalesce(:next, :considered)",
        ),
        9,
    ),
    "missed in silence": Mutant(
        "what a schedule passes over is told to nobody",
        put(operations.fires, "pass_over", lambda *_: None),
        25,
    ),
    "room not looked for": Mutant(
        "a unique job is taken in beside another one",
        put(operations.unique, "_others", lambda *_: []),
        13,
    ),
    "tags not looked at": Mutant(
        "a worker is given what it does not meet",
        put(orchestrator.core.matching, "_unmet", lambda *_: []),
        45,
    ),
    "own claim uncounted": Mutant(
        "a claim does not count what it gives itself", shared_plants.own_claim_uncounted, 40
    ),
    "leased not held": Mutant(
        "a key is held by what runs, and not by what was just given",
        shared_plants.only_running_held,
        100,
    ),
    "paused as any": Mutant("a paused queue is served as any", shared_plants.paused_as_any, 4),
    "ended starts uncounted": Mutant(
        "a rate counts what still runs", shared_plants.ended_starts_uncounted, 4
    ),
    "freed in silence": Mutant(
        "a key or a place that is free again wakes nobody", shared_plants.freed_in_silence, 36
    ),
    "resumed in silence": Mutant(
        "a queue that goes on wakes nobody", shared_plants.resumed_in_silence, 132
    ),
    "window in silence": Mutant(
        "a rate that lets somebody through wakes nobody", shared_plants.window_in_silence, 452
    ),
    "weightless": Mutant("queues take turns, whatever they weigh", shared_plants.weightless, 4),
    "savings kept": Mutant("an idle queue saves up turns", shared_plants.savings_kept, 36),
    "first come": Mutant("whoever came first is served first", shared_plants.first_come, 4),
    "failures unheard": Mutant(
        "a batch goes on, however many of its jobs fail", shared_plants.failures_unheard, 20
    ),
    "half ended": Mutant(
        "a batch is ended for the first few of its jobs", shared_plants.half_ended, 20
    ),
    "orders given up": Mutant(
        "a server that starts gives up what was ordered of many jobs",
        shared_plants.orders_given_up,
        340,
    ),
    "older progress": Mutant(
        "a word of progress that comes late is believed", shared_plants.older_progress, 108
    ),
}
