"""Read our own documents: tables, code blocks and links of a Markdown file."""

import re
from functools import lru_cache

from tests.support.source import ROOT, written_tests

TABLE_RULE = re.compile(r"^\|[\s:|-]+\|$")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")


@lru_cache
def text(name: str) -> str:
    """Return a document."""
    return (ROOT / name).read_text()


def section(name: str, title: str) -> str:
    """Return what stands below a heading, up to the next one of the same or a higher level."""
    # A comment in a code block looks like a heading, so headings are looked for without them.
    bare = FENCE.sub(lambda block: "." * len(block[0]), text(name))
    found = re.search(rf"^(#+) {re.escape(title)}$\n", bare, re.MULTILINE)
    assert found, f"{name} has no section {title!r}"
    end = re.compile(rf"^#{{1,{len(found[1])}}} ", re.MULTILINE).search(bare, found.end())
    return text(name)[found.end() : end.start() if end else None]


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of every table row, headings left out."""
    found: list[list[str]] = []
    for line in markdown.splitlines():
        if TABLE_RULE.match(line):
            found.pop()  # the line above the rule was the heading
        elif line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found.append([cell.strip() for cell in cells])
    return found


def fenced(markdown: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return [body for kind, body in FENCE.findall(markdown) if kind == language]


def quoted(markdown: str) -> list[str]:
    """Return what stands in backticks within sentences and tables."""
    return INLINE.findall(FENCE.sub("", markdown))


def commands(markdown: str) -> list[str]:
    """Return the command lines in code blocks without a language, continuation lines joined."""
    joined = "\n".join(fenced(markdown, "")).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip()]


@lru_cache
def test_ids() -> frozenset[str]:
    """Return `path::name` of every test."""
    return frozenset(
        f"{source.path}::{name}" for source in written_tests() for name in source.functions
    )
