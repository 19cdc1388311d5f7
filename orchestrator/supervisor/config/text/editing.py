"""Change one thing in the text of a configuration, and leave every other character as it is.

The parser says where a thing stands, and only that is replaced: comments, order, quotes and indents
stay because nobody writes them anew. It knows no key and promises little: whoever asks reads the
text again and compares, because a text has more ways of being written than are thought of here.

The library's composer is asked, because where a value ends only it tells; what it passes over, such
as a key that is there twice, was refused before anything is edited.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

Steps = tuple[str | int, ...]
_ALIAS: Final = re.compile(r"[\s:]*\*[^\s,\[\]{}]+")
_COMMENT: Final = re.compile(r"[ ]*#")
_BLOCK: Final = frozenset({"|", ">"})


class Uneditable(Exception):
    """This is written in a way that only a person can change."""


@dataclass(frozen=True, slots=True)
class _Member:
    """What stands at one place of a mapping or a list: its key, if it has one, and its value."""

    key: Node | None
    value: Node

    @property
    def start(self) -> int:
        """Return where it begins."""
        node = self.value if self.key is None else self.key
        return int(node.start_mark.index)


def put(text: str, steps: Steps, value: str) -> str:
    """Return the text with a value, written as given, at the end of these steps."""
    return _Text(text).put(steps, value)


def append(text: str, key: str, entry: Sequence[tuple[str, str]]) -> str:
    """Return the text with one more mapping in the list at a key of the outermost mapping."""
    return _Text(text).append(key, entry)


def remove(text: str, steps: Steps) -> str:
    """Return the text without what is at the end of these steps."""
    return _Text(text).remove(steps)


class _Text:
    """A text, and where everything in it is."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, MappingNode):
            raise Uneditable("it is no mapping")
        self._root = root

    def put(self, steps: Steps, value: str) -> str:
        """Replace a value, or add it to the mapping that is nearest."""
        node: Node = self._root
        for depth, step in enumerate(steps):
            member = self._member(node, step)
            if member is None:
                return self._add(node, [str(each) for each in steps[depth:]], value)
            if depth == len(steps) - 1 or self._is_nothing(member.value):
                rest = [str(each) for each in steps[depth + 1 :]]
                return self._replace(member, self._nested(node, rest, value))
            node = member.value
        raise Uneditable("nothing is named")

    def append(self, key: str, entry: Sequence[tuple[str, str]]) -> str:
        """Add an item to a list; the list is made where there is none."""
        member = self._member(self._root, key)
        if member is None:
            lines = [key + ":", *(f"  {line}" for line in _item(entry))]
            return self._after(self._end(self._root), lines, self._column(self._root))
        items = member.value
        if isinstance(items, SequenceNode) and items.value and items.flow_style:
            return self._into_flow(items, _flow(entry))
        if isinstance(items, SequenceNode) and items.value:
            column = int(items.start_mark.column)
            end = self._with_comments(self._end(items), column)
            gap = [""] if self._is_spaced(items) else []
            return self._after(end, [*gap, *(" " * column + line for line in _item(entry))], 0)
        if self._root.flow_style:
            return self._replace(member, f"[{_flow(entry)}]")
        lines = [f"  {line}" for line in _item(entry)]
        emptied = self._replace(member, "")
        colon = emptied.index(":", int(self._key(member).end_mark.index)) + 1
        end = _end_of_line(emptied, colon)
        if not emptied[colon:end].strip():
            emptied, end = emptied[:colon] + emptied[end:], colon
        return _inserted(emptied, end, lines, self._line_end)

    def remove(self, steps: Steps) -> str:
        """Remove a key, or an item; what then would be empty goes as well."""
        node: Node = self._root
        path: list[tuple[Node, _Member]] = []
        for step in steps:
            member = self._member(node, step)
            if member is None:
                raise Uneditable("it is not there")
            path.append((node, member))
            node = member.value
        while len(path) > 1 and len(path[-1][0].value) == 1:
            if isinstance(path[-1][0], SequenceNode):
                return self._replace(path[-2][1], "[]")
            if isinstance(path[-2][0], SequenceNode):
                raise Uneditable("nothing would be left of this entry")
            path.pop()
        return self._cut(*path[-1])

    def _cut(self, node: Node, member: _Member) -> str:
        members = self._members(node)
        at = members.index(member)
        end = self._end_of(member)
        if node.flow_style:
            if at + 1 < len(members):
                return self._text[: member.start] + self._text[members[at + 1].start :]
            begin = self._end_of(members[at - 1]) if at else member.start
            return self._text[:begin] + self._text[end:]
        begin = member.start if member.key else self._text.rindex("-", 0, member.start)
        line = _begin_of_line(self._text, begin)
        if self._text[line:begin].strip():
            # The first key of an item, which shares its line with the dash.
            if at + 1 == len(members):
                raise Uneditable("nothing would be left of this entry")
            return self._text[:begin] + self._text[members[at + 1].start :]
        if member.key is None:
            end = self._with_comments(end, begin - line)
        after = _end_of_line(self._text, end)
        rest = self._text[after:]
        return self._text[:line] + rest.removeprefix("\r").removeprefix("\n")

    def _add(self, node: Node, names: list[str], value: str) -> str:
        """Add a key to a mapping, with as many mappings around the value as are missing."""
        if not isinstance(node, MappingNode):
            raise Uneditable(f"there is no place for {names[0]!r}")
        key, inner = names[0], self._nested(node, names[1:], value)
        if node.flow_style:
            return self._into_flow(node, f"{self._word(node, key)}: {inner}")
        return self._after(self._end(node), [f"{key}: {inner}"], self._column(node))

    def _nested(self, node: Node, names: list[str], value: str) -> str:
        for name in reversed(names):
            value = f"{{{self._word(node, name)}: {value}}}"
        return value

    def _into_flow(self, node: Node, piece: str) -> str:
        members = self._members(node)
        if not members:
            begin = int(node.start_mark.index) + 1
            return f"{self._text[:begin]}{piece}{self._text[begin:]}"
        last = members[-1].start
        line = _begin_of_line(self._text, last)
        indent = self._text[line:last]
        gap = " " if indent.strip() else self._line_end + indent
        end = self._end_of(members[-1])
        return f"{self._text[:end]},{gap}{piece}{self._text[end:]}"

    def _replace(self, member: _Member, value: str) -> str:
        """Write another value; of one that has lines of its own, all of them go."""
        key, old = self._key(member), member.value
        if int(old.start_mark.index) < int(key.end_mark.index):
            raise Uneditable("it is an alias: what it stands for is shared with others")
        begin, end = int(old.start_mark.index), self._end(old)
        own_lines = isinstance(old, ScalarNode) and old.style in _BLOCK
        if own_lines or (not isinstance(old, ScalarNode) and not old.flow_style):
            begin = self._text.index(":", int(key.end_mark.index)) + 1
        gap = " " if self._text[begin - 1] == ":" and value else ""
        return self._text[:begin] + gap + value + self._text[end:]

    def _after(self, end: int, lines: list[str], column: int) -> str:
        indented = [" " * column + line if line else line for line in lines]
        return _inserted(self._text, _end_of_line(self._text, end), indented, self._line_end)

    def _with_comments(self, end: int, column: int) -> int:
        """Return the end of the comments below, as far as they are indented as what is above."""
        while True:
            begin = self._text.find("\n", end) + 1
            line = self._text[begin : _end_of_line(self._text, begin)]
            indent = len(line) - len(line.lstrip(" "))
            if not begin or not _COMMENT.match(line) or indent <= column:
                return end
            end = begin + len(line)

    def _members(self, node: Node) -> list[_Member]:
        if isinstance(node, MappingNode):
            return [_Member(key, value) for key, value in node.value]
        return [_Member(None, value) for value in node.value]

    def _member(self, node: Node, step: str | int) -> _Member | None:
        if isinstance(node, SequenceNode):
            fits = isinstance(step, int) and step < len(node.value)
            return _Member(None, node.value[step]) if fits else None
        if not isinstance(node, MappingNode):
            return None
        return next((one for one in self._members(node) if one.key and one.key.value == step), None)

    @staticmethod
    def _key(member: _Member) -> Node:
        if member.key is None:
            raise Uneditable("it has no key")
        return member.key

    @staticmethod
    def _is_nothing(node: Node) -> bool:
        return isinstance(node, ScalarNode) and node.value == "" and node.style is None

    def _is_spaced(self, items: SequenceNode) -> bool:
        """Tell whether people left an empty line between the last two items."""
        if len(items.value) < 2:
            return False
        between = self._text[self._end(items.value[-2]) : int(items.value[-1].start_mark.index)]
        return "\n\n" in between.replace("\r", "")

    @staticmethod
    def _column(node: MappingNode) -> int:
        return int(node.value[0][0].start_mark.column) if node.value else 0

    def _is_json(self, node: Node) -> bool:
        keys = node.value if isinstance(node, MappingNode) else []
        return bool(node.flow_style and keys and keys[0][0].style == '"')

    def _word(self, node: Node, key: str) -> str:
        return json.dumps(key) if self._is_json(self._root) or self._is_json(node) else key

    def _end_of(self, member: _Member) -> int:
        key = member.key
        if key is not None and int(member.value.start_mark.index) < int(key.end_mark.index):
            found = _ALIAS.match(self._text, int(key.end_mark.index))
            if found is None:
                raise Uneditable("it is written in a way that is not understood here")
            return found.end()
        return self._end(member.value)

    def _end(self, node: Node) -> int:
        """Return where the last character of it is, without the comments below."""
        end = int(node.end_mark.index)
        if isinstance(node, ScalarNode):
            return len(self._text[:end].rstrip()) if node.style in _BLOCK else end
        if node.flow_style or not node.value:
            return end
        return self._end_of(self._members(node)[-1])


def _item(entry: Sequence[tuple[str, str]]) -> list[str]:
    """Return a mapping as an item of a list, a line for each key."""
    return [f"{'  ' if at else '- '}{key}: {value}" for at, (key, value) in enumerate(entry)]


def _flow(entry: Sequence[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in entry) + "}"


def _inserted(text: str, at: int, lines: list[str], line_end: str) -> str:
    return text[:at] + "".join(f"{line_end}{line}" for line in lines) + text[at:]


def _begin_of_line(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _end_of_line(text: str, index: int) -> int:
    """Return where the line ends, before whatever ends it."""
    end = text.find("\n", index)
    end = len(text) if end < 0 else end
    return end - 1 if end > index and text[end - 1] == "\r" else end
