"""Who meets what a job asks of tags, and how each such requirement is written in exactly one way.

It is a set of *clauses*, all of which a worker must meet. Texts that differ only in their order,
their brackets or where they say `!` have the same clauses, so they are one requirement; and a
clause is what `explain` counts. Beside the tags that its configuration gives it, a worker has
*built-in* ones, about which nobody can lie: those of its machine, and its kinds and names.
"""

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from orchestrator.protocol.expression import (
    Comparison,
    Every,
    Not,
    Some,
    Tagged,
    Tree,
    parse,
    version,
)

PLATFORMS: Final = frozenset({"linux", "macos", "windows"})
ARCHITECTURES: Final = MappingProxyType(
    {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
)
"""What systems call a processor, and its one built-in tag; others are called as systems do."""
RESERVED: Final = PLATFORMS | {*ARCHITECTURES, "platform", "arch", "kind", "worker"}
"""Names that only built-in tags have: what a configuration says of them is not believed."""
Have = Mapping[str, frozenset[str]]
"""Tags by their names: the values that each has, `""` for one without."""


@lru_cache(maxsize=4096)
def clauses(texts: tuple[str, ...]) -> frozenset[str]:
    """Return the clauses of texts that all must be met."""
    found: set[str] = set()
    for text in texts:
        tree = _settled(parse(text), negated=False)
        parts = tree.parts if isinstance(tree, Every) else (tree,)
        found.update(written(part) for part in parts)
    return frozenset(found)


def _settled(tree: Tree, *, negated: bool) -> Tree:
    """Return the same with `!` only before tags, nothing twice, and all in one order."""
    match tree:
        case Tagged():
            return Not(tree) if negated else tree
        case Not():
            return _settled(tree.part, negated=not negated)
        case Every() | Some():
            joint = Every if isinstance(tree, Every) is not negated else Some
            parts: dict[str, Tree] = {}
            for part in tree.parts:
                inner = _settled(part, negated=negated)
                flat = inner.parts if isinstance(inner, joint) else (inner,)
                parts.update((written(one), one) for one in flat)
            ordered = tuple(parts[text] for text in sorted(parts))
            return ordered[0] if len(ordered) == 1 else joint(ordered)


def written(tree: Tree) -> str:
    """Return the text of a tree; reading it again gives the tree."""
    match tree:
        case Tagged():
            return f"{tree.name}{tree.comparison or ''}{tree.value}"
        case Not(Tagged(comparison=Comparison.EQUAL) as tag):
            return f"{tag.name}!={tag.value}"
        case Not():
            inner = written(tree.part)
            return f"!{inner}" if isinstance(tree.part, Tagged) else f"!({inner})"
        case Every():
            return " && ".join(_bracketed(part, Some) for part in tree.parts)
        case Some():
            return " || ".join(_bracketed(part, Every) for part in tree.parts)


def _bracketed(part: Tree, other: type[Tree]) -> str:
    text = written(part)
    return f"({text})" if isinstance(part, other) else text


def built_in(
    *, platform: str, arch: str, kinds: Iterable[str], names: Iterable[str]
) -> frozenset[str]:
    """Return the tags that a worker has without having been given them."""
    machine = ARCHITECTURES.get(arch.lower(), arch.lower())
    own = {platform, f"platform={platform}"}
    own |= {machine, f"arch={machine}"} if machine else set()
    return frozenset(
        own | {f"kind={kind}" for kind in kinds} | {f"worker={name}" for name in names}
    )


def believed(tags: Iterable[str]) -> frozenset[str]:
    """Return the tags of a configuration without those that only the built-in ones may be."""
    return frozenset(tag for tag in tags if tag.partition("=")[0] not in RESERVED)


def by_name(tags: Iterable[str]) -> Have:
    """Return tags as clauses look at them."""
    found: dict[str, set[str]] = {}
    for tag in tags:
        name, _, value = tag.partition("=")
        found.setdefault(name, set()).add(value)
    return {name: frozenset(values) for name, values in found.items()}


def meets(have: Have, clause: str) -> bool:
    """Tell whether somebody with those tags meets a clause."""
    return _holds(_tree(clause), have)


@lru_cache(maxsize=4096)
def _tree(clause: str) -> Tree:
    return parse(clause)


def _holds(tree: Tree, have: Have) -> bool:
    match tree:
        case Tagged():
            return _has(tree, have.get(tree.name, frozenset()))
        case Not():
            return not _holds(tree.part, have)
        case Every():
            return all(_holds(part, have) for part in tree.parts)
        case Some():
            return any(_holds(part, have) for part in tree.parts)


def _has(tag: Tagged, values: frozenset[str]) -> bool:
    """Tell whether one of the values of a tag's name is meant; a bare name means any."""
    if tag.comparison is None:
        return bool(values)
    if tag.comparison is Comparison.EQUAL:
        return tag.value in values
    wanted = version(tag.value)
    return any(_compared(version(value), tag.comparison, wanted) for value in values)


def _compared(
    found: tuple[int, ...] | None, comparison: Comparison, wanted: tuple[int, ...] | None
) -> bool:
    """Compare two versions part by part; what is none has no order, and meets nothing."""
    if found is None or wanted is None:
        return False
    match comparison:
        case Comparison.EQUAL:
            return found == wanted
        case Comparison.AT_LEAST:
            return found >= wanted
        case Comparison.AT_MOST:
            return found <= wanted
        case Comparison.ABOVE:
            return found > wanted
        case Comparison.BELOW:
            return found < wanted


def told(clause: str) -> str:
    """Return a clause as a thing that a worker may lack."""
    return f"tag {clause}" if isinstance(_tree(clause), Tagged) else clause


def meant(clause: str, known: Iterable[str]) -> str | None:
    """Return the tag that was probably meant by one that nobody has."""
    tree = _tree(clause)
    if not isinstance(tree, Tagged):
        return None
    names = sorted({tag.partition("=")[0] for tag in known} - {tree.name})
    near = difflib.get_close_matches(tree.name, names, n=1, cutoff=0.75)
    return near[0] if near else None
