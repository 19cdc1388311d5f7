"""What we tell people is what the programs do: documents are compared with the source.

A document that repeats what the source knows (a table, a diagram, a list of words) is either
generated from it or tested against it; nothing else keeps it true.
"""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

import orchestrator
from orchestrator import cli
from orchestrator.core.job_lifecycle import TRANSITIONS, mermaid
from orchestrator.core.retention import USUAL
from orchestrator.kernel import failpoints
from orchestrator.protocol import limits
from orchestrator.protocol.words import JobState, Outcome, PendingReason, Reason
from orchestrator.server.access.table import PUBLIC, RULES
from orchestrator.server.operations import retention
from tests.support import documents
from tests.support.source import ROOT, product

MANUAL = "ORCHESTRATOR.md"
TESTING = "docs/reliability.md"
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
EVENT = re.compile(r"[a-z]+\.[a-z_]+")
REACHED = "orchestrator.kernel.failpoints.reached"
FAILPOINTS = {failpoints.SPEC, failpoints.FOLDER}
VARIABLE = re.compile(r"\bORCHESTRATOR_[A-Z0-9_]*[A-Z0-9]\b")
SIZES = {"KiB": limits.KIB, "MiB": limits.MIB, "GiB": 1024 * limits.MIB}


def test_the_diagram_is_the_table() -> None:
    """The manual draws exactly the transitions that are possible."""
    drawn = documents.fenced(documents.section(MANUAL, "The life of a job"), "mermaid")

    assert drawn == [mermaid() + "\n"]
    assert all(
        f"{source} --> {to}: {event}" in drawn[0] for (source, event), to in TRANSITIONS.items()
    )


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("States", JobState),
        ("Why a job is not running", PendingReason),
        ("How a try ends", Outcome),
        ("Why it ended so", Reason),
    ],
)
def test_every_word_of_a_closed_list_is_explained(
    title: str, words: type[JobState | PendingReason | Outcome | Reason]
) -> None:
    """States, outcomes and reasons that a person may meet stand in the manual, and no others."""
    table = documents.rows(documents.section(MANUAL, title))

    explained = [word for row in table for word in re.findall(r"`(\w+)`", row[0])]

    assert sorted(explained) == sorted(words)


def test_the_exit_codes_are_those_of_the_programs() -> None:
    """The table of exit codes has the programs' numbers and words."""
    table = documents.rows(documents.section(MANUAL, "Exit codes"))

    assert {int(number): words for number, words, *_ in table} == dict(cli.EXIT_CODES)


def test_the_settings_are_those_of_the_programs() -> None:
    """Every variable that a program reads or sets is in the manual, and every one there exists.

    Those of failpoints are for developers, so the manual does not have them.
    """
    told = set(VARIABLE.findall(documents.text(MANUAL)))
    used = {name for source in product() for name in VARIABLE.findall(source.text)}

    assert told == used - FAILPOINTS
    assert set(VARIABLE.findall(documents.section(TESTING, "Failpoints"))) == FAILPOINTS


def test_the_failpoints_are_those_of_the_source() -> None:
    """Every place is listed, stands in the source, and is told in words, in the same order."""
    table = documents.rows(documents.section(TESTING, "Sites"))
    called = {
        node.args[0].value
        for source in product()
        for node in source.nodes
        if isinstance(node, ast.Call) and source.dotted(node.func) == REACHED
        if isinstance(node.args[0], ast.Constant)
    }

    assert called == set(failpoints.SITES)
    assert [row[0].strip("`") for row in table] == list(failpoints.SITES)


def test_the_routes_are_those_of_the_server() -> None:
    """Every route for people is in the manual, and every one there exists."""
    told = {
        re.sub(r"\{\w+\}", "{}", route)
        for row in documents.rows(documents.section(MANUAL, "API"))
        for route in re.findall(r"`([A-Z]+ /\S+)`", row[0])
    }
    for_people = {f"{rule.method} {rule.path}" for rule in RULES if "/worker/" not in rule.path}

    served = for_people | {f"GET {path}" for path in PUBLIC}
    assert told == {re.sub(r"\{\w+\}", "{}", route) for route in served}


def test_every_limit_in_the_manual_is_the_one_that_is_enforced() -> None:
    """A limit is told with its name in `protocol/limits.py`, and with its value."""
    table = documents.rows(documents.section(MANUAL, "Limits"))

    assert len(table) > 10
    for what, told, name in table:
        assert _number(told) == getattr(limits, name.strip("`")), what


def _number(told: str) -> float:
    """Return the number that `64 MiB`, `1 h`, `20,000` or `10 s` stand for."""
    number, _, unit = told.replace(",", "").partition(" ")
    seconds = {"s": 1, "min": 60, "h": 3600, "days": 24 * 3600}
    return float(number) * (SIZES | seconds | {"": 1}).get(unit.split()[0] if unit else "", 1)


def _subcommand(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that a line names, and the words that follow."""
    command: click.Command = cli.root
    rest = words
    while isinstance(command, click.Group) and rest:
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"there is no {rest[0]!r} in {' '.join(words)}"
        command, rest = found, rest[1:]
    return command, rest


@pytest.mark.parametrize("name", [MANUAL, "README.md", "CHANGELOG.md", "benchmarks/README.md"])
def test_every_command_line_in_a_document_exists(name: str) -> None:
    """Commands and options that people are told to type are there."""
    text = documents.text(name)
    lines = [*documents.commands(text), *documents.quoted(text)]

    for line in lines:
        found = re.search(r"(?:^|\s|/)orchestrator ([a-z].*)", line)
        if found is None or "|" in found[1].split(" -- ")[0]:
            continue
        words = shlex.split(found[1].split(" -- ")[0], comments=True)
        command, rest = _subcommand(words)
        known = {option for parameter in command.params for option in parameter.opts}
        options = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z-]+(=|$)", word)}
        assert options <= known | {"--help"}, line


def test_every_event_of_the_log_is_explained() -> None:
    """Each event that a program logs stands in the manual, and no other."""
    table = documents.rows(documents.section(MANUAL, "Log"))
    told = [event for row in table for event in documents.quoted(row[0])]
    written = {text for source in product() for text in source.strings if EVENT.fullmatch(text)}
    families = ("run.", "worker.")  # their second half is the name of a phase or an order

    assert len(told) == len(set(told))
    assert {event for event in told if not event.startswith(families)} <= written
    assert {event for source in product() for event in source.logged} <= set(told)


def test_how_long_things_are_kept_is_told() -> None:
    """The manual says after how many days finished jobs and unused files are removed."""
    told = documents.section(MANUAL, "Files and directories")

    assert f"Finished jobs are kept for {USUAL.succeeded_days:.0f} days" in told
    assert f"that failed or expired for {USUAL.failed_days:.0f} days" in told
    assert f"no job names for {retention.FILE_KEPT_DAYS:.0f} days" in told


def test_the_targets_of_make_exist() -> None:
    """Every `make …` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9-]+):", documents.text("Makefile"), re.MULTILINE))

    for name in DOCUMENTS:
        told = {
            found[1]
            for line in (
                *documents.quoted(documents.text(name)),
                *documents.commands(documents.text(name)),
            )
            if (found := re.match(r"make ([a-z]+)\b", line))
        }
        assert told <= targets | {"test"}, name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    """Links between documents name files and headings that exist."""
    here = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", documents.text(name)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = here if not path else (here.parent / path).resolve()
        assert there.exists(), target
        if anchor:
            assert anchor in _anchors(there), target


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_every_claim_of_the_mission_is_proven() -> None:
    """Each row that is done names tests, and these tests exist."""
    claims = documents.rows(documents.text("docs/mission.md"))

    assert len(claims) >= 22
    assert len({row[0] for row in claims}) == len(claims)
    for number, _, *cells in claims:
        proofs = re.findall(r"`([^`]+)`", cells[-1])
        assert proofs, number
        assert set(proofs) <= documents.test_ids(), number


@pytest.mark.parametrize("part", ["What it promises", "The thirteen points"])
def test_every_goal_of_a_machine_is_proven(part: str) -> None:
    """Each goal names tests, and these tests exist."""
    for *_, goal, cell in documents.rows(documents.section("docs/machine.md", part)):
        proofs = re.findall(r"`([^`]+)`", cell)
        assert proofs, goal
        assert set(proofs) <= documents.test_ids(), goal


def test_the_changelog_tells_of_this_version() -> None:
    """Whoever installs it can read what this version brought."""
    assert f"## [{orchestrator.__version__}]" in documents.text("CHANGELOG.md")
