"""Which paths stay at home."""

import pytest

from orchestrator.commands.upload.ignore import Ignore
from orchestrator.kernel.errors import RequestInvalid


@pytest.mark.parametrize(
    ("pattern", "excluded", "kept"),
    [
        ("*.o", ["a.o", "deep/er/b.o"], ["a.obj", "o"]),
        ("build", ["build", "x/build"], ["builder", "build.c"]),
        ("/build", ["build"], ["x/build"]),
        ("x/build", ["x/build"], ["y/x/build"]),
        ("x/*.c", ["x/a.c"], ["x/y/a.c", "a.c"]),
        ("**/logs", ["logs", "a/b/logs"], ["logs2"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["z", "b/a/z"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b"]),
        ("?.txt", ["a.txt", "x/b.txt"], ["ab.txt"]),
        ("[ab].txt", ["a.txt", "b.txt"], ["c.txt", "[ab].txt"]),
        ("[!ab].txt", ["c.txt"], ["a.txt"]),
        ("[a-c]1", ["b1"], ["d1"]),
        ("[x", ["[x"], ["x"]),
        (r"\*", ["*"], ["a"]),
        (r"\#note", ["#note"], ["note"]),
        ("with space", ["with space"], ["with"]),
        ("dot.", ["dot."], ["dotx"]),
        ("./src/x", ["src/x"], ["x"]),
    ],
)
def test_a_pattern_means_what_it_means_for_git(
    pattern: str, excluded: list[str], kept: list[str]
) -> None:
    """Names at any depth, paths from the root, stars that stop at a slash and stars that do not."""
    ignore = Ignore([pattern])

    assert [path for path in excluded if not ignore.excludes(path, folder=False)] == []
    assert [path for path in kept if ignore.excludes(path, folder=False)] == []


def test_a_slash_at_the_end_means_folders_only() -> None:
    """`build/` leaves a file of that name alone."""
    ignore = Ignore(["build/"])

    assert ignore.excludes("x/build", folder=True)
    assert not ignore.excludes("build", folder=False)


def test_the_last_pattern_that_matches_decides() -> None:
    """`!` takes something back, and a later pattern takes it away again."""
    ignore = Ignore(["*.log", "!keep.log", "tmp/keep.log"])

    assert ignore.excludes("a.log", folder=False)
    assert not ignore.excludes("keep.log", folder=False)
    assert ignore.excludes("tmp/keep.log", folder=False)


def test_comments_and_empty_lines_mean_nothing() -> None:
    """A file of patterns can be explained in itself."""
    ignore = Ignore(["# all of it", "", "   ", "/", "!", "x  \r\n"])

    assert not ignore.excludes("all", folder=False)
    assert ignore.excludes("x", folder=False)


def test_a_pattern_that_makes_no_sense_is_named() -> None:
    """The refusal shows the line."""
    with pytest.raises(RequestInvalid, match=r"\[z-a\]"):
        Ignore(["[z-a]"])
