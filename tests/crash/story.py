"""The stories that are told, and the exploration of one on several cores."""

import math
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.crash.explore import Exploration, Findings, cuts_of
from tests.crash.mutants import NONE
from tests.crash.server_record import record_server
from tests.crash.server_states import ServerExaminer
from tests.crash.spool_states import SpoolExaminer
from tests.crash.spool_story import record_worker

JOBS: Final = 24
"""Jobs of one story of a server: their states are looked at in a minute or two."""


def _server(workplace: Path, seed: int, mutant: str, states: int) -> Exploration:
    recording = record_server(workplace, jobs=JOBS, seed=seed, mutant=mutant)
    cuts = cuts_of(recording.events, recording.folder)
    per_cut = max(0, math.ceil(states / cuts) - 2)
    examiner = ServerExaminer(recording)
    return Exploration(recording.events, recording.folder, examiner, seed, per_cut)


def _worker(workplace: Path, seed: int, mutant: str, states: int) -> Exploration:
    recording = record_worker(workplace, seed=seed, mutant=mutant)
    cuts = cuts_of(recording.events, recording.folder)
    per_cut = max(0, math.ceil(states / cuts) - 2)
    examiner = SpoolExaminer(recording)
    return Exploration(recording.events, recording.folder, examiner, seed, per_cut)


STORIES: Final[dict[str, Callable[[Path, int, str, int], Exploration]]] = {
    "server": _server,
    "worker": _worker,
}


def exploration(
    name: str, workplace: Path, *, seed: int, states: int, mutant: str = NONE
) -> Exploration:
    """Record a story, of which about that many states are to be looked at."""
    made = STORIES[name](workplace, seed, mutant, states)
    return replace(made, to_the_end=mutant == NONE)


def explore(
    name: str, workplace: Path, *, seed: int, states: int, mutant: str = NONE, processes: int = 1
) -> Findings:
    """Record a story and look at about that many states; with a mutant, until it is found."""
    whole = exploration(name, workplace, seed=seed, states=states, mutant=mutant)
    if processes == 1:
        return whole.run()
    total = Findings()
    shares = [(part, processes) for part in range(processes)]
    # Forked, so that the record is read once.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(_run, whole, share) for share in shares]
        for future in futures:
            total += future.result()
    return total


def _run(exploration: Exploration, share: tuple[int, int]) -> Findings:
    return exploration.run(share=share)
