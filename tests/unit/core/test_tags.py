"""Who meets what a job asks of tags, held against Python's own `and`, `or` and `not`."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.matching import Offer, Requirement, lacks, satisfies
from orchestrator.core.tags import by_name, clauses, meant, meets

TAGS = ("a", "b=1", "b=2", "c=1.2", "c=1.10", "c=x", "d")


@dataclass(frozen=True)
class Asked:
    """A text, and the Python that it means; `have` is what a worker has."""

    text: str
    python: str = field(compare=False)


def _tag(name: str) -> Asked:
    return Asked(name, f"any(t.split('=')[0] == {name!r} for t in have)")


def _equal(name: str, value: str) -> Asked:
    return Asked(f"{name}={value}", f"{name + '=' + value!r} in have")


def _ordered(name: str, sign: str, value: str) -> Asked:
    return Asked(f"{name} {sign} {value}", f"any(v {sign} {_parts(value)} for v in of({name!r}))")


def _parts(value: str) -> list[int]:
    return [int(part) for part in value.split(".")]


ATOMS = st.one_of(
    st.sampled_from("abcd").map(_tag),
    st.builds(_equal, st.sampled_from("abc"), st.sampled_from(("1", "2", "1.2", "x"))),
    st.builds(
        _ordered,
        st.sampled_from("abc"),
        st.sampled_from((">=", "<=", ">", "<")),
        st.sampled_from(("1", "2", "1.2", "1.9", "1.10", "3")),
    ),
)


def _grown(inner: st.SearchStrategy[Asked]) -> st.SearchStrategy[Asked]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        inner.map(lambda one: Asked(f"!({one.text})", f"(not {one.python})")),
        several.map(lambda all_: _joined(all_, "&&", "and")),
        several.map(lambda all_: _joined(all_, "||", "or")),
    )


def _joined(parts: list[Asked], sign: str, word: str) -> Asked:
    text = f" {sign} ".join(f"({part.text})" for part in parts)
    return Asked(text, f"({f' {word} '.join(part.python for part in parts)})")


TEXTS = st.recursive(ATOMS, _grown, max_leaves=8)


@given(TEXTS, st.sets(st.sampled_from(TAGS)))
def test_a_text_means_what_it_says(asked: Asked, have: set[str]) -> None:
    """Clauses are met by exactly those of whom Python says that the text is true."""

    def of(name: str) -> list[list[int]]:
        values = [tag.partition("=")[2] for tag in have if tag.partition("=")[0] == name]
        return [_parts(v) for v in values if v and v.replace(".", "").isdigit()]

    expected = eval(asked.python, {"have": have, "of": of})

    assert all(meets(by_name(have), clause) for clause in clauses((asked.text,))) is expected


@given(TEXTS)
def test_a_clause_is_already_in_its_one_form(asked: Asked) -> None:
    """What is kept reads back as itself, so that it can be kept and compared as a text."""
    found = clauses((asked.text,))

    assert clauses(tuple(found)) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("b && a",)),
        (("a && (b && c)",), ("c", "b", "a", "a")),
        (("a || b",), ("(b) || (a || b)",)),
        (("!(a || b)",), ("!b", "!a")),
        (("!(a && b)",), ("!b || !a",)),
        (("!!a",), ("a",)),
        (("!a=1",), ("a != 1",)),
        (("cuda  >=  12",), ("cuda>=12",)),
    ],
)
def test_requirements_that_are_equal_are_one(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Order, brackets, spaces and the place of `!` make no other requirement."""
    assert clauses(one) == clauses(other)


def test_not_at_least_is_not_below() -> None:
    """Somebody without the tag is not below, but not at least as much either."""
    assert clauses(("!(cuda>=12)",)) != clauses(("cuda<12",))
    assert meets({}, "!cuda>=12")
    assert not meets({}, "cuda<12")


OAK = Offer(
    "worker_1", "oak", "linux", frozenset({"command"}), frozenset({"gpu", "cuda=12.4"}), "aarch64"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux && (gpu || cuda>=12) && !arm", True),
        ("cuda", True),
        ("cuda>=12.10", False),
        ("cuda>12 && cuda<13", True),
        ("arm64 && arch=arm64 && platform=linux && kind=command", True),
        ("worker=oak && worker=worker_1", True),
        ("aarch64", False),
        ("x86_64 || macos", False),
        ("!worker=oak", False),
    ],
)
def test_a_worker_has_tags_of_its_own_and_built_in_ones(text: str, expected: bool) -> None:
    """Its system, processor, kinds and names can be asked for as any tag can."""
    requirement = Requirement("command", clauses((text,)))

    assert satisfies(OAK, requirement) is expected
    assert bool(lacks(OAK, requirement)) is not expected


@pytest.mark.parametrize("lie", ["macos", "platform=macos", "x86_64", "kind=delay", "worker=elm"])
def test_a_configuration_cannot_contradict_what_is_built_in(lie: str) -> None:
    """A tag that only a machine can have is not believed of a file."""
    liar = Offer("worker_1", "oak", "linux", frozenset({"command"}), frozenset({lie}), "arm64")

    assert not satisfies(liar, Requirement("command", clauses((lie,))))


def test_a_tag_that_looks_like_one_that_is_there_was_perhaps_meant() -> None:
    """Only another name is suggested, and none for what is no single tag."""
    assert meant("gpuu", ("gpu", "arm")) == "gpu"
    assert meant("gpu=1", ("gpu=2", "gpu")) is None
    assert meant("a || gpuu", ("gpu",)) is None
