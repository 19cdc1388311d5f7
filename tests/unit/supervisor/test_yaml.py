"""YAML as a tree with places: what is understood, what is refused, and where that is said."""

import pytest

from orchestrator.supervisor.config.quantities import (
    duration_s,
    duration_text,
    size_bytes,
    size_or_share,
    size_text,
)
from orchestrator.supervisor.config.text.document import (
    DEPTH,
    Document,
    Items,
    Keys,
    Leaf,
    Mark,
    Node,
    read,
)
from orchestrator.supervisor.config.text.masking import Mask, scrub
from orchestrator.supervisor.config.text.sheet import plain
from orchestrator.supervisor.logic.redaction import HIDDEN

SCALARS = [
    ("no", "no"),
    ("on", "on"),
    ("Yes", "Yes"),
    ("true", True),
    ("FALSE", False),
    ("tRUE", "tRUE"),
    ("~", None),
    ("null", None),
    ("", None),
    ("12", 12),
    ("-3", -3),
    ("012", 12),
    ("0o17", 15),
    ("0x1F", 31),
    ("1_000", "1_000"),
    ("1:30", "1:30"),
    ("1.5", 1.5),
    ("1e3", 1000.0),
    (".5", 0.5),
    (".inf", ".inf"),
    (".nan", ".nan"),
    ("9" * 30, "9" * 30),
    ("2026-08-21", "2026-08-21"),
    ("'12'", "12"),
    ('"true"', "true"),
    ("!!str 12", "12"),
    ("! 12", "12"),
]
REFUSED = [
    ("a: 1\n\tb: 2", (2, 1), "tab"),
    ("a:\n\tb: 2", (2, 1), "tab"),
    ("a: b: c", (1, 5), "syntax"),
    ("a: 1\nb\nc: 2", (2, 1), "syntax"),
    ("a: 1\n  b: 2", (2, 4), "syntax"),
    ("a:\n  - b\n c: 1", (3, 2), "syntax"),
    ("a:\n  b: 1\n - c", (3, 2), "syntax"),
    ("- a\nb: 1", (2, 1), "syntax"),
    ("a: 'x\nb: 1", (1, 4), "quote"),
    ("a: [1, 2\nb: 3", (1, 4), "bracket"),
    ("a: {b: 1\nc: 3", (1, 4), "bracket"),
    ("{a: [1, 2\n  , 3, {b: 1 ]}", (2, 14), "bracket"),
    ("a: ]", (1, 4), "syntax"),
    ("a: @x", (1, 4), "syntax"),
    ("a: `x", (1, 4), "syntax"),
    ("a: %x", (1, 4), "syntax"),
    ('a: "\\q"', (1, 5), "syntax"),
    ("a: *x", (1, 4), "alias"),
    ("a: &x [*x]", (1, 8), "alias"),
    ("a: 1\n---\nb: 2", (2, 1), "documents"),
    ("? [a]\n: 1", (1, 3), "key"),
    ("a: 1\nb: \x07", (2, 4), "invisible"),
    ("a: 1\nb: x\u2028y", (2, 5), "invisible"),
    ("a: " + "[" * 10_000, (1, 4 + DEPTH), "too-deep"),
    ("%YAML 3.0\n---\na: 1", (1, 1), "syntax"),
]
GOES_ON = [
    ("a: 1\nb: 2\na: 3", (3, 1), "duplicate-key"),
    ('{"a": 1, "a": 2}', (1, 10), "duplicate-key"),
    ("x: {a: 1, 'a': 2}", (1, 11), "duplicate-key"),
    ("a: !!python/object:x.Y {}", (1, 4), "tag"),
    ("a: !include x", (1, 4), "tag"),
    ("a: !!int 1", (1, 4), "tag"),
    ("a: {<<: 1}", (1, 9), "merge"),
]


def _value(document: Document) -> object:
    assert document.root is not None
    assert document.faults == ()
    return plain(document.root)


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_words_stand_for_what_version_1_2_says(text: str, value: object) -> None:
    """Only `true` and `false` are truths, only digits are numbers, and quotes make text."""
    found = _value(read(f"- {text}\n- end".encode()))

    assert isinstance(found, list)
    assert found == [value, "end"]
    assert type(found[0]) is type(value)


@pytest.mark.parametrize(("text", "at", "code"), REFUSED)
def test_what_is_no_yaml_is_told_where_it_begins(text: str, at: Mark, code: str) -> None:
    """Reading stops at the first one, and its place is where a person has to look."""
    document = read(text.encode())

    (fault,) = document.faults
    assert document.root is None
    assert (tuple(fault.at[:2]), fault.code) == (at, code), fault


@pytest.mark.parametrize(("text", "at", "code"), GOES_ON)
def test_what_is_not_meant_is_told_and_read_past(text: str, at: Mark, code: str) -> None:
    """A mistake that leaves the rest readable does not hide the next one."""
    document = read((text + "\n").encode())

    assert document.root is not None
    assert [(tuple(fault.at[:2]), fault.code) for fault in document.faults] == [(at, code)]


def test_bytes_that_are_no_text_are_told_where_they_are() -> None:
    """The column counts characters, and a mark at the beginning of the file does not count."""
    for head in (b"", b"\xef\xbb\xbf"):
        (fault,) = read(head + "a: 1\r\nbü: ".encode() + b"\xff").faults
        assert (tuple(fault.at[:2]), fault.code) == ((2, 5), "not-utf-8")


def test_endings_of_lines_are_counted_once() -> None:
    """Files of every system have the same lines."""
    for ending in ("\n", "\r\n", "\r"):
        document = read(ending.join(["a: 1", "b:", "  c: 2", ""]).encode())
        assert isinstance(document.root, Keys)
        inner = document.root.entries["b"].node
        assert isinstance(inner, Keys)
        assert inner.entries["c"].key_at == Mark(3, 3)


def test_aliases_cost_what_they_stand_for() -> None:
    """Ten lines that stand for ten thousand million values are refused in a moment."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for name, before in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]")

    (fault,) = read("\n".join(lines).encode()).faults

    assert fault.code == "too-many"
    assert fault.at.line == 5


def test_merged_keys_give_way_to_what_is_said() -> None:
    """Of a mapping and those that it takes over, the nearest one counts; of those the first."""
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 3}\n'<<': text\n"

    value = _value(read(text.encode()))

    assert isinstance(value, dict)
    assert value["z"] == {"a": 3, "b": 1, "c": 2}
    assert value["<<"] == "text"


def test_every_node_knows_its_place() -> None:
    """Columns count characters, and a tree has the places of what was written."""
    document = read("ä: [1, {ö: 'ü'}]\n".encode())

    assert _places(document.root) == [Mark(1, 4), Mark(1, 5), Mark(1, 8), Mark(1, 12)]


def _places(node: Node | None) -> list[Mark]:
    match node:
        case Keys():
            inner = [mark for entry in node.entries.values() for mark in _places(entry.node)]
            return inner if node.at == Mark(1, 1) else [node.at, *inner]
        case Items():
            return [node.at, *(mark for item in node.nodes for mark in _places(item))]
        case Leaf():
            return [node.at]
        case None:
            return []


SHOWN = [
    ("a: 1", "a: …", "a: 1\nname: x"),
    ("token: abc", "token: …", ""),
    ("token: ${file:tokens/web}", "token: ${file:tokens/web}", ""),
    ("token: ${cmd:pass -p geheim}", "token: …", ""),
    ("token: ${file:x}${file:y}z", "token: …", ""),
    ("name: web  # secret_abc", "name: web  # …", ""),
    ("env: {A: geheim, B: 'two words'}", "env: {A: …, B: …}", ""),
    ("working_directry: x", "working_directry: …", ""),
    ("name: machine_0:worker_1:secret_2", "name: …", ""),
    ("server_url: https://me:pass@x", "server_url: https…x", ""),
]


@pytest.mark.parametrize(("line", "shown", "more"), SHOWN)
def test_a_line_is_shown_without_secrets(line: str, shown: str, more: str) -> None:
    """Values are hidden unless their key is one that holds no secret."""
    del more
    text = f"workers:\n  - {line}\n"

    seen, caret = Mask(text.split("\n"), read(text.encode()).root).line(Mark(2, 5))

    assert (seen, caret) == (f"  - {shown}", 4)


BROKEN = """\
version: 1
workers:
  - name: web
    token: geheim-1
    env:
      A: geheim-2
      "B": geheim-3
    env_file: .env
    tokn: geheim-4
    {"token": "geheim-5"}
    geheim-6
    name: web geheim-7
    token: >
      geheim-8
      geheim-9
    concurrency: 1
    bad: [
"""


def test_a_text_that_cannot_be_read_is_hidden_by_its_look() -> None:
    """Where there is no tree, lines, indents and names of keys say what may be seen."""
    lines = BROKEN.split("\n")
    mask = Mask(lines, None)

    seen = [mask.line(Mark(number, 1))[0] for number in range(1, len(lines) + 1)]

    assert "geheim" not in "\n".join(seen)
    assert seen[0] == "version: 1"
    assert seen[2] == "  - name: web"
    assert seen[3] == "    token: …"
    assert seen[7] == "    env_file: .env"
    assert seen[15] == "    concurrency: 1"


def test_a_caret_stays_where_it_belongs() -> None:
    """What is hidden before it moves it, and within what is hidden it stands at the sign for it."""
    text = "  - {token: geheim, name: web}"
    mask = Mask([text], read(text.encode()).root)

    for word, sign in (("name", "name"), ("geheim", HIDDEN), ("token", "token"), ("web", "web")):
        seen, caret = mask.line(Mark(1, text.index(word) + 1))
        assert seen[caret:].startswith(sign)
    assert scrub("see machine_0:worker_1:secret_2, please") == "see …, please"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("1h30m", 5400), ("7d", 604_800), ("1.5h", 5400), ("0s", 0)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    """Each unit stands for its seconds, and what is printed is read back."""
    assert duration_s(text) == seconds
    assert duration_s(duration_text(seconds)) == seconds


@pytest.mark.parametrize(
    "value", ["", "5", 5, "s", "5 m", "-5s", "5M", "1h 30m", "5s5", None, "٣s"]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """A number without a unit could mean anything."""
    with pytest.raises(ValueError, match="no duration"):
        duration_s(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("2GiB", 2**31), ("512 MiB", 2**29), ("10kB", 10_000), ("1.5gib", 1_610_612_736)],
)
def test_sizes_have_units(text: str, size: int) -> None:
    """Powers of 1024 have an i, those of 1000 have none, and what is printed is read back."""
    assert size_bytes(text) == size
    assert size_bytes(size_text(size)) == size


@pytest.mark.parametrize("value", ["", "5", 5, "2G", "GiB", "-1GiB", "1e3MiB", None, True])
def test_what_is_no_size_is_refused(value: object) -> None:
    """Neither a bare number nor a unit that means two things."""
    with pytest.raises(ValueError, match="no size"):
        size_bytes(value)


def test_a_share_is_a_part_of_a_whole() -> None:
    """Percent become a fraction; a size stays one; more than all is nothing."""
    assert size_or_share("10%") == 0.1
    assert size_or_share("2GiB") == 2**31
    with pytest.raises(ValueError, match="neither a size nor a share"):
        size_or_share("101%")
