"""A YAML text as a tree in which everything knows its place.

It is built from the parser's events and not by the library's own composer, so that every key that
is there twice is found, an alias costs what it stands for, and nothing is nested deeper or grows
larger than a person writes. It knows no key.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn, Protocol

import yaml

from orchestrator.supervisor.config.text.scalars import CORE_TAGS, Scalar, resolve

BYTES: Final = 2**20
"""A thousand workers fit several times."""
DEPTH: Final = 20
"""The deepest key of ours is on the sixth level."""
NODES: Final = 100_000
"""After every alias has been replaced by what it stands for."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNSEEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
"""What no editor shows. The separators would also be ends of lines to some and not to others."""
_ESCAPE: Final = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|.)")
_SENTENCES: Final = {
    "mapping values are not allowed in this context": (
        "a ':' stands where none can be",
        "is this line indented too far? a text with ': ' in it needs quotes",
    ),
    "could not find expected ':'": (
        "this line has no ':' after its key",
        "write 'key: value', or put a text that goes on here in quotes",
    ),
    "did not find expected key": (
        "this does not line up with what stands above it",
        "keys of one mapping begin in the same column, and a list item with '- '",
    ),
    "did not find expected '-' indicator": (
        "this does not line up with the list above it",
        "every item of a list begins with '- ' in the same column",
    ),
    "did not find expected node content": (
        "something is missing before this character",
        "is there a comma or bracket too many?",
    ),
    "found unknown escape character": (
        "in double quotes a backslash begins an escape, and this is none",
        "write \\\\ for a backslash, or use single quotes",
    ),
}


class _Mark(Protocol):
    """The parser's own marks, which count from 0."""

    line: int
    column: int


class _Event(Protocol):
    """What the parser's events have, each of them some of it."""

    start_mark: _Mark
    end_mark: _Mark
    value: str
    anchor: str | None
    tag: str | None
    implicit: tuple[bool, bool]


class _ParserError(Protocol):
    problem: str
    problem_mark: _Mark
    context_mark: _Mark | None


class Mark(NamedTuple):
    """A place in the text; line and column count from 1."""

    line: int
    column: int
    source: int = 0
    """Which text, where several become one tree."""


class Fault(NamedTuple):
    """Why a text is not the YAML that is read here."""

    at: Mark
    code: str
    message: str
    hint: str | None = None
    first: Mark | None = None
    """Where the first one of two stands."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value."""

    at: Mark
    value: Scalar
    end: Mark


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    at: Mark
    nodes: list["Node"]


class Entry(NamedTuple):
    """A key's place, and what it stands before."""

    key_at: Mark
    node: "Node"


@dataclass(frozen=True, slots=True)
class Keys:
    """A mapping; a key is the text that it is written as."""

    at: Mark
    entries: dict[str, Entry]


Node = Leaf | Items | Keys


@dataclass(frozen=True, slots=True)
class Document:
    """What was found: a tree unless the text cannot be read, and what is wrong with it."""

    root: Node | None
    faults: tuple[Fault, ...] = ()


class _Unreadable(Exception):
    """Reading on makes no sense."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def read(raw: bytes, *, must_be_json: bool = False) -> Document:
    """Return the tree of a file's bytes."""
    try:
        text = _decoded(raw)
        builder = _Builder(_as_yaml(text, must_be_json=must_be_json))
        return Document(builder.document(), tuple(builder.faults))
    except _Unreadable as stop:
        return Document(None, (stop.fault,))


def lines_of(raw: bytes) -> list[str]:
    """Return the lines as they are numbered here."""
    return _split(raw.decode("utf-8-sig", "replace"))


def _split(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def _mark_at(text: str, index: int) -> Mark:
    before = _split(text[:index])
    return Mark(len(before), len(before[-1]) + 1)


def _decoded(raw: bytes) -> str:
    if len(raw) > BYTES:
        message = f"the file is longer than {BYTES:,} bytes"
        raise _Unreadable(Fault(Mark(1, 1), "too-large", message))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bom = 3 if raw.startswith(b"\xef\xbb\xbf") else 0
        at = _mark_at(raw[bom : bom + error.start].decode("utf-8", "replace"), len(raw))
        hint = "save it as UTF-8, without anything else in it"
        raise _Unreadable(Fault(at, "not-utf-8", "this is not UTF-8 text", hint)) from None
    if found := _UNSEEN.search(text):
        what = f"an invisible character stands here (U+{ord(found[0]):04X})"
        hint = "remove it; in double quotes it can be written as an escape"
        raise _Unreadable(Fault(_mark_at(text, found.start()), "invisible", what, hint))
    return text


def _as_yaml(text: str, *, must_be_json: bool) -> str:
    """Return JSON without the two escapes that YAML lacks, and any other text as it is."""
    if not must_be_json and not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except RecursionError:
        return text  # the bound on depth says so with its place
    except ValueError as error:
        if must_be_json and isinstance(error, json.JSONDecodeError) and text.strip():
            fault = Fault(
                _mark_at(text, error.pos), "not-json", f"this is not JSON: {error.msg.lower()}",
                "a file whose name ends in .json is read as JSON; .yaml allows more",
            )  # fmt: skip
            raise _Unreadable(fault) from None
        return text
    return _ESCAPE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    if found[0] == r"\/":
        return "/"
    if len(found[0]) == 2:
        return found[0]
    letter: str = json.loads('"' + found[0] + '"')
    return f"\\U{ord(letter):08x}"


class _Builder:
    """Makes the tree of one text."""

    def __init__(self, text: str) -> None:
        self.faults: list[Fault] = []
        self._events = _events(text)
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._nodes = 0

    def document(self) -> Node | None:
        """Return the only document, or nothing where there is none."""
        next(self._events)  # the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            message = "a second document begins here"
            self._stop(event, "documents", message, "everything belongs to one: remove the '---'")
        return root

    def _stop(self, event: _Event, code: str, message: str, hint: str | None = None) -> NoReturn:
        raise _Unreadable(Fault(_mark(event.start_mark), code, message, hint))

    def _count(self, event: _Event, number: int) -> None:
        self._nodes += number
        if self._nodes > NODES:
            self._stop(event, "too-many", f"there are more than {NODES:,} values up to here")

    def _node(self, event: _Event, depth: int) -> Node:
        if depth > DEPTH:
            self._stop(event, "too-deep", f"this is nested deeper than {DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        before = self._nodes
        self._count(event, 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = None  # not known until its end: no circles
        if event.tag is not None and event.tag not in {*CORE_TAGS, "!"}:
            message = "tags such as !!python or !include are not understood here"
            self.faults.append(Fault(_mark(event.start_mark), "tag", message, "remove it"))
        node: Node
        if isinstance(event, yaml.MappingStartEvent):
            node = self._keys(event, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Items(_mark(event.start_mark), [])
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                node.nodes.append(self._node(item, depth + 1))
        else:
            node = _leaf(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._nodes - before)
        return node

    def _aliased(self, event: _Event) -> Node:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            fault = f"*{event.anchor} is used, and there is no &{event.anchor} above it"
            if event.anchor in self._anchors:
                fault = f"*{event.anchor} stands within what it stands for"
            self._stop(event, "alias", fault, "a text that begins with '*' needs quotes")
        self._count(event, known[1])
        return known[0]

    def _keys(self, event: _Event, depth: int) -> Keys:
        keys = Keys(_mark(event.start_mark), {})
        merged: list[Node] = []
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                hint = "does a text that begins with '{', '[', '*' or '&' need quotes?"
                self._stop(key, "key", "this cannot be a key: a key is one word", hint)
            self._count(key, 1)
            value = self._node(next(self._events), depth + 1)
            at = _mark(key.start_mark)
            if key.value == "<<" and key.implicit[0]:
                merged.append(value)
            elif key.value in keys.entries:
                first = keys.entries[key.value].key_at
                message = f"the key {key.value!r} is here a second time"
                hint = "remove one of the two"
                self.faults.append(Fault(at, "duplicate-key", message, hint, first))
            else:
                keys.entries[key.value] = Entry(at, value)
        for node in merged:
            self._merge(node, keys)
        return keys

    def _merge(self, node: Node, keys: Keys) -> None:
        """Take over what the mapping does not say itself; of several the first counts."""
        for each in node.nodes if isinstance(node, Items) else [node]:
            if isinstance(each, Keys):
                for name, entry in each.entries.items():
                    keys.entries.setdefault(name, entry)
            else:
                message = "'<<' takes a mapping, or a list of mappings"
                self.faults.append(Fault(each.at, "merge", message))


def _leaf(event: _Event) -> Leaf:
    value = resolve(event.value) if event.implicit[0] and event.tag is None else event.value
    return Leaf(_mark(event.start_mark), value, _mark(event.end_mark))


def _mark(mark: _Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _events(text: str) -> Iterator[_Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        raise _Unreadable(_explained(error, text)) from None
    except yaml.YAMLError:
        message = "this is not YAML"
        raise _Unreadable(Fault(Mark(1, 1), "syntax", message)) from None


def _explained(error: _ParserError, text: str) -> Fault:
    """Say in the words of an editor what a parser says in its own."""
    lines, problem = _split(text), error.problem
    at = _mark(error.problem_mark)
    if at.line > len(lines):  # behind the end of a text whose last line has none
        at = Mark(len(lines), len(lines[-1]) + 1)
    context = None if error.context_mark is None else _mark(error.context_mark)
    if context is not None:
        if problem == "found unexpected end of stream":
            return Fault(context, "quote", "this quote is never closed")
        if problem.startswith("did not find expected ',' or"):
            return _unclosed("'['" if "]" in problem else "'{'", at, context, lines)
        if problem == "could not find expected ':'":
            at = context
    if "cannot start any token" in problem:
        return _bad_start(at, lines)
    if "tab character" in problem:
        return _tab(at)
    message, hint = _SENTENCES.get(problem, (f"this is not YAML: {problem}", None))
    return Fault(at, "syntax", message, hint)


def _unclosed(bracket: str, at: Mark, first: Mark, lines: list[str]) -> Fault:
    """Tell a bracket that is never closed from one within which a comma is missing."""
    if at.line > first.line and _indent(lines[at.line - 1]) <= _indent(lines[first.line - 1]):
        return Fault(first, "bracket", f"this {bracket} is never closed")
    message = f"a comma or the end of the {bracket} is missing before this"
    return Fault(at, "bracket", message, first=first)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _bad_start(at: Mark, lines: list[str]) -> Fault:
    letter = lines[at.line - 1][at.column - 1 : at.column]
    if letter == "\t":
        return _tab(at)
    return Fault(at, "syntax", f"no value begins with {letter!r}", "put the text in quotes")


def _tab(at: Mark) -> Fault:
    return Fault(at, "tab", "a tab stands where YAML wants spaces", "indent with spaces")
