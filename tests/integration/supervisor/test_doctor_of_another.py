"""What a doctor does not do for an orchestrator of another user: start what that user has."""

import os
import socket
from pathlib import Path

from orchestrator.client.control import Control
from orchestrator.supervisor.doctor.gathering import ANOTHER_USER, Asked, Inquiry, look
from tests.support.needs import needs_root
from tests.unit.supervisor.doctor import builders as b


def _looked(tmp_path: Path, said: int, *, listener: int | None = None) -> tuple[str, bool, str]:
    """Return why a program was not asked, whether it ran, and why there is no configuration."""
    folder, ran = tmp_path / "bin", tmp_path / "ran"
    folder.mkdir(mode=0o755)
    script = folder / "claude"
    script.write_text(f"#!/bin/sh\ntouch {ran}; echo 9.9\n")
    script.chmod(0o755)
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        if listener is not None:
            os.chown(path, listener, -1)
        told = Asked(
            status=b.status(state_dir=str(tmp_path), config={"source": "options"}),
            process=b.process(uid=said, path=[str(folder), "/usr/bin", "/bin"]),
        )
        facts, _ = look(Inquiry({"PATH": "/usr/bin:/bin"}, Control(path), tmp_path), told)
    return facts.programs.unasked.get("claude", ""), ran.exists(), facts.no_configuration


def test_a_program_of_ours_is_asked(tmp_path: Path) -> None:
    """So that the others are seen not to be."""
    unasked, ran, _ = _looked(tmp_path, os.geteuid())

    assert (unasked, ran) == ("", True)


def test_what_another_user_s_jobs_find_is_not_started(tmp_path: Path) -> None:
    """Any of them may have put it there, and it would run as whoever looks."""
    other = os.geteuid() + 1

    assert _looked(tmp_path, other) == (f"jobs run as user {other}", False, ANOTHER_USER)


@needs_root("can give a socket away")
def test_who_listens_counts_more_than_what_is_said(tmp_path: Path) -> None:
    """A job may listen in the orchestrator's place, and say that it is root."""
    seen = _looked(tmp_path, os.geteuid(), listener=12345)

    assert seen == ("jobs run as user 12345", False, ANOTHER_USER)
