"""Control groups of their own for tests: below this process's, as a service manager gives them.

Which controllers of version 2 there are differs from machine to machine. What is about groups that
hand on *some* controller is tested with any; what is about limits needs those three.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.kernel import delegation
from tests.support.waiting import wait_until


def folder() -> Path:
    """Return the folder of this process's group, or skip."""
    found = delegation.delegated()
    if found.folder is None:
        pytest.skip(f"NOT TESTED with control groups: {found.reason}")
    return found.folder


@contextlib.contextmanager
def some_controller() -> Iterator[str]:
    """Give one that groups below this process's have while the block lasts, or skip."""
    handed_on = folder() / "cgroup.subtree_control"
    if names := handed_on.read_text().split():
        yield names[0]
        return
    there = (folder() / "cgroup.controllers").read_text().split()
    try:
        handed_on.write_text(f"+{there[0]}")
    except (IndexError, OSError):
        pytest.skip(f"NOT TESTED with controllers: {folder()} hands on none")
    try:
        yield there[0]
    finally:
        # Somebody else's group may have come to use it.
        with contextlib.suppress(OSError):
            handed_on.write_text(f"-{there[0]}")


@contextlib.contextmanager
def service(name: str = "orchestrator-test.service") -> Iterator[Path]:
    """Give a group that bears the mark of a service manager; it and all that is in it go again."""
    path = folder() / f"{os.getpid()}-{os.urandom(4).hex()}-{name}"
    path.mkdir()
    os.setxattr(path, "user.delegate", b"1")
    try:
        yield path
    finally:
        (path / "cgroup.kill").write_text("1")
        wait_until(lambda: "populated 0" in (path / "cgroup.events").read_text())
        for one in sorted(path.rglob("*/"), reverse=True):
            one.rmdir()
        path.rmdir()
