"""Each sentence that the system promises names its tests, and the mistakes that turn them red."""

import re
from collections import Counter
from typing import Final, NamedTuple

import pytest

from tests.crash.mutants import MUTANTS as POWER_CUTS
from tests.mutants.registry import MUTANTS
from tests.simulation.mutants import MUTANTS as SIMULATED
from tests.support import documents
from tests.unit.chaos.test_judge import FORGED

SENTENCES: Final = {
    "G1": 4,
    "G2": 4,
    "G3": 4,
    "G4": 7,
    "G5": 5,
    "G6": 5,
    "G7": 4,
    "G8": 4,
    "G9": 6,
    "G10": 1,
    "G11": 4,
    "G12": 3,
    "G13": 3,
    "G14": 4,
    "G15": 6,
    "G16": 5,
    "G17": 2,
    "G18": 2,
    "G19": 2,
    "G20": 3,
    "G21": 2,
}
"""How many there are of each guarantee, so that none is dropped from the table."""
GOALS: Final = (*range(3, 11), *range(12, 26), *range(27, 30), *range(34, 39), 42, 43, 45, 46)
"""The goals of one machine, by number. The others are of other parts."""
ELSEWHERE: Final = {
    "sim": set(SIMULATED),
    "crash": set(POWER_CUTS),
    "forged": {title for title, *_ in FORGED},
}
"""Mistakes that are planted in other ways: `sim:…` and so on in the table."""
OPENLY: Final = re.compile(r"(?:^|; )(?:not held|no mutant|no test)\b.{12,}")


class Sentence(NamedTuple):
    """A row of the table."""

    number: str
    words: str
    tests: set[str]
    mutants: set[str]
    openly: bool

    @property
    def own(self) -> set[str]:
        """Return those of its mutants that are in the registry here."""
        return {name for name in self.mutants if ":" not in name}


def _read(row: list[str]) -> Sentence:
    number, words, tests, rest = row
    named, openly = re.findall(r"`([^`]+)`", rest), OPENLY.search(rest)
    return Sentence(number, words, set(documents.quoted(tests)), set(named), openly is not None)


def _rows(document: str, section: str, number: str) -> list[Sentence]:
    rows = documents.rows(documents.section(document, section))
    return [_read(row) for row in rows if re.fullmatch(number, row[0])]


GUARANTEES: Final = _rows("docs/reliability.md", "Guarantees", r"G\d+\.\d+")
OF_A_MACHINE: Final = _rows("docs/machine.md", "Goal by goal", r"M\d+")
TABLE: Final = GUARANTEES + OF_A_MACHINE


def test_every_sentence_has_its_row() -> None:
    """They are numbered without a gap, and as many as there are."""
    wanted = [f"{name}.{n}" for name, count in SENTENCES.items() for n in range(1, count + 1)]

    assert [sentence.number for sentence in GUARANTEES] == wanted
    assert [int(sentence.number[1:]) for sentence in OF_A_MACHINE] == list(GOALS)
    assert all(len(sentence.words.split()) > 2 for sentence in TABLE)


@pytest.mark.parametrize("sentence", TABLE, ids=[sentence.number for sentence in TABLE])
def test_a_sentence_is_held_or_says_that_it_is_not(sentence: Sentence) -> None:
    """It names tests and mistakes that exist, or tells in words what is missing."""
    assert sentence.tests <= documents.test_ids()
    assert (sentence.tests and sentence.mutants) or sentence.openly
    for name in sentence.mutants - sentence.own:
        family, _, rest = name.partition(":")
        assert rest in ELSEWHERE[family]


@pytest.mark.parametrize("sentence", TABLE, ids=[sentence.number for sentence in TABLE])
def test_a_mistake_is_found_by_a_test_beside_it(sentence: Sentence) -> None:
    """What breaks a sentence turns one of the tests red that are said to hold that sentence."""
    assert sentence.own == {m.name for m in MUTANTS.values() if sentence.number in m.breaks}
    for name in sentence.own:
        assert set(MUTANTS[name].tests) & sentence.tests, name


def test_every_mistake_breaks_a_sentence() -> None:
    """None is planted for nothing, and no name is used twice."""
    names = Counter(name for sentence in TABLE for name in sentence.own)

    assert set(names) == set(MUTANTS)
    assert all(":" not in name for name in names)
