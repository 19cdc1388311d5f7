"""The judge: was any promise broken? Pure and offline; it sees records, and nothing that runs.

Each rule is one function from a case to complaints, named after the invariant that it keeps. What
nobody knows (`info`) may have happened or not, so it is never held against the system.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.chaos.case import Case
from tests.chaos.records import Run
from tests.chaos.rules import attempts, ends, jobs, outputs, surroundings

Rule = Callable[[Case], Iterator[str]]
RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "I1 acknowledged is present": (jobs.present, jobs.uploads_present),
    "I2 nothing unexpected": (jobs.expected, attempts.ledger_expected),
    "I3 one job for a key": (jobs.one_for_a_key, jobs.other_body_refused),
    "I4 one start for an attempt": (attempts.started_once,),
    "I5 one end, for ever": (ends.never_left, ends.as_planned, ends.ended_once),
    "I6 the code is the command's": (attempts.code_is_the_commands,),
    "I7 the output is the command's": (outputs.kept, outputs.streamed),
    "I8 attempts one after the other": (attempts.counted, attempts.one_at_a_time),
    "I10 all is settled": (ends.settled,),
    "I11 nothing is left": (surroundings.nothing_left, surroundings.no_daemon),
    "I12 events without a gap": (outputs.events_counted, outputs.events_streamed),
    "I13 the database is whole": (surroundings.database_whole,),
    "I14 no secret got out": (surroundings.no_secret,),
    "I15 nobody ended unasked": (surroundings.nobody_ended,),
    "I16 answers are documented": (surroundings.answers, surroundings.mistakes, surroundings.logs),
    "I18 events in their order": (outputs.events_in_order,),
    "G5 no hidden retries": (attempts.no_hidden_retries, attempts.once_is_once),
    "G8 no result is lost": (attempts.none_forgotten,),
    "G11 a cancel holds": (ends.cancel_holds,),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge found: invariant → complaints, and only those that were broken."""

    complaints: dict[str, list[str]]

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was broken."""
        return not self.complaints

    def __str__(self) -> str:
        lines = []
        for title, found in self.complaints.items():
            lines.append(f"{title}: {len(found)}")
            lines += [f"  {complaint}" for complaint in found[:20]]
        return "\n".join(lines) or "nothing was broken"


def judge(run: Run) -> Verdict:
    """Return every broken promise of a run."""
    case = Case(run)
    complaints: dict[str, list[str]] = defaultdict(list)
    for title, rules in RULES.items():
        for rule in rules:
            for complaint in rule(case):
                complaints[title].append(complaint)
    return Verdict(dict(complaints))
