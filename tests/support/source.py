"""Read our own source as a tree, for the tests that look after the house.

A name is resolved through the imports of its file, so `from time import time as t` hides nothing.
"""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property, lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOGGING = "orchestrator.kernel.logs.event"
PRODUCT = ("orchestrator", "worker")


@dataclass(frozen=True)
class SourceFile:
    """One Python file: its path in the project, its text and its tree."""

    path: str

    @cached_property
    def text(self) -> str:
        """Return what it holds."""
        return (ROOT / self.path).read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """Return it parsed."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Return every node of the tree."""
        return list(ast.walk(self.tree))

    @property
    def functions(self) -> list[str]:
        """Return the names of all functions, at any depth."""
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        return [node.name for node in self.nodes if isinstance(node, kinds)]

    @property
    def strings(self) -> list[str]:
        """Return every text that stands in it as a constant."""
        constants = (node.value for node in self.nodes if isinstance(node, ast.Constant))
        return [value for value in constants if isinstance(value, str)]

    @property
    def logged(self) -> list[str]:
        """Return the names of the events that it logs, where they are written out."""
        calls = (node for node in self.nodes if isinstance(node, ast.Call) and node.args[2:])
        events = [call.args[2] for call in calls if self.dotted(call.func) == LOGGING]
        return [str(event.value) for event in events if isinstance(event, ast.Constant)]

    @cached_property
    def imports(self) -> dict[str, str]:
        """Return local name → dotted name of everything that it imports, at any depth."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    local = alias.asname or alias.name.partition(".")[0]
                    found[local] = alias.name if alias.asname else local
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return found

    @cached_property
    def imported_modules(self) -> dict[str, int]:
        """Return the dotted names of imported modules and members, with their lines."""
        found: dict[str, int] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found |= {alias.name: node.lineno for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{alias.name}": node.lineno for alias in node.names}
        return found

    def dotted(self, node: ast.AST) -> str | None:
        """Return the full name that an expression such as `dt.datetime.now` stands for.

        `None` for what begins with a name of the file's own, such as an argument.
        """
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        root = self.imports.get(node.id) or (node.id if node.id in dir(builtins) else None)
        return root and ".".join([root, *reversed(parts)])

    def uses(self) -> Iterator[tuple[str, int]]:
        """Yield every name that is read, resolved, with its line."""
        for node in self.nodes:
            if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
                name = self.dotted(node)
                if name is not None:
                    yield name, node.lineno

    def matches(self, *patterns: str) -> bool:
        """Tell whether its path matches one of the patterns; `*` crosses folders."""
        return any(fnmatch(self.path, pattern) for pattern in patterns)


@lru_cache
def files(*folders: str) -> tuple[SourceFile, ...]:
    """Return the Python files of those folders, sorted."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(SourceFile(path.relative_to(ROOT).as_posix()) for path in paths)


def product() -> tuple[SourceFile, ...]:
    """Return the files of the three programs."""
    return files(*PRODUCT)


def written_tests() -> tuple[SourceFile, ...]:
    """Return the files of the tests."""
    return files("tests")
