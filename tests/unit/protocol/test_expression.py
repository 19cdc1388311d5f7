"""What a text asks of tags: its tree, and the exact place and remedy of each mistake."""

import pytest

from orchestrator.protocol import limits
from orchestrator.protocol.expression import (
    Comparison,
    Every,
    ExpressionInvalid,
    Not,
    Some,
    Tagged,
    Tree,
    parse,
    version,
)

A, B, C = Tagged("a"), Tagged("b"), Tagged("c")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        ("  a\t", A),
        ("a && b || c", Some((Every((A, B)), C))),
        ("a && (b || c)", Every((A, Some((B, C))))),
        ("a||b||c", Some((A, B, C))),
        ("!a && b", Every((Not(A), B))),
        ("!!a", Not(Not(A))),
        ("cuda>=12.4", Tagged("cuda", Comparison.AT_LEAST, "12.4")),
        ("cuda <= v12", Tagged("cuda", Comparison.AT_MOST, "v12")),
        (
            "ram<64&&ram>8",
            Every((Tagged("ram", Comparison.BELOW, "64"), Tagged("ram", Comparison.ABOVE, "8"))),
        ),
        ("os=linux/6.1", Tagged("os", Comparison.EQUAL, "linux/6.1")),
        ("a=b=c", Tagged("a", Comparison.EQUAL, "b=c")),
        ("os!=bsd", Not(Tagged("os", Comparison.EQUAL, "bsd"))),
        ("python3.12", Tagged("python3.12")),
    ],
)
def test_a_text_has_its_tree(text: str, tree: Tree) -> None:
    """`!` binds closest, then `&&`, then `||`; brackets count, spaces do not."""
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "at", "fault"),
    [
        ("", 0, "expected a tag, and found the end"),
        ("linux & gpu", 6, 'found "&"; did you mean &&?'),
        ("linux | gpu", 6, 'found "|"; did you mean ||?'),
        ("linux and gpu", 6, 'found "and"; did you mean &&?'),
        ("not gpu", 0, "not is no tag; did you mean !?"),
        ("a OR b", 2, "did you mean ||?"),
        ("a ||", 4, "expected a tag, and found the end"),
        ("a && || b", 5, 'expected a tag, and found "||"'),
        ("(a && b", 0, "this ( is never closed"),
        ("(a b)", 3, "expected && || or ), and found"),
        ("a)", 1, "this ) closes nothing"),
        ("cuda=>12", 4, "did you mean >=?"),
        ("cuda==12", 4, "did you mean =?"),
        ("cuda>=", 6, "expected a value behind >="),
        ("cuda>=new", 6, "new has no order"),
        ("a && b,c", 6, 'found ","'),
        ("a && ü", 5, 'found "ü"'),
        ("a" * 101, 0, "at most 100 characters"),
        ("a=" + "b" * 101, 2, "at most 100 characters"),
        ("(" * 17 + "a", 17, "deeper than 16"),
        ("!" * 17 + "a", 17, "deeper than 16"),
        (" && ".join(["a"] * 65), 64 * 5, "more than 64 tags"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_was_meant(
    text: str, at: int, fault: str
) -> None:
    """The character is named, and a caret stands below it."""
    with pytest.raises(ExpressionInvalid) as refused:
        parse(text)

    told, shown, caret = str(refused.value).split("\n")
    assert (refused.value.at, fault in told) == (at, True), refused.value
    assert told.startswith(f"at character {at + 1}: ")
    assert shown[len(caret) - 1 :].startswith(text[at : at + 30])


def test_the_longest_texts_are_read_at_once() -> None:
    """Whatever fits the limits is read or refused without a deep stack or a long look."""
    deep = "(" * limits.EXPRESSION_DEPTH + "a" + ")" * limits.EXPRESSION_DEPTH

    assert parse(deep) == A
    with pytest.raises(ExpressionInvalid):
        parse("(" * 1_000_000)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("12", (12,)),
        ("v1.10.0", (1, 10)),
        ("0", (0,)),
        ("1.9", (1, 9)),
        ("1.2rc1", None),
        ("", None),
    ],
)
def test_a_version_is_its_numbers(text: str, parts: tuple[int, ...] | None) -> None:
    """Zeros at the end say nothing; what is not made of numbers has no order."""
    assert version(text) == parts
