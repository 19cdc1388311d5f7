"""The house looks after itself: what may not be written, and what to write instead.

Who may import whom is the business of the import contracts in pyproject.toml. Here are the calls
that undo a promise quietly: a clock read in the wrong place, a task without a parent, an error that
nobody hears of. Every exception is listed with its reason, and an exception that is not needed any
more fails, too.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.source import SourceFile, files, product, written_tests

FILE_LINES = 400
FUNCTION_LINES = 60
LONG_FILES: dict[str, str] = {}
"""path → why it is longer than `FILE_LINES`."""


@dataclass(frozen=True)
class Ban:
    """Names that may not be used, what to use instead, and where they are at home."""

    names: str
    instead: str
    at_home: dict[str, str] = field(default_factory=dict)

    def covers(self, name: str) -> bool:
        """Tell whether a resolved name is one of them, or inside one of them."""
        return any(name == banned or name.startswith(f"{banned}.") for banned in self.names.split())


PRODUCT_BANS = {
    "wall clock": Ban(
        "time.time time.time_ns datetime.date.today datetime.datetime.now datetime.datetime.utcnow",
        "take the time as an argument, or ask the `kernel.clock.Clock` that was handed in",
        {
            "orchestrator/kernel/clock.py": "is the clock",
            "worker/shim*.py": "stamps frames, and imports next to nothing",
        },
    ),
    "chance": Ban(
        "random uuid",
        "take the draw as an argument; ids are `protocol.ids` over bytes of the system",
    ),
    "environment": Ban(
        "os.environ os.environb os.getenv",
        "read settings once, in a settings module, and hand them on",
        {
            "orchestrator/cli.py": "takes it from the process, once, for everybody",
            "orchestrator/kernel/brood.py": "hands on its own, unread",
            "orchestrator/kernel/failpoints.py": "is asked by developers, before any settings",
            "orchestrator/kernel/paths.py": "names places, which two variables move",
            "worker/settings.py": "keeps what a job may see of it",
        },
    ),
    "printing": Ban(
        "print sys.stdout sys.stderr",
        "return it, or log an event; only `commands/output.py` speaks to people",
        {
            "orchestrator/commands/output.py": "is where words for people are written",
            "orchestrator/kernel/logs.py": "is where log lines are written",
            "orchestrator/kernel/launcher.py": "empties them before a fork doubles what is in them",
        },
    ),
    "orphan tasks": Ban(
        "asyncio.create_task asyncio.ensure_future asyncio.gather asyncio.TaskGroup",
        "start it in an anyio task group: every task has a parent",
    ),
    "unsafe code": Ban(
        "pickle marshal shelve eval exec compile yaml.load tempfile.mktemp os.system os.popen",
        "use JSON, argument lists, and files that are made when they are named",
    ),
    "slow client": Ban(
        "httpx",
        "go through `orchestrator.client.http`, the one place that imports it, late",
        {"orchestrator/client/http.py": "is that place"},
    ),
}
TEST_BANS = {
    "sleeping": Ban(
        "time.sleep anyio.sleep asyncio.sleep",
        "wait for a condition: `tests.support.waiting`",
        {
            "tests/support/waiting.py": "is where the waiting is done",
            "tests/chaos/actor.py": "is a command that takes its time",
        },
    ),
    "mocks": Ban(
        "unittest.mock mock",
        "use the real thing, or a fake at a real socket",
    ),
}
CATCH_ALLS: dict[str, str] = {
    "orchestrator/cli.py": "around the program",
    "orchestrator/kernel/launcher.py": "around a forked child, which must not go on as its parent",
    "orchestrator/server/edge/envelope.py": "around a request",
    "orchestrator/supervisor/control/routes.py": "around a request",
    "orchestrator/server/store/writer.py": "around an operation; whoever waits hears of it",
}
"""path → why it may say `except Exception`: around a child service, a request, or the program."""


def _complain(faults: Iterable[str]) -> None:
    listed = sorted(set(faults))
    if listed:
        pytest.fail("\n".join(["", *listed]), pytrace=False)


def _offences(ban: Ban, sources: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, str, int]]:
    for source in sources:
        for name, line in source.uses():
            if ban.covers(name):
                yield source, name, line


@pytest.mark.parametrize("title", PRODUCT_BANS)
def test_banned_names_in_the_programs(title: str) -> None:
    """What breaks a promise quietly is used only where it is at home."""
    _check(PRODUCT_BANS[title], product())


@pytest.mark.parametrize("title", TEST_BANS)
def test_banned_names_in_the_tests(title: str) -> None:
    """Tests wait for conditions and use the real thing."""
    _check(TEST_BANS[title], written_tests())


def _check(ban: Ban, sources: tuple[SourceFile, ...]) -> None:
    offences = list(_offences(ban, sources))
    needed = {home for home in ban.at_home for source, _, _ in offences if source.matches(home)}

    _complain(
        f"{source.path}:{line}: {name}: {ban.instead}"
        for source, name, line in offences
        if not source.matches(*ban.at_home)
    )
    _complain(f"{home}: is excused without need" for home in ban.at_home if home not in needed)


def test_no_shell_by_accident_and_no_blind_unpacking() -> None:
    """No program is given to a shell by a flag, and no archive is unpacked unchecked."""
    faults = []
    for source in product():
        for node in source.nodes:
            if isinstance(node, ast.Call):
                flags = {word.arg: word.value for word in node.keywords}
                shell = flags.get("shell")
                if (
                    isinstance(shell, ast.Constant)
                    and shell.value is True
                    and _spawns(source, node)
                ):
                    faults.append(f"{source.path}:{node.lineno}: shell=True: give an argument list")
            if isinstance(node, ast.Attribute) and node.attr in {"extractall", "extract"}:
                name = source.dotted(node) or node.attr
                if "ziparchive" not in name:
                    faults.append(f"{source.path}:{node.lineno}: {name}: use kernel.ziparchive")

    _complain(faults)


def _spawns(source: SourceFile, call: ast.Call) -> bool:
    name = source.dotted(call.func) or ""
    return name.startswith(("subprocess.", "asyncio.", "anyio."))


def test_every_error_is_heard() -> None:
    """Only the outermost layers catch everything; elsewhere an unknown error ends the program."""
    faults, met = [], set()
    for source in product():
        for node in source.nodes:
            if not isinstance(node, ast.ExceptHandler) or not _catches_all(node):
                continue
            excuse = next((path for path in CATCH_ALLS if source.matches(path)), None)
            met.add(excuse)
            if excuse is None:
                faults.append(f"{source.path}:{node.lineno}: name the error that you can handle")

    _complain(faults)
    _complain(f"{path}: is excused without need" for path in CATCH_ALLS if path not in met)


def _catches_all(handler: ast.ExceptHandler) -> bool:
    """Tell whether it swallows anything: one that ends in a bare `raise` only tidies up."""
    if isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None:
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {kind.id if isinstance(kind, ast.Name) else None for kind in kinds}
    return handler.type is None or bool(names & {"Exception", "BaseException"})


def test_commands_call_the_server_at_a_desk() -> None:
    """Which paths a command asks for stands in one place for each noun, and not in the command."""
    _complain(
        f"{source.path}:{node.lineno}: .api: ask a method of Remote, or the desk.py of this noun"
        for source in product()
        if source.matches("orchestrator/commands/*")
        and not source.matches("orchestrator/commands/remote.py", "*/desk.py")
        for node in source.nodes
        if isinstance(node, ast.Attribute) and node.attr == "api"
    )


def test_no_asserts_in_the_programs() -> None:
    """A condition that must hold is checked in production, too: `invariant(…)`."""
    _complain(
        f"{source.path}:{node.lineno}: assert: use kernel.errors.invariant"
        for source in product()
        for node in source.nodes
        if isinstance(node, ast.Assert)
    )


def test_rules_are_typed_to_the_end() -> None:
    """Where rules are, no value has an unknown type."""
    rules = [s for s in product() if s.matches("orchestrator/core/*", "*/logic/*")]

    _complain(
        f"{source.path}:{source.imported_modules['typing.Any']}: say which type it is"
        for source in rules
        if "typing.Any" in source.imported_modules
    )


def test_everything_public_says_what_it_is() -> None:
    """Modules, and the functions and classes that others may use, have a docstring."""
    faults = [
        f"{source.path}: says nothing about itself"
        for source in (*product(), *written_tests(), *files("benchmarks"))
        if source.tree.body and ast.get_docstring(source.tree) is None
    ]
    for source in product():
        faults += [
            f"{source.path}:{node.lineno}: {node.name} says nothing about itself"
            for node in _public(source.tree)
            if ast.get_docstring(node) is None
        ]

    _complain(faults)


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(owner: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Yield what others may name; functions inside functions are nobody's business."""
    for node in owner.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            if not any(_is_overload(decorator) for decorator in node.decorator_list):
                yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def _is_overload(decorator: ast.expr) -> bool:
    return "overload" in ast.dump(decorator) or "override" in ast.dump(decorator)


def test_every_test_states_a_behaviour() -> None:
    """Each test has a docstring that is a whole sentence."""
    faults = []
    for source in written_tests():
        for node in source.nodes:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_"):
                sentence = ast.get_docstring(node) or ""
                if not sentence.endswith("."):
                    faults.append(f"{source.path}:{node.lineno}: {node.name} states no behaviour")

    _complain(faults)


def test_files_and_functions_fit_in_a_head() -> None:
    """A file has at most 400 lines and a function 60, unless it is listed with its reason."""
    faults, long = [], set()
    for source in (*product(), *written_tests(), *files("benchmarks")):
        lines = source.text.count("\n")
        if lines > FILE_LINES:
            long.add(source.path)
            if source.path not in LONG_FILES:
                faults.append(f"{source.path}: {lines} lines; split it at its seam")
        faults += _long_functions(source)

    _complain(faults)
    _complain(f"{path}: is excused without need" for path in LONG_FILES if path not in long)


def _long_functions(source: SourceFile) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _lines_of(node)
            if lines > FUNCTION_LINES:
                yield f"{source.path}:{node.lineno}: {node.name} has {lines} lines"


def _lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of its body, without its docstring and the functions that stand in it."""
    body = function.body[1 if ast.get_docstring(function) and function.body[1:] else 0 :]
    inner = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    spans = [(node.end_lineno or 0) - node.lineno + 1 for node in inner]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 - sum(spans)


def test_an_address_is_written_in_one_place() -> None:
    """How a host and a port become one text is known to `kernel.listening.authority` alone."""
    written = {
        str(source.path)
        for source in product()
        for node in source.nodes
        if isinstance(node, ast.JoinedStr)
        for part in node.values
        if isinstance(part, ast.Constant) and str(part.value).startswith("]:")
    }

    assert written == {"orchestrator/kernel/listening.py"}
