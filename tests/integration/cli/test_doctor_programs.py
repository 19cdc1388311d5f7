"""`orchestrator doctor` finds programs: it starts none that another user may have put there."""

import os
from pathlib import Path

from tests.integration.cli.doctors import Doctor, install, script
from tests.support.needs import needs_root


def test_a_path_of_a_service_is_compared_with_the_shell_s(doctor: Doctor, tmp_path: Path) -> None:
    """What one has and the other has not, and what that means for an agent's program."""
    usual = os.environ["PATH"]
    own = script(tmp_path / "own", "claude", "echo 9.9 of claude")
    install(doctor, usual)

    with_it = {"PATH": f"{own}:{usual}"}
    path, programs = doctor.said("path", with_it), doctor.said("program", with_it)

    assert path[0][0] == "warning"
    assert f"jobs do not search {own}, as this shell does" in path[0][1]
    assert ("warning", f"claude: this shell finds {own}/claude, and jobs do not") in programs


def test_a_program_tells_its_version_and_nobody_its_login(doctor: Doctor, tmp_path: Path) -> None:
    """One that hangs or fails tells none, and nothing is made up for it."""
    own = script(tmp_path / "own", "claude", "echo 9.9 of claude; echo more")
    script(own, "codex", "exit 3")
    path = f"{own}:{os.environ['PATH']}"
    install(doctor, path)

    said = dict.fromkeys(text for _, text in doctor.said("program", {"PATH": path}))

    unlooked = "whether it is logged in was not looked at"
    assert f"claude: {own}/claude, 9.9 of claude; {unlooked}" in said
    assert f"codex: {own}/codex, whose version it does not tell; {unlooked}" in said


def test_a_program_that_others_may_replace_is_not_started(doctor: Doctor, tmp_path: Path) -> None:
    """Whoever put it there would act as the one who looks; nor is what its first line names."""
    ran = tmp_path / "ran"
    planted = script(tmp_path / "planted", "codex", f"touch {ran}")
    script(planted, "sh-of-others", f"touch {ran}; echo 6.6")
    own = script(tmp_path / "own", "claude", "echo 9.9 of claude")
    aider = own / "aider"
    aider.write_text("#!/usr/bin/env sh-of-others\n")
    aider.chmod(0o755)
    planted.chmod(0o777)
    path = f"{planted}:{own}:{os.environ['PATH']}"

    said = {text.partition(";")[0] for _, text in doctor.said("program", {"PATH": path})}

    why = "whose version was not asked: other users may replace it"
    assert f"codex: {planted}/codex, {why}" in said
    assert f"aider: {own}/aider, whose version it does not tell" in said
    assert f"claude: {own}/claude, 9.9 of claude" in said
    assert not ran.exists()


@needs_root("looks at the service of another user")
def test_a_program_of_another_user_s_service_is_not_started(doctor: Doctor, tmp_path: Path) -> None:
    """What its jobs find, its jobs may have put there."""
    ran = tmp_path / "ran"
    own = script(tmp_path / "own", "claude", f"touch {ran}; echo 9.9 of claude")
    file = install(doctor, f"{own}:{os.environ['PATH']}")
    os.chown(file, 12345, -1)

    (said,) = [text for _, text in doctor.said("program") if text.startswith("claude")]

    assert said.startswith(f"claude: {own}/claude, whose version was not asked: jobs run as user 1")
    assert not ran.exists()


@needs_root("looks at the folder of another user")
def test_a_stopped_orchestrator_of_another_user_stays_that_user_s(doctor: Doctor) -> None:
    """A remedy that gave its folder to whoever asks would keep it from starting."""
    doctor.state.mkdir(parents=True, mode=0o700)
    os.chown(doctor.state, 12345, -1)

    (grade, seen), *_ = doctor.said("modes")

    assert doctor.problems() == []
    assert (grade, "belongs to user 12345, and user 0 asks" in seen) == ("warning", True)
